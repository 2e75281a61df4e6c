// A chart over time: upwards what is newly refused, downwards what is newly allowed.

import type { Comparison } from "./api";
import { h, svg } from "./dom";

const WIDTH = 720;
const HEIGHT = 220;
const LEFT = 52;
const MIDDLE = 110;
const REACH = 85;

export function timeline({ step_s, steps }: Comparison["over_time"]): HTMLElement {
  const first = steps[0]?.ts ?? 0;
  const slots = Math.max(1, Math.round(((steps.at(-1)?.ts ?? first) - first) / step_s) + 1);
  const up = (step: (typeof steps)[0]) => step.newly_denied + step.newly_throttled;
  const most = Math.max(1, ...steps.map((step) => Math.max(up(step), step.newly_allowed)));
  const width = (WIDTH - LEFT) / slots;
  const bars = steps.flatMap((step) => {
    const x = LEFT + ((step.ts - first) / step_s) * width;
    const bar = (kind: string, n: number, down: boolean) => {
      const height = (n / most) * REACH;
      return n > 0 && svg("rect", { class: kind, x, y: down ? MIDDLE : MIDDLE - height, width: Math.max(1, width - 1), height: Math.max(1, height) }, svg("title", {}, `${moment(step.ts)}: ${n} newly ${down ? "allowed" : "refused"} of ${step.requests}`));
    };
    return [bar("bar-refused", up(step), false), bar("bar-allowed", step.newly_allowed, true)];
  });
  const total = (of: (step: (typeof steps)[0]) => number) => steps.reduce((sum, step) => sum + of(step), 0);
  const label = `From ${moment(first)} to ${moment(steps.at(-1)?.ts ?? first)}: ${total(up)} newly refused, ${total((step) => step.newly_allowed)} newly allowed, at most ${most} in one step of ${period(step_s)}.`;
  return h(
    "figure",
    { class: "timeline" },
    svg(
      "svg",
      { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label },
      svg("defs", {}, svg("pattern", { id: "bars", width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" }, svg("rect", { class: "ground-refused", width: 6, height: 6 }), svg("rect", { class: "ink-refused", width: 2, height: 6 }))),
      svg("line", { class: "axis", x1: LEFT, x2: WIDTH, y1: MIDDLE, y2: MIDDLE }),
      ...[[most, MIDDLE - REACH + 5], [0, MIDDLE + 4], [most, MIDDLE + REACH + 5]].map(([n, y]) => svg("text", { x: LEFT - 6, y: y ?? 0, "text-anchor": "end" }, (n ?? 0).toLocaleString("en"))),
      svg("text", { x: LEFT, y: 14 }, "newly refused"),
      svg("text", { x: LEFT, y: HEIGHT - 6 }, "newly allowed"),
      bars,
    ),
    h("figcaption", { class: "note" }, `${moment(first)} – ${moment(steps.at(-1)?.ts ?? first)} UTC, by ${period(step_s)}`),
  );
}

function moment(ts: number): string {
  return new Date(ts * 1000).toISOString().slice(0, 16).replace("T", " ");
}

function period(step_s: number): string {
  return { 60: "minute", 600: "ten minutes", 3600: "hour", 86400: "day", 604800: "week" }[step_s] ?? `${step_s} s`;
}
