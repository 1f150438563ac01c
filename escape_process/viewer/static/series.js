// Soil moisture at one place over dates: a chart with error bars, and the same as a table.

import { dayText, make, makeSvg, numberText, unitText } from "./dom.js";

const WIDTH = 360;
const HEIGHT = 190;
const LEFT = 44;
const RIGHT = 12;
const TOP = 12;
const BOTTOM = 26;
const UNIT = "m3 m-3";

/** A round step that gives about `count` intervals. */
function stepOf(span, count) {
  const raw = span / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= raw);
}

/** `points`: {datetime, mean, sigma, low, high, unusable}, in order of time; those without a value only in the table. */
export function seriesOf(points) {
  const known = points.filter((point) => point.mean !== null);
  const table = make("table", {}, make("caption", {}, `Soil moisture at this place, ${unitText(UNIT)}`),
    make("thead", {}, make("tr", {}, ...["Date", "Mean", "± 1 sigma", "5 to 95 %", "Flagged"].map((name) => make("th", { scope: "col" }, name)))),
    make("tbody", {}, ...points.map((point) => make("tr", {}, make("th", { scope: "row" }, dayText(point.datetime)),
      ...(point.mean === null
        ? [make("td", { colspan: 3 }, "no value")]
        : [numberText(point.mean, UNIT), numberText(point.sigma, UNIT), `${numberText(point.low, UNIT)} to ${numberText(point.high, UNIT)}`]
          .map((text) => make("td", {}, text))),
      make("td", {}, point.unusable ? "yes" : "no")))));
  const parts = [table];
  if (known.length > 1) parts.unshift(chartOf(known));
  return make("div", { className: "series" }, ...parts);
}

function chartOf(points) {
  const times = points.map((point) => new Date(point.datetime).getTime());
  const first = Math.min(...times);
  const span = Math.max(...times) - first || 1;
  const top = Math.max(...points.map((point) => Math.max(point.high, point.mean + point.sigma)));
  const step = stepOf(Math.max(top, 0.05) * 1.05, 4);
  const most = step * Math.ceil((top * 1.02) / step);
  const inset = 26;
  const x = (time) => LEFT + inset + ((time - first) / span) * (WIDTH - LEFT - RIGHT - 2 * inset);
  const y = (value) => HEIGHT - BOTTOM - (value / most) * (HEIGHT - TOP - BOTTOM);
  const chart = makeSvg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "chart", role: "img",
    "aria-label": `Chart of soil moisture on ${points.length} dates, with error bars of one sigma and from 5 to 95 percent. The table has the numbers.` });
  for (let value = 0; value <= most + step / 2; value += step) {
    chart.append(makeSvg("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value) }),
      makeSvg("text", { class: "tick", x: LEFT - 6, y: y(value) + 3.5, "text-anchor": "end" }, value.toFixed(step < 0.1 ? 2 : 1)));
  }
  let last = -Infinity;
  points.forEach((point, index) => {
    const at = x(times[index]);
    if (at - last < 62 && index > 0) return;
    last = at;
    chart.append(makeSvg("text", { class: "tick", x: at, y: HEIGHT - 8, "text-anchor": "middle" }, dayText(point.datetime)));
  });
  chart.append(makeSvg("polyline", { class: "join", points: points.map((point, index) => `${x(times[index])},${y(point.mean)}`).join(" ") }));
  points.forEach((point, index) => {
    const at = x(times[index]);
    const group = makeSvg("g", { class: point.unusable ? "point flagged" : "point" },
      makeSvg("title", {}, `${dayText(point.datetime)}: ${numberText(point.mean, UNIT)} ± ${numberText(point.sigma, UNIT)}`),
      makeSvg("line", { class: "range", x1: at, x2: at, y1: y(point.low), y2: y(point.high) }),
      makeSvg("line", { class: "sigma", x1: at, x2: at, y1: y(Math.max(0, point.mean - point.sigma)), y2: y(point.mean + point.sigma) }),
      makeSvg("circle", { cx: at, cy: y(point.mean), r: 4.5 }));
    chart.append(group);
  });
  return make("figure", {}, chart, make("figcaption", { className: "hint" },
    `${unitText(UNIT)}. Thick bar: 1 sigma; thin: 5 to 95 %; hollow: flagged.`));
}
