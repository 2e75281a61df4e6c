// The map of the world as paths, made from Natural Earth's borders (public domain, by the npm package world-atlas).
//
// The projection is Equal Earth, which keeps areas in proportion. Countries too small to be seen are given as a point.
// Antarctica is left out: nobody calls from there, and it would take a tenth of the page.
import { geoEqualEarth, geoPath } from "d3-geo";
import countries from "i18n-iso-countries";
import { createRequire } from "node:module";
import { presimplify, quantile, simplify } from "topojson-simplify";
import { feature } from "topojson-client";

const WIDTH = 1000;
const MARGIN = 12;
const DETAIL = 0.12; // the part of Natural Earth's points that is kept, the most telling first
const SMALL = 4; // in units of the map, across
const LEFT_OUT = new Set(["AQ"]);
// Natural Earth draws these by themselves without a code of ISO's; databases of addresses give them these.
const BY_NAME = { Kosovo: "XK", Somaliland: "SO", "N. Cyprus": "CY" };

const topology = createRequire(import.meta.url)("world-atlas/countries-50m.json");

/** Returns width, height, and by code each country's path, or the point where it is too small for one. */
export function world() {
  const weighed = presimplify(topology);
  const simple = simplify(weighed, quantile(weighed, DETAIL));
  const features = feature(simple, simple.objects.countries).features;
  const drawn = features.map((one) => ({ ...one, code: codeOf(one) })).filter((one) => one.code && !LEFT_OUT.has(one.code));
  const all = { type: "FeatureCollection", features: drawn };
  const projection = geoEqualEarth().rotate([-10, 0]).fitWidth(WIDTH - 2 * MARGIN, all);
  const [x, y] = projection.translate();
  projection.translate([x + MARGIN, y + MARGIN]);
  const path = geoPath(projection).digits(1);
  const height = Math.ceil(path.bounds(all)[1][1]) + MARGIN;
  const shapes = {};
  for (const one of drawn.sort((a, b) => (a.code < b.code ? -1 : 1))) {
    const shape = shapes[one.code] ?? (shapes[one.code] = { d: "" });
    shape.d += path(one) ?? "";
    const [[left, top], [right, bottom]] = path.bounds(one);
    if (Math.max(right - left, bottom - top) < SMALL) {
      shape.at = path.centroid(one).map((n) => Math.round(n * 10) / 10);
    }
  }
  return { width: WIDTH, height, countries: shapes };
}

function codeOf(one) {
  return BY_NAME[one.properties.name] ?? countries.numericToAlpha2(one.id ?? "");
}
