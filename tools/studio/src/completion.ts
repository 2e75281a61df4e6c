// What can be written at the cursor: keys and their words where YAML stands, facts and functions where conditions do.

import type { Completion, CompletionContext, CompletionResult } from "@codemirror/autocomplete";
import type { Text } from "@codemirror/state";
import type { Callable, Key } from "./api";
import { h } from "./dom";
import type { Store } from "./store";

const EXPRESSIONS = ["deny", "allow", "when", "key", "cost"];
const KEY_LINE = /^(\s*(?:- +)?)([\w.]+):(?:\s+(.*))?$/;
const COMPARED = /([a-z_]+(?:\.[a-z_]+)+)\s*(?:==|!=|in)\s*\[?(?:\s*"[^"]*"\s*,)*\s*"([\w-]*)$/;

/** Returns what fits at the cursor, in the file of that number. */
export function completions(context: CompletionContext, store: Store, file: string): CompletionResult | null {
  const line = context.state.doc.lineAt(context.pos);
  const before = line.text.slice(0, context.pos - line.from);
  if (before.trimStart().startsWith("#")) return null;
  const { keys, case_keys } = store.start.vocabulary;
  if (store.files.find((one) => one.id === file)?.kind === "cases") return yaml(context, before, line.number, case_keys, store);
  const inside = keyAround(context.state.doc, line.number, before);
  if (inside && EXPRESSIONS.includes(inside)) return expression(context, before, store);
  return yaml(context, before, line.number, keys, store);
}

function expression(context: CompletionContext, before: string, store: Store): CompletionResult | null {
  const compared = COMPARED.exec(before);
  if (compared) {
    const choices = store.start.fields.find((field) => field.name === compared[1])?.choices ?? [];
    if (!choices.length) return null;
    return { from: context.pos - (compared[2] ?? "").length, options: choices.map((label) => ({ label, type: "constant" })), validFor: /^[\w-]*$/ };
  }
  const word = /[\w.]*$/.exec(before)?.[0] ?? "";
  if (!word && !context.explicit) return null;
  const { facts, functions } = store.start.vocabulary;
  const policy = store.outline;
  const options: Completion[] = [
    ...facts.map((fact) => ({ label: fact.name, type: "variable", detail: fact.type, info: explained(fact.what, fact.example) })),
    ...Object.entries(policy?.lists ?? {}).flatMap(([name, items]) => [
      { label: `lists.${name}`, type: "enum", detail: `${items.length} items` },
      { label: `kyc.owned_by.${name}`, type: "variable", detail: "double", info: "share owned from the countries of that list" },
    ]),
    ...(policy?.tiers ?? []).map((name) => ({ label: `tier.${name}`, type: "enum" })),
    ...["true", "false"].map((label) => ({ label, type: "keyword" })),
    ...functions.filter((one) => one.forms.some((form) => form.startsWith(`${one.name}(`))).map(completionOf),
  ];
  const called = /\.(\w*)$/.exec(word);
  if (called && !options.some((option) => option.label.startsWith(word))) {
    return {
      from: context.pos - (called[1] ?? "").length,
      options: functions.filter((one) => one.follows_a_dot).map(completionOf),
      validFor: /^\w*$/,
    };
  }
  return { from: context.pos - word.length, options, validFor: /^[\w.]*$/ };
}

function completionOf({ name, what, forms }: Callable): Completion {
  return { label: name, type: "function", info: explained(what, forms[0] ?? name) };
}

function explained(what: string, code: string): () => HTMLElement {
  return () => h("div", {}, h("p", {}, what), h("code", {}, code));
}

function yaml(context: CompletionContext, before: string, line: number, top: Key[], store: Store): CompletionResult | null {
  const place = placeOf(context.state.doc, line, before, top);
  const name = /^\s*(?:- +)?([\w.]*)$/.exec(before);
  if (name && (name[1] || context.explicit)) {
    const options = place.keys
      .filter((key) => !place.present.includes(key.name))
      .map((key) => ({ label: key.name, apply: key.keys.length ? `${key.name}:` : `${key.name}: `, type: "property", info: key.what, boost: key.required ? 1 : 0 }));
    return options.length ? { from: context.pos - (name[1] ?? "").length, options, validFor: /^[\w.]*$/ } : null;
  }
  const value = /^\s*(?:- +)?([\w.]+):\s+\[?(?:[\w-]+,\s*)*([\w-]*)$/.exec(before);
  const words = wordsOf(place.keys.find((key) => key.name === value?.[1]), store);
  if (!value || !words.length) return null;
  return { from: context.pos - (value[2] ?? "").length, options: words.map((label) => ({ label, type: "constant" })), validFor: /^[\w-]*$/ };
}

/** Returns what a key may be: its own words, or those of the fact of its name, or of the policy. */
function wordsOf(key: Key | undefined, store: Store): string[] {
  if (!key || key.options.length) return key?.options ?? [];
  const policy = store.outline;
  if (key.name === "kyc.tier") return policy?.tiers ?? [];
  if (key.name === "rules" || key.name === "shadow_rules") return policy?.rules.map((rule) => rule.id) ?? [];
  return store.start.fields.find((field) => field.name === key.name)?.choices ?? [];
}

/** Returns the key whose value the cursor stands in, on this line or on the lines of a folded text before it. */
function keyAround(doc: Text, line: number, before: string): string | null {
  const own = /^\s*(?:- +)?(\w+):\s/.exec(before)?.[1];
  if (own) return own;
  const indent = /^\s*/.exec(before)?.[0].length ?? 0;
  for (let above = line - 1; above > 0; above--) {
    const text = doc.line(above).text;
    const [, margin = "", key = null, value = ""] = KEY_LINE.exec(text) ?? [];
    if (key && margin.length < indent) return value ? key : null;
    if (/^\S/.test(text)) return null;
  }
  return null;
}

/** Returns which keys may stand at a line, and which stand beside it already. */
function placeOf(doc: Text, line: number, before: string, top: Key[]): { keys: Key[]; present: string[] } {
  const indent = indentOf(before);
  const path: string[] = [];
  let least = indent;
  for (let above = line - 1; above > 0 && least > 0; above--) {
    const text = doc.line(above).text;
    const found = KEY_LINE.exec(text);
    if (found && indentOf(text) < least && !(found[3] ?? "").trim()) {
      path.unshift(found[2] ?? "");
      least = indentOf(text);
    } else if (/^[A-Za-z]/.test(text)) {
      path.unshift(text.split(":")[0] ?? "");
      least = 0;
    }
  }
  let keys = top;
  for (const name of path) keys = keys.find((key) => key.name === name)?.keys ?? [];
  return { keys, present: siblings(doc, line, indent) };
}

function siblings(doc: Text, line: number, indent: number): string[] {
  const found: string[] = [];
  const starts = (text: string) => /^\s*- /.test(text) && indentOf(text) === indent;
  for (let at = line; at > 0; at--) {
    const text = doc.line(at).text;
    if (text.trim() && indentOf(text) < indent) break;
    if (at !== line && indentOf(text) === indent) found.push(KEY_LINE.exec(text)?.[2] ?? "");
    if (starts(text)) break;
  }
  for (let at = line + 1; at <= doc.lines; at++) {
    const text = doc.line(at).text;
    if (text.trim() && (indentOf(text) < indent || starts(text))) break;
    if (indentOf(text) === indent) found.push(KEY_LINE.exec(text)?.[2] ?? "");
  }
  return found;
}

/** Returns the column at which a line's key stands: that of what follows the dash of an item. */
function indentOf(text: string): number {
  return /^\s*(?:- +)?/.exec(text)?.[0].length ?? 0;
}
