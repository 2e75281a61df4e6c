// The policy as it is edited beside the one it would replace, on recorded traffic.

import { AskError, asAskError, send, type Comparison, type Row } from "./api";
import { timeline } from "./chart";
import { count, fill, h } from "./dom";
import { countryName } from "./form";
import type { Store } from "./store";

const MOST_ROWS = 50;
const CHANGES: Record<string, string> = {
  newly_denied: "Newly refused", newly_throttled: "Newly throttled", newly_allowed: "Newly allowed",
  refused_otherwise: "Refused for another reason", reshaped_otherwise: "Changed in another way", charged_otherwise: "Charged in another way",
};
const DIMENSIONS: Record<string, string> = { country: "Country", tier: "Tier", account: "Account", model: "Model", operation: "Operation", label: "Class" };

export class Compare {
  readonly element = h("div", { class: "compare" });
  private running: AbortController | null = null;
  private start = h("button", { type: "button", class: "primary", onclick: () => void this.run() }, "Compare");
  private end = h("button", { type: "button", disabled: true, onclick: () => this.running?.abort() }, "Call it off");
  private enforced = h("input", { type: "checkbox", id: "as-enforced" });
  private progress = h("div", { class: "progress" });
  private said = h("p", { role: "status", class: "note" });
  private result = h("div", { class: "result" });

  constructor(private store: Store) {
    const { recording, against } = store.start;
    if (!recording) {
      fill(this.element, h("p", {}, "No recording was named. Start the studio with ", h("code", {}, "--recording FILE"), " to see what a change would have done to recorded traffic."));
      return;
    }
    fill(
      this.element,
      h("p", { class: "note" }, "The policy as it is edited, in place of ", h("code", {}, against ?? `${store.start.name} as it is saved`), ", on ", h("code", {}, recording)),
      h("div", { class: "bar" }, this.start, this.end, h("span", { class: "check" }, this.enforced, h("label", { for: "as-enforced" }, "as if nothing in it were in shadow"))),
      this.progress,
      this.said,
      this.result,
    );
    store.on("edited", () => this.result.hasChildNodes() && fill(this.said, "The policy has been edited since this was compared."));
  }

  private async run(): Promise<void> {
    this.running?.abort();
    const own = (this.running = new AbortController());
    this.busy(true);
    fill(this.result);
    fill(this.said, "Comparing…");
    try {
      const response = await send("compare", { ...this.store.asking(), as_enforced: this.enforced.checked }, own.signal);
      for await (const line of lines(response)) {
        if (line.error) throw new AskError(line.error);
        if (line.comparison) this.show(line.comparison);
        else this.tell(line.lines ?? 0, line.share ?? null);
      }
    } catch (error) {
      const off = own.signal.aborted ? "Called off." : error instanceof AskError ? error.message : String(error);
      fill(this.progress);
      fill(this.said, h("span", { class: own.signal.aborted ? "note" : "fault" }, off));
    } finally {
      if (this.running === own) this.busy(false);
    }
  }

  /** Has one of the two buttons take the place of the other, for the keyboard as well. */
  private busy(busy: boolean): void {
    const [on, off] = busy ? [this.end, this.start] : [this.start, this.end];
    on.disabled = false;
    if (document.activeElement === off) on.focus();
    off.disabled = true;
  }

  private tell(done: number, share: number | null): void {
    fill(this.progress, h("progress", { "aria-label": "How much of the recording was compared", max: 1, ...(share === null ? {} : { value: share }) }), ` ${count(done, "line")}`);
  }

  private show(comparison: Comparison): void {
    fill(this.progress);
    const { recording } = comparison;
    if (recording.broken === recording.lines) {
      const why = recording.lines ? `None of its ${count(recording.lines, "line")} can be read: it is no recording.` : "It is empty.";
      fill(this.said, h("span", { class: "fault" }, `There is nothing to compare on. ${why}`));
      return;
    }
    const letIn = comparison.old.effects.allow ?? 0;
    const refused = comparison.newly_refused;
    const share = letIn ? ` (${((100 * refused) / letIn).toLocaleString("en", { maximumFractionDigits: 2 })} %)` : "";
    const notes = [
      recording.broken && `${count(recording.broken, "line")} of the recording can't be read.`,
      recording.redacted && `${count(recording.redacted, "request")} of it have no prompt, so detection knows only their fingerprints.`,
      recording.rejected && `${count(recording.rejected, "request")} are refused before any policy is asked.`,
    ].filter((note): note is string => !!note);
    const first = `${count(refused, "request")} of ${letIn.toLocaleString("en")}${share} would no longer be let in`;
    const rest = `${count(comparison.changes.newly_allowed ?? 0, "request")} that ${comparison.changes.newly_allowed === 1 ? "was" : "were"} refused would be.`;
    fill(this.said, h("span", { class: "hidden" }, `Compared: ${first}; ${rest}`));
    fill(
      this.result,
      h("p", { class: "answer" }, h("strong", { class: refused ? "bad" : "good" }, first), `; ${rest}`),
      notes.map((note) => h("p", { class: "note" }, note)),
      h("h2", {}, "Over time"),
      timeline(comparison.over_time),
      h("h2", {}, "What changes"),
      this.reasons(comparison),
      h("h2", {}, "For whom"),
      Object.entries(comparison.by).map(([name, grouped]) => this.grouped(name, grouped)),
      h("h2", {}, "In the policy"),
      edits(comparison),
    );
  }

  private reasons(comparison: Comparison): HTMLElement {
    if (!comparison.reasons.length) return h("p", {}, "Every request fares as before.");
    return h("ul", { class: "reasons" }, comparison.reasons.slice(0, MOST_ROWS).map((reason) =>
      h(
        "li",
        {},
        h("details", {},
          h("summary", {}, h("strong", {}, CHANGES[reason.change] ?? reason.change), `: ${count(reason.requests, "request")} of ${reason.more_accounts ? "more than " : ""}${count(reason.accounts, "account")}, `, h("code", {}, reason.old.because.join(", ")), " → ", h("code", {}, reason.new.because.join(", ")), reason.new.unknown.length > 0 && ` (unknown: ${reason.new.unknown.join(", ")})`),
          table(["Line", "Time", "Account", "Tier", "Country", "Model"], reason.examples.map((one) => [String(one.n + 1), when(one.ts), one.account ?? "nobody", one.tier, one.country ?? "unknown", one.model ?? "unknown"]), "Examples"),
        ),
      )));
  }

  private grouped(name: string, { rows }: { rows: Row[] }): HTMLElement | null {
    const touched = rows.filter((row) => refusedOf(row) || row.newly_allowed);
    if (!touched.length) return null;
    const named = (row: Row) => (name === "country" && /^[A-Z]{2}$/.test(row.value) ? `${countryName(row.value)} (${row.value})` : row.value || "none");
    const shown = touched.slice(0, MOST_ROWS).map((row) => [named(row), number(row.requests), number(refusedOf(row)), number(row.newly_allowed)]);
    return h("details", { open: name === "country" }, h("summary", {}, `${DIMENSIONS[name] ?? name}: ${touched.length} with changes`), table([DIMENSIONS[name] ?? name, "Requests", "Newly refused", "Newly allowed"], shown, `By ${name}`));
  }
}

function refusedOf(row: Row): number {
  return row.newly_denied + row.newly_throttled;
}

function number(n: number): string {
  return n.toLocaleString("en");
}

function when(ts: number): string {
  return new Date(ts * 1000).toISOString().slice(0, 19).replace("T", " ");
}

function table(titles: string[], rows: string[][], caption: string): HTMLElement {
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
    h("table", {}, h("caption", { class: "hidden" }, caption),
      h("thead", {}, h("tr", {}, titles.map((title) => h("th", { scope: "col" }, title)))),
      h("tbody", {}, rows.map((row) => h("tr", {}, row.map((cell, n) => h(n ? "td" : "th", n ? {} : { scope: "row" }, cell)))))));
}

function edits({ policy_changes: { rules, lists, keys } }: Comparison): HTMLElement {
  const words = [
    ...keys.map((one) => `${one.key}: ${one.old ?? "none"} → ${one.new ?? "none"}`),
    ...lists.map((one) => `list ${one.name}: ${one.edit}${one.added.length ? `; in: ${one.added.join(", ")}` : ""}${one.removed.length ? `; out: ${one.removed.join(", ")}` : ""}`),
    ...rules.map((one) => `${one.kind} ${one.id}: ${one.edit}${one.old_id ? ` from ${one.old_id}` : ""}${one.keys.map((key) => `; ${key.key}: ${key.old ?? "none"} → ${key.new ?? "none"}`).join("")}`),
  ];
  return words.length ? h("ul", {}, words.map((one) => h("li", {}, one))) : h("p", {}, "Nothing differs but words that decide nothing.");
}

type Line = { error?: string; lines?: number; share?: number | null; comparison?: Comparison };

/** Yields the lines of JSON of a response as they come. */
async function* lines(response: Response): AsyncGenerator<Line> {
  if (!response.ok) throw new AskError((await response.json()).error ?? "The studio could not answer.");
  const reader = response.body!.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read().catch((error: unknown) => {
      throw asAskError(error);
    });
    if (done) return;
    const whole = (rest + decoder.decode(value, { stream: true })).split("\n");
    rest = whole.pop() ?? "";
    for (const line of whole) yield JSON.parse(line) as Line;
  }
}
