// Land and borders of Natural Earth as features of the map. Its rings run on across 180 degrees, where a flat map is cut.
/* global ol */

import { getJson } from "./api.js";

/** A ring whose longitudes go on beyond 180 degrees where the file's jump; as it was where it goes round a pole. */
function unrolled(ring) {
  let turn = 0;
  const points = ring.map(([lon, lat], index) => {
    const step = index ? lon - ring[index - 1][0] : 0;
    if (Math.abs(step) > 180) turn -= 360 * Math.sign(step);
    return [lon + turn, lat];
  });
  return turn === 0 ? points : ring;
}

const beyond = (polygon) => polygon[0].some(([lon]) => Math.abs(lon) > 180);
const moved = (polygon, turn) => polygon.map((ring) => ring.map(([lon, lat]) => [lon + turn, lat]));

/** The countries' polygons, those that lie across 180 degrees on both sides of the map. */
export async function readLand() {
  const format = new ol.format.TopoJSON({ layers: ["countries"] });
  return format.readFeatures(await getJson("page/vendor/world-atlas/countries-50m.json")).flatMap((country) => {
    const geometry = country.getGeometry();
    const polygons = geometry.getType() === "Polygon" ? [geometry.getCoordinates()] : geometry.getCoordinates();
    return polygons.map((rings) => rings.map(unrolled))
      .flatMap((polygon) => (beyond(polygon) ? [polygon, moved(polygon, -360), moved(polygon, 360)] : [polygon]))
      .map((polygon) => new ol.Feature(new ol.geom.Polygon(polygon).transform("EPSG:4326", "EPSG:3857")));
  });
}
