// The exact request as text to copy: curl and Python, as a job whose results are waited for.

import { address, token } from "./api.js";
import { announce, make } from "./dom.js";

const shell = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** JSON as Python writes it: the words differ, strings of JSON are strings of Python. */
function python(value, indent) {
  if (value === null) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (Array.isArray(value)) return `[${value.map((one) => python(one, indent)).join(", ")}]`;
  if (typeof value !== "object") return JSON.stringify(value);
  const inner = `${indent}    `;
  const rows = Object.entries(value).map(([key, one]) => `${inner}${JSON.stringify(key)}: ${python(one, inner)},\n`);
  return rows.length ? `{\n${rows.join("")}${indent}}` : "{}";
}

/** The request for curl in a shell. */
export function asCurl(process, inputs) {
  const body = JSON.stringify({ inputs, response: "document" }, null, 2);
  return `${token.get() ? "# TOKEN: your bearer token\n" : ""}job=$(curl -fsS -D - -o /dev/null \\
  -H 'Prefer: respond-async' -H 'Content-Type: application/json' \\
${token.get() ? '  -H "Authorization: Bearer $TOKEN" \\\n' : ""}  -d ${shell(body)} \\
  ${shell(address(`processes/${process}/execution`))} | tr -d '\\r' | sed -n 's/^[Ll]ocation: //p')
echo "$job"
# once "status" there is "successful": curl -fsS "$job/results"
`;
}

/** The request for Python with httpx. */
export function asPython(process, inputs) {
  const headers = token.get() ? ', headers={"Authorization": f"Bearer {TOKEN}"}' : "";
  return `import time

import httpx

${token.get() ? 'TOKEN = "..."  # your bearer token\n' : ""}inputs = ${python(inputs, "")}

with httpx.Client(base_url=${JSON.stringify(address(""))}, timeout=60${headers}) as client:
    answer = client.post(
        "processes/${process}/execution",
        json={"inputs": inputs, "response": "document"},
        headers={"Prefer": "respond-async"},
    )
    answer.raise_for_status()
    job = answer.headers["Location"]
    while client.get(job).json()["status"] in ("accepted", "running"):
        time.sleep(1)
    results = client.get(f"{job}/results").raise_for_status().json()

for item in results["items"]["features"]:
    print(item["id"], item["assets"]["soil_moisture"]["href"])
`;
}

/** Fill a <details> with the request in both languages; `note` is a sentence above them. */
export function showCode(details, process, inputs, note = "") {
  const blocks = [["curl", asCurl], ["Python", asPython]].map(([name, write]) => {
    const text = write(process, inputs);
    const copy = make("button", { type: "button", "aria-label": `Copy the ${name} request`, onclick: async () => {
      try {
        await navigator.clipboard.writeText(text);
        announce("Copied.");
        copy.textContent = "Copied";
      } catch { // no clipboard without TLS: select it, so that the keyboard's own copy takes it
        getSelection().selectAllChildren(code);
        announce("Selected: copy it with the keyboard.");
        copy.textContent = "Selected";
      }
      setTimeout(() => { copy.textContent = "Copy"; }, 2000);
    } }, "Copy");
    const code = make("pre", { tabIndex: 0, role: "region", "aria-label": `The request for ${name}` }, text);
    return make("div", { className: "code-block" }, make("h3", {}, name), copy, code);
  });
  details.replaceChildren(details.querySelector("summary"), ...(note ? [make("p", { className: "hint" }, note)] : []), ...blocks);
}
