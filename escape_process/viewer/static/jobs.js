// One job followed to its end, and the list of recent ones.

import { dismiss, getJson, getText } from "./api.js";
import { announce, byId, guarded, make, momentText, showError, spanText } from "./dom.js";

const UNFINISHED = ["accepted", "running"];
const WORDS = { accepted: "Waiting", running: "Running", successful: "Done", failed: "Failed", dismissed: "Cancelled" };

/** Wait; less where the signal ends it. */
const pause = (milliseconds, signal) => new Promise((resolve) => {
  const timer = setTimeout(resolve, milliseconds);
  signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
});

/** How long a job took, or has taken until now. */
function duration(job) {
  if (!job.started) return "";
  return spanText(((job.finished ? new Date(job.finished) : new Date()) - new Date(job.started)) / 1000);
}

export class JobView {
  #abort = new AbortController();
  #id = null;

  constructor() {
    byId("cancel").addEventListener("click", () => this.#cancel());
    byId("job-log").addEventListener("toggle", () => this.#readLog());
  }

  /** Follow a job; resolves to its status at its end, or to null where another is followed meanwhile. */
  async follow(id) {
    this.stop();
    const { signal } = this.#abort = new AbortController();
    this.#id = id;
    byId("job-log").open = false;
    let told = "";
    let failures = 0;
    while (!signal.aborted) {
      let job;
      try {
        job = await getJson(`jobs/${encodeURIComponent(id)}`, { signal });
        if (failures) showError("");
        failures = 0;
      } catch (error) {
        if (signal.aborted) return null;
        if ((error.status > 0 && error.status < 500) || (failures += 1) > 20) {
          showError(error.message);
          byId("job-running").hidden = true;
          return null;
        }
        showError(error.message);
        await pause(3000, signal);
        continue;
      }
      if (signal.aborted) return null;
      this.#show(job);
      if (!UNFINISHED.includes(job.status)) return job;
      const news = `${WORDS[job.status]}: ${job.message}`;
      if (news !== told && !/block \d+ of/.test(news)) announce(news); // not each block
      told = news;
      await pause(1000, signal);
    }
    return null;
  }

  /** Follow no job any more. */
  stop() {
    this.#abort.abort();
  }

  #show(job) {
    const unfinished = UNFINISHED.includes(job.status);
    byId("job-title").textContent = job.status === "successful" ? "Result" : unfinished ? "Making the map" : WORDS[job.status];
    byId("job-meta").replaceChildren(make("span", { className: `state ${job.status}` }, WORDS[job.status]),
      make("span", {}, momentText(job.created)), make("span", {}, duration(job)), make("span", { className: "mono", title: "Job" }, job.jobID));
    byId("job-running").hidden = !unfinished;
    byId("job-log").hidden = false;
    byId("job-progress").value = job.progress;
    byId("job-share").textContent = `${job.progress} %`;
    byId("job-message").textContent = job.message;
    const left = job.estimatedCompletion ? (new Date(job.estimatedCompletion) - Date.now()) / 1000 : null;
    byId("job-finish").textContent = !unfinished || left === null ? "" : left > 1 ? `About ${spanText(left)} left.` : "Nearly done.";
    if (byId("job-log").open) this.#readLog();
  }

  #cancel() {
    const button = byId("cancel");
    button.disabled = true;
    return guarded(() => dismiss(this.#id)).finally(() => { button.disabled = false; });
  }

  async #readLog() {
    if (!byId("job-log").open) return;
    try {
      byId("job-log").querySelector("pre").textContent = await getText(`jobs/${encodeURIComponent(this.#id)}/logs`);
    } catch (error) {
      byId("job-log").querySelector("pre").textContent = error.message;
    }
  }
}

/** Fill the list of recent jobs, those of another process than `process` with its id; `open(id)` is called for the one
 * that is chosen. */
export async function listJobs(process, open) {
  const list = byId("jobs");
  const { jobs } = await getJson("jobs?limit=30");
  if (!jobs.length) {
    list.replaceChildren(make("li", { className: "hint" }, "No job yet."));
    return;
  }
  list.replaceChildren(...jobs.map((job) => make("li", {},
    make("a", { href: `jobs/${encodeURIComponent(job.jobID)}`, onclick: (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      open(job.jobID);
    } }, make("span", { className: `state ${job.status}` }, WORDS[job.status]),
    make("span", {}, momentText(job.created)), make("span", {}, duration(job)),
    job.processID === process ? null : make("span", { className: "mono" }, job.processID),
    job.status === "successful" ? null : make("small", {}, job.status === "running" ? `${job.progress} % · ${job.message}` : job.message)))));
}
