// The form: an area, dates, a catalogue and options make one request; its scenes are checked before, or it is launched.

import { execute } from "./api.js";
import { showCode } from "./code.js";
import { announce, byId, dayText, degrees, guarded, make, showError } from "./dom.js";

const CORNERS = ["west", "south", "east", "north"];
const OPTIONS = ["resolution", "crs", "mode", "members", "seed", "max_scenes", "collections", "radiometry",
  "incidence_angle_deg", "looks", "frequency", "publish", "reuse"];
const ELSEWHERE = "elsewhere";

export class RequestForm {
  #settings;
  #description;
  #map;
  #launched;
  #fields = {};

  /** `launched(job, inputs)` is called with the status of a job that was launched. */
  constructor(settings, description, map, launched) {
    this.#settings = settings;
    this.#description = description;
    this.#map = map;
    this.#launched = launched;
    this.#fillCatalogues();
    this.#fillOptions();
    const form = byId("request");
    form.addEventListener("submit", (event) => { event.preventDefault(); this.#launch(); });
    form.addEventListener("input", () => this.#changed());
    byId("check").addEventListener("click", () => this.#check());
    byId("draw").addEventListener("click", () => this.#draw());
    byId("take-view").addEventListener("click", () => this.setArea(map.shown()));
    const example = description.inputs.bbox.schema.example;
    byId("example").hidden = !example || !settings.catalogs.includes("sample");
    byId("example").addEventListener("click", () => {
      this.setArea(example);
      map.fit(example);
    });
    this.#changed();
  }

  /** Put an area into the fields and onto the map. */
  setArea(corners) {
    CORNERS.forEach((name, index) => { byId(name).value = degrees(corners[index]); });
    this.#changed();
    announce(`Area: west ${byId("west").value}, south ${byId("south").value}, east ${byId("east").value}, north ${byId("north").value}.`);
  }

  /** Show again on the map what the form holds. */
  showOnMap() {
    this.#map.showArea(this.#corners());
  }

  /** The inputs as the form has them; a sentence is thrown where a field cannot be sent as it is. */
  inputs() {
    const texts = CORNERS.map((name) => byId(name).value.trim().replace(",", "."));
    if (texts.some((text) => text === "")) {
      throw new Error("The area is not complete: draw it on the map, or give west, south, east and north.");
    }
    const bbox = texts.map(Number);
    const wrong = bbox.findIndex((number) => !Number.isFinite(number));
    if (wrong >= 0) throw new Error(`${CORNERS[wrong]} is ${JSON.stringify(texts[wrong])}: it must be a number of degrees.`);
    const inputs = { bbox };
    const [start, end] = [byId("start").value, byId("end").value];
    if (start || end) inputs.datetime = `${start || ".."}/${end || ".."}`;
    const catalog = byId("catalog").value;
    if (catalog === ELSEWHERE) {
      if (!byId("catalog-url").value.trim()) throw new Error("The address of the catalogue is missing.");
      inputs.catalog = byId("catalog-url").value.trim();
    } else if (catalog) inputs.catalog = catalog;
    for (const [name, read] of Object.entries(this.#fields)) {
      const value = read();
      if (value !== undefined) inputs[name] = value;
    }
    return inputs;
  }

  #fillCatalogues() {
    const select = byId("catalog");
    for (const name of this.#settings.catalogs) {
      select.append(make("option", { value: name, selected: name === this.#settings.default_catalog }, name));
    }
    select.append(make("option", { value: ELSEWHERE }, "Another address"));
    const toggle = () => { byId("catalog-address").hidden = select.value !== ELSEWHERE; };
    select.addEventListener("change", toggle);
    toggle();
  }

  /** Make a field for each option from its schema in the process's description. */
  #fillOptions() {
    for (const name of OPTIONS) {
      const input = this.#description.inputs[name];
      if (!input) continue;
      const id = `option-${name}`;
      const hint = make("small", { id: `${id}-hint`, className: "hint" }, input.description);
      const field = this.#field(name, id, input.schema);
      field.setAttribute("aria-describedby", hint.id);
      byId("options").append(make("div", { className: field.type === "checkbox" ? "option check" : "option" },
        make("label", { for: id }, input.title), field, hint));
    }
  }

  #field(name, id, schema) {
    const fallback = schema.default;
    if (schema.type === "boolean") {
      const box = make("input", { id, type: "checkbox", checked: Boolean(fallback) });
      this.#fields[name] = () => (box.checked === Boolean(fallback) ? undefined : box.checked);
      return box;
    }
    if (schema.enum) {
      const select = make("select", { id }, ...(fallback === undefined ? [make("option", { value: "" }, "as the scenes say")] : []),
        ...schema.enum.map((value) => make("option", { value, selected: value === fallback }, value)));
      this.#fields[name] = () => (select.value === "" || select.value === fallback ? undefined : select.value);
      return select;
    }
    const text = make("input", { id, type: "text", autocomplete: "off", value: fallback ?? "",
      inputMode: schema.type === "integer" ? "numeric" : schema.type === "number" ? "decimal" : "text" });
    this.#fields[name] = () => {
      const value = text.value.trim();
      if (value === "" || value === String(fallback)) return undefined;
      if (schema.type === "array") return value.split(",").map((one) => one.trim()).filter(Boolean);
      if (schema.type !== "number" && schema.type !== "integer") return value;
      return Number.isFinite(Number(value)) ? Number(value) : value; // the server says what is wrong with it
    };
    return text;
  }

  #corners() {
    const corners = CORNERS.map((name) => byId(name).value.trim() === "" ? NaN : Number(byId(name).value.replace(",", ".")));
    const [west, south, east, north] = corners;
    const sound = corners.every(Number.isFinite) && Math.abs(west) <= 180 && Math.abs(east) <= 180
      && south >= -90 && north <= 90 && south < north && west !== east;
    return sound ? corners : null;
  }

  #changed() {
    const corners = this.#corners();
    this.#map.showArea(corners);
    byId("area-size").textContent = corners ? sizeOf(corners) : "Degrees. West greater than east crosses 180°.";
    try {
      showCode(byId("request-code"), this.#settings.process, this.inputs());
      byId("request-code").hidden = false;
    } catch {
      byId("request-code").hidden = true;
    }
  }

  async #draw() {
    const button = byId("draw");
    if (button.getAttribute("aria-pressed") === "true") {
      this.#map.stopDrawing();
      return;
    }
    button.setAttribute("aria-pressed", "true");
    button.textContent = "Drag a rectangle …";
    announce("Drag a rectangle on the map; or type its corners.");
    if (matchMedia("(max-width: 52rem)").matches) byId("map").scrollIntoView({ block: "nearest" });
    const corners = await this.#map.drawArea();
    button.setAttribute("aria-pressed", "false");
    button.textContent = "Draw on map";
    if (corners) this.setArea(corners);
  }

  async #busy(button, work) {
    button.disabled = true;
    button.setAttribute("aria-busy", "true");
    try {
      await guarded(work);
    } finally {
      button.disabled = false;
      button.removeAttribute("aria-busy");
    }
  }

  #launch() {
    return this.#busy(byId("launch"), async () => {
      const inputs = this.inputs();
      this.#launched(await execute(this.#settings.process, inputs, true), inputs);
    });
  }

  #check() {
    const place = byId("scenes");
    return this.#busy(byId("check"), async () => {
      const news = make("p", { className: "hint" }, "Searching the catalogue …");
      const late = setTimeout(() => { news.textContent = "Still waiting for the catalogue …"; }, 8000);
      place.replaceChildren(news);
      try {
        const { report } = await execute(this.#settings.process, { ...this.inputs(), dry_run: true }, false);
        place.replaceChildren(...scenesTold(report));
        const outlines = (list, kind) => list.map((one) => ({ geometry: one.geometry, kind, name: one.id }));
        this.#map.showFootprints([...outlines(report.scenes, "used"), ...outlines(report.refused, "refused")], true);
        showError("");
      } catch (error) {
        place.replaceChildren();
        this.#map.showFootprints([]);
        throw error;
      } finally {
        clearTimeout(late);
      }
    });
  }
}

/** What a report says of the scenes used and refused. */
export function scenesTold(report) {
  const row = (kind, id, ...more) => make("li", { className: kind }, make("span", { className: "mono" }, id), ...more);
  const simulated = (scene) => (scene.simulated ? [make("span", { className: "chip" }, "simulated")] : []);
  const used = report.scenes.map((scene) => row("used", scene.id, ...simulated(scene), make("small", {},
    [dayText(scene.datetime), `${scene.looks} looks`, scene.convention, ...scene.warnings].join(" · "))));
  const refused = report.refused.map((scene) => row("refused", scene.id, make("small", {}, scene.reason)));
  const told = [make("h2", {}, `${used.length} ${used.length === 1 ? "scene" : "scenes"} would be used`),
    make("ul", { className: "scenes" }, ...used)];
  if (refused.length) told.push(make("h2", {}, `${refused.length} refused`), make("ul", { className: "scenes" }, ...refused));
  told.push(...report.notes.map((note) => make("p", { className: "hint" }, note)));
  return told;
}

/** How large an area is, on a sphere. */
function sizeOf([west, south, east, north]) {
  const width = ((west > east ? east + 360 : east) - west) * 111.32 * Math.cos(((south + north) / 2) * Math.PI / 180);
  const height = (north - south) * 110.95;
  const text = (km) => (km < 10 ? km.toFixed(1) : km.toFixed(0));
  return `${text(width)} × ${text(height)} km, degrees`;
}
