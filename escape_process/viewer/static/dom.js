// Small tools: elements, announcements for screen readers, and how numbers, dates and sizes are written.

/** The element of index.html with this id. */
export const byId = (id) => document.getElementById(id);

/** Make an element; properties are set as properties, those with a dash or of `role`, `for` and SVG as attributes. */
export function make(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key.includes("-") || ["role", "for", "scope", "colspan"].includes(key)) element.setAttribute(key, value);
    else element[key] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Make an SVG element. */
export function makeSvg(name, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/** Tell screen readers. */
export function announce(text) {
  const live = byId("live");
  live.textContent = "";
  requestAnimationFrame(() => { live.textContent = text; });
}

/** Show a sentence that something went wrong, or take the last one away. */
export function showError(sentence) {
  const place = byId("error");
  place.hidden = !sentence;
  place.textContent = sentence || "";
  if (sentence) place.scrollIntoView({ block: "nearest" });
}

/** Run something that may be refused; show the sentence where it is. */
export async function guarded(work) {
  try {
    showError("");
    return await work();
  } catch (error) {
    if (error.name === "AbortError") return undefined;
    showError(error.message);
    return undefined;
  }
}

const UNITS = { "m3 m-3": "m³ m⁻³", 1: "", deg: "°" };

/** A unit as people write it. */
export const unitText = (unit) => UNITS[unit] ?? unit ?? "";

/** A number with as many digits as its unit deserves. */
export function numberText(value, unit) {
  if (value === null || value === undefined) return "no value";
  if (Number.isInteger(value) && unit !== "m3 m-3") return String(value);
  return value.toFixed(unit === "m3 m-3" ? 3 : unit === "deg" ? 1 : 2);
}

/** Degrees to about a metre. */
export const degrees = (value) => String(Number(value.toFixed(5)));

/** A day such as 4 May 2024, UTC. */
export function dayText(iso) {
  return new Date(iso).toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric", timeZone: "UTC" });
}

/** A moment such as 4 May 2024, 23:28 UTC. */
export function momentText(iso) {
  const clock = new Date(iso).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit", timeZone: "UTC" });
  return `${dayText(iso)}, ${clock} UTC`;
}

/** A span such as 40 s or 3 min. */
export function spanText(seconds) {
  if (seconds < 90) return `${Math.max(0, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

/** A size such as 1.2 MB. */
export function sizeText(bytes) {
  if (!Number.isFinite(bytes)) return "";
  if (bytes < 1000) return `${bytes} B`;
  return bytes < 1e6 ? `${(bytes / 1e3).toFixed(0)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

/** The value of a custom property of the style sheet, in the theme of the moment. */
export const themed = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
