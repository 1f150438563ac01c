// The map: land and borders, graticule, an area drawn by hand, footprints of scenes, one layer of a result, a marker.
/* global ol */

import { getBlob } from "./api.js";
import { byId, guarded, make, themed } from "./dom.js";
import { readLand } from "./land.js";

const { fromLonLat, toLonLat, transformExtent } = ol.proj;
const GROUND = "EPSG:4326";
const PICTURE = "EPSG:3857";

const style = (stroke, fill, width = 1, dash = undefined) => new ol.style.Style({
  stroke: stroke ? new ol.style.Stroke({ color: stroke, width, lineDash: dash }) : undefined,
  fill: fill ? new ol.style.Fill({ color: fill }) : undefined,
});

/** Longitude in -180 to 180. */
const wrap = (longitude) => longitude - 360 * Math.floor((longitude + 180) / 360);

/** Corners as an extent of the picture; east of 180 degrees where west > east. */
function extentOf([west, south, east, north]) {
  const clip = (latitude) => Math.max(-85, Math.min(85, latitude));
  return transformExtent([west, clip(south), west > east ? east + 360 : east, clip(north)], GROUND, PICTURE);
}

export class MapView {
  #area = new ol.source.Vector();
  #footprints = new ol.source.Vector();
  #mark = new ol.source.Vector();
  #result = null;
  #layers;
  #tip = make("div", { className: "tip" });
  #overlay;
  #draw = null;

  /** `picked(lon, lat)` is called for a click, and for Enter at the crosshair. */
  constructor(picked) {
    const ground = new ol.source.Vector({ attributions: "Land and borders: Natural Earth" });
    guarded(async () => ground.addFeatures(await readLand()));
    const land = new ol.layer.Vector({
      source: ground,
      style: () => style(themed("--border-line"), themed("--land"), 0.8),
    });
    const graticule = () => new ol.layer.Graticule({
      strokeStyle: new ol.style.Stroke({ color: themed("--graticule"), width: 1 }), showLabels: true, wrapX: true,
      targetSize: 140, lonLabelStyle: label("bottom"), latLabelStyle: label("right"),
      intervals: [45, 30, 20, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001].map(Number),
      lonLabelFormatter: (value) => `${Number(Math.abs(value).toFixed(3))}° ${value < 0 ? "W" : "E"}`,
      latLabelFormatter: (value) => `${Number(Math.abs(value).toFixed(3))}° ${value < 0 ? "S" : "N"}`,
    });
    const area = new ol.layer.Vector({ source: this.#area, zIndex: 4,
      style: () => style(themed("--accent"), themed("--area-fill"), 2) });
    const footprints = new ol.layer.Vector({ source: this.#footprints, zIndex: 3, style: (feature) => (
      feature.get("kind") === "refused"
        ? style(themed("--refused"), null, 1.5, [5, 4])
        : style(themed(feature.get("kind") === "used" ? "--used" : "--outline"), null, 1.5)) });
    const mark = new ol.layer.Vector({ source: this.#mark, zIndex: 6, style: () => new ol.style.Style({
      image: new ol.style.Circle({ radius: 7, stroke: new ol.style.Stroke({ color: "#ffffff", width: 3 }) }) }) });
    const ring = new ol.layer.Vector({ source: this.#mark, zIndex: 7, style: () => new ol.style.Style({
      image: new ol.style.Circle({ radius: 7, stroke: new ol.style.Stroke({ color: "#0b2222", width: 1.5 }) }) }) });
    this.#layers = { graticule: graticule() };
    this.#overlay = new ol.Overlay({ element: this.#tip, positioning: "bottom-center", offset: [0, -14], stopEvent: false });
    this.map = new ol.Map({
      target: "map",
      layers: [land, this.#layers.graticule, footprints, area, mark, ring],
      overlays: [this.#overlay],
      view: new ol.View({ center: [0, 2.2e6], zoom: 2, minZoom: 1, maxZoom: 18, constrainRotation: true, enableRotation: false }),
      controls: ol.control.defaults.defaults({ rotate: false, attributionOptions: { collapsible: false } })
        .extend([new ol.control.ScaleLine({ minWidth: 70 })]),
    });
    this.map.on("singleclick", (event) => {
      if (this.#draw) return;
      const [lon, lat] = toLonLat(event.coordinate);
      picked(wrap(lon), lat);
    });
    byId("map").addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;
      event.preventDefault();
      picked(...this.centre());
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      this.map.removeLayer(this.#layers.graticule);
      this.#layers.graticule = graticule();
      this.map.getLayers().insertAt(1, this.#layers.graticule);
      for (const layer of [land, footprints, area]) layer.changed();
    });
  }

  /** Longitude and latitude of the middle of the map. */
  centre() {
    const [lon, lat] = toLonLat(this.map.getView().getCenter());
    return [wrap(lon), lat];
  }

  /** What the map shows: [west, south, east, north]. */
  shown() {
    const [west, south, east, north] = transformExtent(this.map.getView().calculateExtent(), PICTURE, GROUND);
    if (east - west >= 360) return [-180, south, 180, north];
    return [wrap(west), south, wrap(east), north];
  }

  /** Let the user drag a rectangle; resolves to its corners, or to null where drawing was given up. */
  drawArea() {
    this.stopDrawing();
    this.map.getTargetElement().classList.add("drawing");
    return new Promise((resolve) => {
      const draw = new ol.interaction.Draw({ type: "Circle", geometryFunction: ol.interaction.Draw.createBox(),
        freehandCondition: ol.events.condition.always, style: style(themed("--accent"), themed("--area-fill"), 2) });
      this.#draw = { draw, resolve };
      draw.on("drawend", ({ feature }) => {
        const [west, south, east, north] = transformExtent(feature.getGeometry().getExtent(), PICTURE, GROUND);
        setTimeout(() => this.stopDrawing([wrap(west), south, wrap(east), north])); // after the click that ends it
      });
      this.map.addInteraction(draw);
    });
  }

  /** Leave drawing, with the corners drawn or without. */
  stopDrawing(corners = null) {
    if (!this.#draw) return;
    const { draw, resolve } = this.#draw;
    this.#draw = null;
    this.map.removeInteraction(draw);
    this.map.getTargetElement().classList.remove("drawing");
    resolve(corners);
  }

  /** Show the area asked for; null for none. */
  showArea(corners, fit = false) {
    this.#area.clear();
    if (!corners) return;
    this.#area.addFeature(new ol.Feature(ol.geom.Polygon.fromExtent(extentOf(corners))));
    if (fit) this.fit(corners);
  }

  /** Show outlines: a list of {geometry (GeoJSON), kind: used, refused or outline, name}. */
  showFootprints(outlines, fit = false) {
    this.#footprints.clear();
    const format = new ol.format.GeoJSON({ featureProjection: PICTURE });
    for (const { geometry, kind, name } of outlines) {
      if (geometry) this.#footprints.addFeature(new ol.Feature({ geometry: format.readGeometry(geometry), kind, name }));
    }
    if (fit && !this.#footprints.isEmpty()) this.#fitExtent(this.#footprints.getExtent());
  }

  /** Move the map so that it shows these corners. */
  fit(corners) {
    this.#fitExtent(extentOf(corners));
  }

  #fitExtent(extent) {
    this.map.updateSize();
    this.map.getView().fit(extent, { padding: [40, 40, 70, 40], maxZoom: 15 });
  }

  /** Show one layer of a map of the server, or none. */
  showResult(description, layer, opacity) {
    if (this.#result) this.map.removeLayer(this.#result);
    this.#result = null;
    this.map.getTargetElement().setAttribute("aria-busy", "false");
    if (!description) return;
    const [west, , east] = description.bounds;
    this.#result = new ol.layer.Tile({
      opacity, zIndex: 2,
      extent: west > east ? undefined : extentOf(description.bounds),
      source: new ol.source.ImageTile({
        interpolate: false, transition: 0, wrapX: true,
        minZoom: description.minzoom, maxZoom: description.maxzoom,
        loader: async (z, x, y, { signal }) => createImageBitmap(
          await getBlob(`maps/${encodeURIComponent(description.id)}/${layer}/${z}/${x}/${y}.png`, { signal }),
        ),
      }),
    });
    this.#result.setMinZoom(description.minzoom - 3);
    const shown = this.#result;
    this.map.getTargetElement().setAttribute("aria-busy", "true");
    this.map.once("rendercomplete", () => {
      if (shown === this.#result) this.map.getTargetElement().setAttribute("aria-busy", "false");
    });
    this.map.addLayer(shown);
  }

  /** Show the layer of the result more or less opaque. */
  setOpacity(opacity) {
    this.#result?.setOpacity(opacity);
  }

  /** Mark a place and say a few words beside it; null takes the mark away. */
  mark(place, words = "") {
    this.#mark.clear();
    this.#tip.textContent = words;
    this.#overlay.setPosition(place && words ? fromLonLat(place) : undefined);
    if (place) this.#mark.addFeature(new ol.Feature(new ol.geom.Point(fromLonLat(place))));
  }
}

function label(baseline) {
  return new ol.style.Text({
    font: "11px system-ui, sans-serif", fill: new ol.style.Fill({ color: themed("--graticule-label") }),
    textBaseline: baseline === "bottom" ? "bottom" : "middle", textAlign: baseline === "right" ? "end" : "center",
    offsetY: baseline === "bottom" ? -4 : 0, offsetX: baseline === "right" ? -4 : 0,
  });
}
