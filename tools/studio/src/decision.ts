// A decision and why: first the answer, then what the caller is told, then every rule with the values of its parts.

import type { Charge, Decided, Decision, Part, TracedRule } from "./api";
import { count, h } from "./dom";

type Jump = (file: string, line: number) => void;

const SIGNS = { true: "✓", false: "✗", unknown: "?", value: "·" };
const WORDS = { true: "true", false: "false", unknown: "unknown", value: "" };

/** Returns the answer in a few words. */
export function answerView({ decision }: Decided): HTMLElement {
  if (!decision) return h("p", { class: "note" }, "The policy has errors. Mend them to see what it decides.");
  return answer(decision);
}

/** Returns what follows from the decision, and every rule with the values of its parts. */
export function decisionView({ decision, trace }: Decided, jump: Jump): HTMLElement[] {
  return decision ? [details(decision), ...traceView(decision, trace, jump)] : [];
}

function answer(decision: Decision): HTMLElement {
  const allowed = decision.effect === "allow";
  const by = decision.rules.length ? `by ${decision.rules.join(", ")}` : "because no rule allows it";
  return h(
    "div",
    { class: `answer ${allowed ? "yes" : "no"}` },
    h("p", { class: "verdict" }, h("span", { "aria-hidden": "true", class: "sign" }, allowed ? "✓" : "✗"), allowed ? "Allowed" : `Refused (${decision.status})`),
    h("p", {}, by),
    decision.would && h("p", { class: "would" }, `In shadow: it would be ${decision.would === "deny" ? "refused" : decision.would} by ${decision.shadow_rules.join(", ") || "the want of an allow"}.`),
  );
}

function details(decision: Decision): HTMLElement {
  const { remove, cap, hide } = decision.reshaping;
  const told = decision.message ? `“${decision.message}”` : "nothing but that this service refuses it";
  const changes = [
    remove.length ? `${remove.join(", ")} taken out` : "",
    ...Object.entries(cap).map(([name, most]) => `${name} at most ${most.toLocaleString("en")}`),
    hide.length ? `${hide.join(", ")} left out of the answer` : "",
  ].filter(Boolean);
  const rows: [string, (Node | string)[]][] = [];
  if (decision.effect !== "allow") rows.push(["The caller is told", [told, ...(decision.help_url ? [` and to read ${decision.help_url}`] : [])]]);
  if (decision.unknown.length) rows.push(["Unknown, and counted against the caller", [decision.unknown.join(", ")]]);
  if (changes.length) rows.push(["Changed in the call", [changes.join("; ")]]);
  if (decision.charges.length) rows.push(["Charged, if the buckets hold as much", [h("ul", {}, decision.charges.map((charge) => h("li", {}, chargeWords(charge))))]]);
  return h("dl", { class: "facts-of-decision" }, rows.flatMap(([name, words]) => [h("dt", {}, name), h("dd", {}, ...words)]));
}

function chargeWords(charge: Charge): string {
  const number = (n: number) => n.toLocaleString("en", { maximumFractionDigits: 2 });
  const period = { 1: "second", 60: "minute", 3600: "hour", 86400: "day" }[charge.period_s] ?? `${charge.period_s} s`;
  return (
    `${charge.throttle}: ${number(charge.amount)} ${unitOf(charge)} of the ${number(charge.burst)} in the bucket “${charge.key}”, ` +
    `which refills by ${number(charge.rate)} per ${period}${charge.shadow ? " (in shadow: refuses nothing)" : ""}`
  );
}

function unitOf({ amount, unit }: Charge): string {
  const words = unit.replace("_", " ");
  return amount === 1 ? words.replace(/s$/, "") : words;
}

/** Every rule: those that made the decision open, the rest closed. */
export function traceView(decision: Decision, trace: TracedRule[], jump: Jump): HTMLElement[] {
  const refused = decision.effect !== "allow";
  const named = [...decision.rules, ...decision.shadow_rules];
  const isAllow = (rule: TracedRule) => rule.kind === "allow";
  const causes = trace.filter((rule) => named.includes(rule.id) || (refused && !decision.rules.length && isAllow(rule)));
  const consequences = refused ? [] : trace.filter((rule) => !causes.includes(rule) && rule.applies && (rule.kind === "reshape" || rule.kind === "throttle"));
  const rest = trace.filter((rule) => !causes.includes(rule) && !consequences.includes(rule));
  const title = !refused ? "Why it is allowed" : decision.rules.length ? "Why it is refused" : "No rule allows it";
  return [
    h("h2", {}, title),
    ...causes.map((rule) => ruleView(rule, jump, true)),
    ...(consequences.length ? [h("h2", {}, "What then applies"), ...consequences.map((rule) => ruleView(rule, jump, true))] : []),
    h("h2", {}, count(rest.length, "other rule")),
    ...rest.map((rule) => ruleView(rule, jump, false)),
  ];
}

function ruleView(rule: TracedRule, jump: Jump, open: boolean): HTMLElement {
  const { file, line } = rule;
  return h(
    "details",
    { class: `rule ${rule.applies ? "applies" : ""}`, open, "data-open": open, "data-key": `rule ${rule.id}` },
    h("summary", {}, h("span", { class: `kind kind-${rule.kind}` }, rule.kind), " ", h("code", {}, rule.id), rule.shadow && h("span", { class: "chip" }, "shadow"), rule.unknown && h("span", { class: "chip doubt" }, "unknown")),
    rule.description && h("p", { class: "description" }, rule.description),
    rule.unknown && h("p", { class: "doubt" }, `${rule.unknown}: doubt counts against the caller`),
    ...Object.entries(rule.expressions).map(([key, part]) => h("div", { class: "expression" }, h("span", { class: "key" }, `${key}:`), h("ul", { class: "parts" }, partView(part)))),
    file !== null && h("p", {}, h("button", { type: "button", class: "link", onclick: () => jump(file, line) }, `Show it in the editor (line ${line})`)),
  );
}

function partView(part: Part): HTMLElement {
  const compound = part.parts.filter((inner) => inner.kind !== "literal");
  const nested = compound.filter((inner) => inner.kind !== "value");
  // A comparison says on one line what its sides are; what is made of conditions gets a line for each.
  const sides = part.kind === "relation" ? compound.filter((inner) => inner.kind === "value" && !inner.source.startsWith("tier.")) : [];
  const below = ["or", "and", "not", "choice"].includes(part.kind) ? part.parts : nested;
  return h(
    "li",
    { class: `part ${part.state}` },
    h("span", { class: "state", "aria-hidden": "true" }, SIGNS[part.state]),
    h("code", {}, part.source),
    h("span", { class: "value" }, part.state === "value" ? `= ${part.value}` : WORDS[part.state]),
    part.state === "unknown" && h("span", { class: "because" }, part.value),
    sides.map((side) => h("span", { class: "side" }, `${side.source} = ${side.state === "unknown" ? "unknown" : side.value}`)),
    below.length > 0 && h("ul", {}, below.map(partView)),
  );
}
