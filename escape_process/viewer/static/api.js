// What the page asks the server: relative to its base, with the token where there is one, errors as sentences.

const TOKEN = "escape-token";
/** The server's root, with a slash at its end; fixed here, since the page's own address changes with what it shows. */
const ROOT = document.baseURI;
document.querySelector("base").href = ROOT;

/** An answer that is an error; the message is the sentence that the server gave. */
export class Refusal extends Error {
  constructor(status, sentence) {
    super(sentence);
    this.status = status;
  }
}

export const token = {
  get: () => sessionStorage.getItem(TOKEN),
  set: (value) => sessionStorage.setItem(TOKEN, value),
  forget: () => sessionStorage.removeItem(TOKEN),
};

let askForToken = () => {};

/** Call this with a sentence whenever the server wants another token than it got. */
export function onUnauthorized(listener) {
  askForToken = listener;
}

/** The absolute address of a path below the server's root. */
export const address = (path) => new URL(path, ROOT).href;

async function sentenceOf(response) {
  try {
    const problem = await response.json();
    if (problem.detail || problem.description) return problem.detail || problem.description;
  } catch { /* no JSON: the status has to do */ }
  return `The server answered ${response.status} ${response.statusText}.`;
}

/** Fetch from this server; throw a Refusal where it answers an error. */
async function ask(path, options = {}) {
  const url = new URL(path, ROOT);
  const headers = new Headers(options.headers);
  const known = token.get();
  if (known && url.origin === location.origin) headers.set("Authorization", `Bearer ${known}`);
  let response;
  try {
    response = await fetch(url, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, "The server cannot be reached. Is the connection up?");
  }
  if (response.status === 401) {
    const why = known ? "The server does not accept that token." : "";
    askForToken(why);
    throw new Refusal(401, why || "This needs a token: give one by the button at the top.");
  }
  if (!response.ok) throw new Refusal(response.status, await sentenceOf(response));
  return response;
}

/** GET JSON. */
export async function getJson(path, options) {
  return (await ask(path, { ...options, headers: { Accept: "application/json" } })).json();
}

/** GET text. */
export async function getText(path) {
  return (await ask(path)).text();
}

/** GET bytes. */
export async function getBlob(path, options) {
  return (await ask(path, options)).blob();
}

/** Send an execute request; the answer's JSON: the status of a job, or results where `asynchronous` is false. */
export async function execute(process, inputs, asynchronous) {
  const response = await ask(`processes/${process}/execution`, {
    method: "POST",
    headers: {
      Accept: "application/json",
      "Content-Type": "application/json",
      ...(asynchronous ? { Prefer: "respond-async" } : {}),
    },
    body: JSON.stringify({ inputs, response: "document" }),
  });
  return response.json();
}

/** Stop a running job. */
export async function dismiss(job) {
  return (await ask(`jobs/${encodeURIComponent(job)}`, { method: "DELETE", headers: { Accept: "application/json" } })).json();
}

/** Save a file that only a token opens: as a link would, which cannot carry one. */
export async function download(href) {
  const url = URL.createObjectURL(await getBlob(href));
  const link = document.createElement("a");
  link.href = url;
  link.download = decodeURIComponent(new URL(href, ROOT).pathname.split("/").pop());
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
