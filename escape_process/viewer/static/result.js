// Results of a job: its dates, layers with their legend, the values at a place, and what can be downloaded.

import { download, getJson, token } from "./api.js";
import { announce, byId, dayText, degrees, guarded, make, momentText, numberText, sizeText, unitText } from "./dom.js";
import { legendOf, rampOf } from "./legend.js";
import { seriesOf } from "./series.js";

const MAIN_LAYERS = ["soil_moisture", "soil_moisture_uncertainty", "rms_height", "vegetation", "flags"];

/** Whether a place lies in a box that may cross 180 degrees. */
const inside = ([west, south, east, north], lon, lat) => lat >= south && lat <= north
  && (west > east ? lon >= west || lon <= east : lon >= west && lon <= east);

export class ResultView {
  #settings;
  #map;
  #maps = [];
  #current = 0;
  #layer = "soil_moisture";
  #opacity = 0.9;
  #place = null;
  #turn = 0; // of what is shown: answers to earlier questions are dropped

  constructor(settings, map) {
    this.#settings = settings;
    this.#map = map;
  }

  /** Take everything of a result off the page. */
  clear() {
    this.#turn += 1;
    this.#maps = [];
    this.#place = null;
    this.#map.showResult(null);
    this.#map.mark(null);
    document.body.classList.remove("has-result");
    for (const id of ["result", "legend", "simulated"]) byId(id).hidden = true;
  }

  /** Show the results with these ids, the first date first; resolves to their descriptions. */
  async show(ids) {
    this.clear();
    const turn = this.#turn;
    const maps = await Promise.all(ids.map((id) => getJson(`maps/${encodeURIComponent(id)}`)));
    if (turn !== this.#turn || !maps.length) return maps;
    this.#maps = maps.sort((one, other) => one.datetime.localeCompare(other.datetime));
    this.#current = 0;
    document.body.classList.add("has-result");
    byId("result").hidden = false;
    byId("result").replaceChildren(this.#dates(), this.#layers(), this.#reading(), make("section", { id: "downloads" }));
    this.#select(0);
    this.#map.fit(this.#maps[0].bounds);
    return maps;
  }

  /** Read the values at a place, for the current date and as a series over all. */
  async read(lon, lat) {
    if (!this.#maps.length) return;
    const turn = this.#turn;
    this.#place = [lon, lat];
    byId("lon").value = degrees(lon);
    byId("lat").value = degrees(lat);
    this.#map.mark(this.#place);
    await guarded(async () => {
      const covering = this.#maps.filter((one) => inside(one.bounds, lon, lat));
      if (!covering.length) {
        this.#tell("The place lies outside the map.");
        return;
      }
      const query = `?lon=${lon.toFixed(7)}&lat=${lat.toFixed(7)}`;
      const answers = await Promise.all(covering.map((one) => getJson(`maps/${encodeURIComponent(one.id)}/values${query}`)));
      if (turn !== this.#turn || this.#place?.[0] !== lon || this.#place?.[1] !== lat) return;
      const here = answers[covering.indexOf(this.#maps[this.#current])];
      if (here) this.#showValues(here);
      else this.#tell("This date's map does not reach there.");
      if (answers.length > 1) {
        byId("values").append(seriesOf(answers.map(({ datetime, values, unusable }) => ({ datetime, unusable,
          mean: values.soil_moisture, sigma: values.soil_moisture_uncertainty, low: values.soil_moisture_p05, high: values.soil_moisture_p95 }))));
      }
    });
  }

  #select(index) {
    this.#current = index;
    const shown = this.#maps[index];
    byId("simulated").hidden = !shown.simulated;
    this.#map.showFootprints([{ kind: "outline", geometry: boxOf(shown.bounds) }]);
    byId("downloads").replaceChildren(make("h2", {}, "Downloads"), this.#downloads(shown));
    this.#showLayer();
    if (this.#place) this.read(...this.#place);
  }

  #showLayer() {
    const shown = this.#maps[this.#current];
    const layer = shown.layers.find((one) => one.name === this.#layer) ?? shown.layers[0];
    this.#map.showResult(shown, layer.name, this.#opacity);
    byId("legend").hidden = false;
    byId("legend").replaceChildren(legendOf(layer, shown));
  }

  #dates() {
    const radios = this.#maps.map((one, index) => make("label", { title: one.title },
      make("input", { type: "radio", name: "date", checked: index === 0, onchange: () => {
        this.#select(index);
        announce(`Map of ${momentText(one.datetime)}.`);
      } }), make("span", {}, dayText(one.datetime))));
    return make("fieldset", { className: "dates" }, make("legend", {}, this.#maps.length > 1 ? "Dates" : "Date"), ...radios);
  }

  #layers() {
    const choice = (name) => {
      const layer = this.#maps[0].layers.find((one) => one.name === name);
      if (!layer) return null;
      const plain = this.#settings.layers.find((one) => one.name === name) ?? layer; // its title without "simulated"
      return make("label", { title: layer.description },
        make("input", { type: "radio", name: "layer", value: name, checked: name === this.#layer, onchange: () => {
          this.#layer = name;
          this.#showLayer();
          announce(`Layer: ${plain.title}.`);
        } }), rampOf(layer), make("span", {}, plain.title));
    };
    const names = this.#maps[0].layers.map((layer) => layer.name);
    if (!names.includes(this.#layer)) [this.#layer] = names;
    const others = names.filter((name) => !MAIN_LAYERS.includes(name));
    const slider = make("input", { id: "opacity", type: "range", min: 0, max: 100, step: 5, value: this.#opacity * 100, oninput: () => {
      this.#opacity = slider.value / 100;
      this.#map.setOpacity(this.#opacity);
    } });
    return make("fieldset", { className: "layers" }, make("legend", {}, "Layer"), ...MAIN_LAYERS.map(choice),
      others.length ? make("details", { open: others.includes(this.#layer) }, make("summary", {}, "More layers"), ...others.map(choice)) : null,
      make("label", { className: "slider" }, "Opacity ", slider));
  }

  #reading() {
    const lon = make("input", { id: "lon", type: "text", inputMode: "decimal", autocomplete: "off" });
    const lat = make("input", { id: "lat", type: "text", inputMode: "decimal", autocomplete: "off" });
    const form = make("form", { className: "place", noValidate: true, onsubmit: (event) => {
      event.preventDefault();
      const [x, y] = [lon, lat].map((field) => (field.value.trim() === "" ? NaN : Number(field.value.replace(",", "."))));
      if (Math.abs(x) <= 180 && Math.abs(y) <= 90) this.read(x, y);
      else this.#tell("Give longitude (-180 to 180) and latitude (-90 to 90) in degrees.");
    } }, make("label", {}, "Longitude ", lon), make("label", {}, "Latitude ", lat), make("button", { type: "submit" }, "Read"),
    make("button", { type: "button", onclick: () => this.read(...this.#map.centre()) }, "Map centre"));
    return make("section", { className: "reading", "aria-labelledby": "reading-title" }, make("h2", { id: "reading-title" }, "Values at a place"),
      make("p", { className: "hint" }, "Click the map, or press Enter on it for its centre, or type a place."), form,
      make("div", { id: "values", role: "status", "aria-live": "polite" }));
  }

  #tell(sentence) {
    byId("values").replaceChildren(make("p", {}, sentence));
    this.#map.mark(this.#place, "");
  }

  #showValues({ datetime, values, flags, unusable }) {
    const of = (name) => this.#settings.layers.find((layer) => layer.name === name);
    const write = (name) => `${numberText(values[name], of(name).unit)} ${unitText(of(name).unit)}`.trim();
    const pair = (name, sigma) => (values[name] === null ? "no value" : `${numberText(values[name], of(name).unit)} ± ${write(sigma)}`);
    const moisture = pair("soil_moisture", "soil_moisture_uncertainty");
    const rows = [
      ["5 to 95 %", values.soil_moisture_p05 === null ? "no value" : `${numberText(values.soil_moisture_p05, "m3 m-3")} to ${write("soil_moisture_p95")}`],
      ["Roughness, rms height", pair("rms_height", "rms_height_uncertainty")],
      ["Vegetation", write("vegetation")],
      ["Incidence angle", write("incidence_angle")],
      ["Members used", write("members_used")],
    ];
    const told = flags.map((flag) => make("li", { className: flag.advisory ? "advisory" : "" },
      make("strong", {}, flag.name.replaceAll("_", " ")), " ", flag.description));
    const simulated = this.#maps[this.#current].simulated;
    byId("values").replaceChildren(
      make("p", { className: unusable ? "figure unusable" : "figure" }, make("span", {}, moisture), make("small", {},
        `Soil moisture, ${momentText(datetime)}${simulated ? ", simulated" : ""}`)),
      ...(unusable && values.soil_moisture !== null ? [make("p", { className: "warning" }, "Flagged: do not trust the number.")] : []),
      make("dl", {}, ...rows.flatMap(([name, text]) => [make("dt", {}, name), make("dd", {}, text)])),
      flags.length ? make("ul", { className: "flags" }, ...told) : make("p", { className: "hint" }, "No flag is set here."));
    this.#map.mark(this.#place, moisture);
  }

  #downloads(shown) {
    const link = ({ title, href, size, type }) => make("li", {}, make("a", { href, download: "", onclick: (event) => {
      if (!token.get() || new URL(href, document.baseURI).origin !== location.origin) return; // a signed link needs none
      event.preventDefault();
      guarded(() => download(href));
    } }, title ?? href.split("/").pop()), make("small", {}, [kindOf(type), sizeText(size)].filter(Boolean).join(", ")));
    const item = shown.item ? [{ title: "STAC item", href: shown.item, type: "application/geo+json" }] : [];
    return make("ul", { className: "downloads" }, ...[...shown.downloads, ...item].map(link));
  }
}

function kindOf(type) {
  if (!type) return "";
  if (type.startsWith("image/tiff")) return "GeoTIFF";
  return { "image/png": "PNG", "application/json": "JSON", "application/geo+json": "GeoJSON" }[type.split(";")[0]] ?? type;
}

function boxOf([west, south, east, north]) {
  const right = west > east ? east + 360 : east;
  return { type: "Polygon", coordinates: [[[west, south], [right, south], [right, north], [west, north], [west, south]]] };
}
