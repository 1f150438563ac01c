// The colours of a layer: a bar with its unit, or a list of classes.

import { dayText, make, makeSvg, unitText } from "./dom.js";

/** Colours side by side, as SVG: the page's policy allows no style attributes. */
const strips = (colors, className) => makeSvg("svg", { class: className, viewBox: `0 0 ${colors.length} 1`, preserveAspectRatio: "none",
  "shape-rendering": "crispEdges", "aria-hidden": "true" }, ...colors.map((color, index) => makeSvg("rect", { x: index, width: 1, height: 1, fill: color })));

/** A small swatch of a layer's colours. */
export function rampOf(layer) {
  const colors = layer.classes?.length
    ? layer.classes.map((one) => one.color).filter((color) => color !== "transparent").slice(0, 6) : layer.colors;
  return strips(colors, "ramp");
}

/** Numbers along a range, evenly, round ones if there are. */
function ticksOf(low, high) {
  const isRound = (step) => [1, 2, 2.5, 5].some((digit) => Math.abs(step / 10 ** Math.floor(Math.log10(step) + 1e-9) - digit) < 1e-6);
  const parts = [5, 4, 3, 7, 6].find((count) => isRound((high - low) / count)) ?? 4;
  return Array.from({ length: parts + 1 }, (_, index) => String(Number((low + (index * (high - low)) / parts).toPrecision(4))));
}

/** The legend of a layer of a map. */
export function legendOf(layer, shown) {
  const unit = unitText(layer.unit);
  const title = make("p", { className: "legend-title" }, make("strong", {}, layer.title), " ", make("span", {}, unit),
    make("small", {}, dayText(shown.datetime)));
  if (layer.classes?.length) {
    return make("div", {}, title, make("ul", { className: "classes" }, ...layer.classes.filter((one) => one.color !== "transparent")
      .map((one) => make("li", { title: one.description }, strips([one.color], "swatch"), one.name.replaceAll("_", " ")))));
  }
  const [low, high] = layer.rescale;
  const ticks = ticksOf(low, high).map((text) => make("span", {}, text));
  return make("div", { role: "img", "aria-label": `Colour bar of ${layer.title}: ${low} to ${high} ${unit}` }, title,
    strips(layer.colors, "bar"), make("div", { className: "ticks" }, ...ticks));
}
