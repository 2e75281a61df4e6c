// The made-up call: a field for every fact, those that the policy reads first. Unknown is a choice of its own.

import type { Fact, Field } from "./api";
import { fill, h } from "./dom";
import type { Store } from "./store";

const GROUPS: Record<string, string> = {
  client: "Where the call comes from", geo: "Where the call comes from", account: "Account", kyc: "What is known of the customer",
  request: "What is asked for", extraction: "Signs of model extraction", now: "Time",
};
/** Shown first, whatever a policy reads. */
const USUAL = ["client.country", "account.id", "kyc.tier", "kyc.status", "request.model", "request.operation", "extraction.score"];
const countries = new Intl.DisplayNames(["en"], { type: "region" });

export function countryName(code: string): string {
  try {
    return countries.of(code) ?? code;
  } catch {
    return code;
  }
}

export class Form {
  readonly element = h("form", { class: "facts", autocomplete: "off", onsubmit: (event: Event) => event.preventDefault() });
  private shown = "";

  constructor(private store: Store) {
    store.on("checked", () => this.show());
    store.on("filled", () => {
      this.shown = "";
      this.show();
    });
    this.show();
  }

  /** Makes the fields anew where others are read, or there are other tiers, than before. */
  show(): void {
    const policy = this.store.outline;
    const shown = JSON.stringify([policy?.reads, policy?.tiers]);
    if (shown === this.shown) return;
    this.shown = shown;
    const tiers = policy?.tiers ?? [];
    // The lowest tier is that of callers without an account; a form begins with the first that is somebody's.
    if (!tiers.includes(String(this.store.facts["kyc.tier"]))) this.store.facts["kyc.tier"] = tiers[1] ?? tiers[0] ?? null;
    const read = new Set([...USUAL, ...(policy?.reads ?? []).map((name) => (name.startsWith("kyc.owned_by.") ? "kyc.ownership" : name))]);
    const fields = this.store.start.fields;
    const first = fields.filter((field) => read.has(field.name));
    const rest = fields.filter((field) => !read.has(field.name));
    fill(
      this.element,
      h("fieldset", { class: "first" }, h("legend", { class: "hidden" }, "What the policy reads"), h("div", { class: "fields" }, first.map((field) => this.field(field)))),
      h("details", { class: "more" }, h("summary", {}, `${rest.length} more facts, which this policy does not read`), this.grouped(rest)),
    );
  }

  private grouped(fields: Field[]): HTMLElement[] {
    const groups = new Map<string, Field[]>();
    for (const field of fields) {
      const title = GROUPS[field.name.split(".")[0] ?? ""] ?? "Other";
      groups.set(title, [...(groups.get(title) ?? []), field]);
    }
    return [...groups].map(([title, members]) =>
      h("fieldset", {}, h("legend", {}, title), h("div", { class: "fields" }, members.map((field) => this.field(field)))),
    );
  }

  private field(field: Field): HTMLElement {
    const id = `fact-${field.name.replaceAll(".", "-")}`;
    const value = this.store.facts[field.name] ?? null;
    const fault = h("span", { class: "fault", id: `${id}-fault` });
    const control = this.control(field, id, value, fault);
    const row = h("div", { class: "field" }, h("label", { for: id, title: field.what }, h("code", {}, field.name)), control, fault);
    if (field.always || control instanceof HTMLSelectElement) return row;
    const unknown = h("input", {
      type: "checkbox",
      id: `${id}-unknown`,
      checked: value === null,
      onchange: () => {
        control.disabled = unknown.checked;
        fill(fault);
        this.store.state(field.name, unknown.checked ? null : (read(field, control.value) ?? null));
      },
    });
    control.disabled = value === null;
    row.append(h("span", { class: "unknown" }, unknown, h("label", { for: `${id}-unknown` }, "unknown", h("span", { class: "hidden" }, ` ${field.name}`))));
    return row;
  }

  private control(field: Field, id: string, value: Fact, fault: HTMLElement): HTMLInputElement | HTMLSelectElement {
    const options = this.options(field);
    const state = (control: HTMLInputElement | HTMLSelectElement) => {
      const stated = read(field, control.value);
      fill(fault, stated === undefined && `This must be ${WANTED[field.type] ?? "a text"}; until then it counts as ${written(this.store.facts[field.name] ?? null) || "unknown"}.`);
      control.setAttribute("aria-invalid", String(stated === undefined));
      if (stated !== undefined) this.store.state(field.name, stated);
    };
    if (options) {
      const select = h("select", { id, title: field.what, onchange: () => state(select) }, options.map(([option, words]) => h("option", { value: option }, words)));
      select.value = value === null ? "" : written(value);
      return select;
    }
    const input = h("input", { id, title: field.what, "aria-describedby": fault.id, spellcheck: "false", value: written(value), oninput: () => state(input), ...KINDS[field.type] });
    return input;
  }

  private options(field: Field): [string, string][] | null {
    const unknown: [string, string][] = field.always ? [] : [["", "unknown"]];
    if (field.name === "kyc.tier") return (this.store.outline?.tiers ?? ["none"]).map((name) => [name, name]);
    if (field.type === "bool") return [...unknown, ["true", "yes"], ["false", "no"]];
    if (!field.choices.length) return null;
    const named = field.name.endsWith("country") ? (code: string) => `${code} · ${countryName(code)}` : (word: string) => word;
    return [...unknown, ...field.choices.map((word): [string, string] => [word, named(word)])];
  }
}

const KINDS: Record<string, Record<string, string>> = {
  int: { type: "number", step: "1" },
  double: { type: "number", step: "any" },
  timestamp: { type: "datetime-local", step: "1" },
};
const WANTED: Record<string, string> = {
  int: "a whole number", double: "a number", timestamp: "a time", "map(string, double)": "like US: 0.6, CN: 0.4",
  "map(string, string)": "like plan: gold, region: eu",
};

function written(value: Fact): string {
  if (value === null) return "";
  if (Array.isArray(value)) return value.join(", ");
  if (typeof value === "object") return Object.entries(value).map(([name, part]) => `${name}: ${part}`).join(", ");
  return String(value);
}

/** Returns what was written as a fact; undefined where it is none. */
function read(field: Field, text: string): Fact | undefined {
  switch (field.type) {
    case "bool":
      return text === "" ? null : text === "true";
    case "int":
      return /^-?\d+$/.test(text) && Number.isSafeInteger(Number(text)) ? Number(text) : undefined;
    case "double":
      return text.trim() && Number.isFinite(Number(text)) ? Number(text) : undefined;
    case "timestamp":
      return text === "" ? null : text;
    case "list(string)":
      return text.split(",").map((item) => item.trim()).filter(Boolean);
    case "map(string, string)":
    case "map(string, double)":
      return mapping(text, field.type === "map(string, double)");
    default:
      return text === "" && field.choices.length ? null : text;
  }
}

function mapping(text: string, numbers: boolean): Record<string, string | number> | undefined {
  const found = Object.create(null) as Record<string, string | number>; // whatever a name is, it is but a name
  for (const item of text.split(",").filter((part) => part.trim())) {
    const [, name = "", value = ""] = /^\s*([^:]+?)\s*:\s*(.*?)\s*$/.exec(item) ?? [];
    if (!name || (numbers && (!value || !Number.isFinite(Number(value))))) return undefined;
    found[name] = numbers ? Number(value) : value;
  }
  return found;
}
