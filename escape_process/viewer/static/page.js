// What the page shows: a new request, the list of jobs, or one job or map; its address says which.

import { address, getJson, onUnauthorized, token } from "./api.js";
import { showCode } from "./code.js";
import { announce, byId, guarded, make, showError } from "./dom.js";
import { JobView, listJobs } from "./jobs.js";
import { MapView } from "./map.js";
import { RequestForm, scenesTold } from "./request.js";
import { ResultView } from "./result.js";

const SENT = "escape-request-";
/** Where this tab keeps the requests that it sent, by job. */
const VIEWS = ["request", "jobs", "job"];

let settings;
let form;
const jobs = new JobView();
let result;
const map = new MapView((lon, lat) => result?.read(lon, lat));

/** What the address asks for. */
function wanted() {
  const query = new URLSearchParams(location.search);
  const path = location.pathname.match(/\/jobs\/([^/]+)\/?$/);
  const job = query.get("job") || (path && decodeURIComponent(path[1]));
  if (job) return { view: "job", job };
  if (query.get("item")) return { view: "job", item: query.get("item") };
  return { view: query.has("jobs") || /\/jobs\/?$/.test(location.pathname) ? "jobs" : "request" };
}

/** Go to another view by its address, below the server's root. */
function go(query) {
  history.pushState(null, "", address(query));
  return show(true);
}

/** Show what the address asks for; where `moved`, the focus follows. */
async function show(moved) {
  const { view, job, item } = wanted();
  showError("");
  jobs.stop();
  result.clear();
  map.stopDrawing();
  for (const name of VIEWS) byId(`${name}-view`).hidden = name !== view;
  for (const name of ["request", "jobs"]) byId(`show-${name}`).setAttribute("aria-pressed", String(name === view));
  for (const id of ["job-running", "job-log", "job-code"]) byId(id).hidden = true;
  byId("job-meta").replaceChildren();
  if (view === "request") form.showOnMap();
  else map.showArea(null);
  if (view !== "request") {
    byId("scenes").replaceChildren();
    map.showFootprints([]);
  }
  byId("panel").scrollTop = 0;
  if (moved) byId(`${view}-title`).focus({ preventScroll: true });
  if (view === "jobs") await guarded(() => listJobs(settings.process, (id) => go(`?job=${encodeURIComponent(id)}`)));
  else if (job) await showJob(job);
  else if (item) await showItem(item);
}

async function showJob(id) {
  byId("job-title").textContent = "Job";
  const sent = JSON.parse(sessionStorage.getItem(SENT + id));
  if (sent) showRequest(sent);
  if (sent?.bbox) map.showArea(sent.bbox, true);
  const end = await jobs.follow(id);
  if (!end) return;
  if (end.status === "dismissed") announce("Cancelled.");
  if (end.status === "failed") showError(end.message);
  if (end.status !== "successful") return;
  if (end.processID !== settings.process) { // another of the server's processes: nothing for the map
    byId("result").replaceChildren(make("p", {}, make("a", { href: `jobs/${encodeURIComponent(id)}/results` }, "Results")));
    byId("result").hidden = false;
    return;
  }
  await guarded(async () => {
    const { features } = await getJson(`jobs/${encodeURIComponent(id)}/results/items`);
    if (!sent) showRequestOf(`jobs/${encodeURIComponent(id)}/prov`);
    if (features.length) {
      map.showArea(null);
      await result.show(features.map((feature) => feature.id));
      announce("The map is ready.");
      return;
    }
    const report = await getJson(`jobs/${encodeURIComponent(id)}/results/report`); // it only listed scenes
    byId("result").replaceChildren(...scenesTold(report));
    byId("result").hidden = false;
  });
}

async function showItem(id) {
  byId("job-title").textContent = "Result";
  await guarded(async () => {
    const [{ provenance }] = await result.show([id]);
    if (provenance) showRequestOf(provenance);
    announce("The map is ready.");
  });
}

function showRequest(inputs, note) {
  byId("job-code").hidden = false;
  showCode(byId("job-code"), settings.process, inputs, note);
}

/** Show the request that a provenance tells of, if it can be read. */
async function showRequestOf(provenance) {
  const shown = location.href;
  let inputs;
  try {
    const { entity } = await getJson(provenance);
    inputs = JSON.parse(entity["escape:parameters"]["escape:json"]);
  } catch {
    return;
  }
  if (location.href === shown) showRequest(inputs, "As the provenance has it, every default written out.");
}

function askForToken(why) {
  const dialog = byId("token");
  if (dialog.open) return;
  byId("token-why").textContent = why || "It is kept until this tab is closed and sent to this server alone.";
  byId("token-value").value = "";
  dialog.showModal();
}

function setUpTokens() {
  onUnauthorized(askForToken);
  byId("show-token").hidden = !settings.needs_token;
  byId("show-token").addEventListener("click", () => askForToken(""));
  byId("token-cancel").addEventListener("click", () => byId("token").close());
  byId("token-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const value = byId("token-value").value.trim();
    if (!value) return;
    token.set(value);
    byId("token").close();
    show(false);
  });
  if (settings.needs_token && !token.get()) askForToken("");
}

async function start() {
  settings = await getJson("page/settings.json");
  const description = await getJson(`processes/${settings.process}`);
  byId("version").textContent = `· ${settings.version}`;
  result = new ResultView(settings, map);
  form = new RequestForm(settings, description, map, (job, inputs) => {
    sessionStorage.setItem(SENT + job.jobID, JSON.stringify(inputs));
    go(`?job=${encodeURIComponent(job.jobID)}`);
  });
  const follow = (id, query) => byId(id).addEventListener("click", (event) => {
    event.preventDefault();
    go(query);
  });
  follow("home", "");
  follow("show-request", "");
  follow("show-jobs", "?jobs");
  byId("skip").addEventListener("click", () => byId("map").focus());
  addEventListener("popstate", () => show(true));
  setUpTokens();
  await show(false);
  document.documentElement.dataset.ready = "yes";
}

guarded(start);
