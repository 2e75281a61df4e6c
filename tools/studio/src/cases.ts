// The cases: what should come of which call, whether it does, and what they leave untested.

import { Latest, type CaseAnswer, type CaseFile, type CaseShown } from "./api";
import { showCoverage } from "./coverage";
import { traceView } from "./decision";
import { count, fill, h, refill } from "./dom";
import type { Editor } from "./editor";
import { problemEntry } from "./problems";
import type { Store } from "./store";

/** While all cases take less than this, they are run again whenever the policy or a case has changed. */
const QUICK_MS = 1500;

export class Cases {
  readonly element = h("div", { class: "cases" });
  private latest = new Latest();
  private answer: CaseAnswer | null = null;
  private quick = true;
  private summary = h("p", { class: "summary", role: "status" });
  private list = h("div");
  private gaps = h("div");

  constructor(private store: Store, private editor: Editor, private fault: (error: unknown) => void) {
    fill(this.element, h("div", { class: "bar" }, h("button", { type: "button", class: "primary", onclick: () => void this.runAll() }, "Run all cases")), this.summary, this.list, this.gaps);
    store.on("checked", () => (this.quick ? void this.runAll() : this.stale()));
    editor.onSwitch(() => this.margin());
  }

  async runAll(): Promise<void> {
    const began = performance.now();
    await this.run({});
    this.quick = performance.now() - began < QUICK_MS;
  }

  private async run(which: { file?: string | null; n?: number }): Promise<void> {
    this.element.setAttribute("aria-busy", "true");
    try {
      const answer = await this.latest.ask<CaseAnswer>("cases", { ...this.store.asking(), run: true, ...which });
      if (!answer) return;
      this.answer = which.file === undefined || !this.answer ? answer : merged(this.answer, answer);
      this.show();
    } catch (error) {
      this.fault(error);
    } finally {
      this.element.removeAttribute("aria-busy");
    }
  }

  private stale(): void {
    if (this.answer) fill(this.summary, "Something has changed since these were run: run them again.");
  }

  private show(): void {
    const { files, coverage, finished } = this.answer!;
    const every = files.flatMap((file) => file.cases);
    const failed = every.filter((one) => one.passed === false).length;
    const passed = every.filter((one) => one.passed).length;
    const words = [`${count(passed, "case")} passed`, failed && `${failed} failed`, every.length - passed - failed && `${every.length - passed - failed} not run`].filter(Boolean);
    fill(
      this.summary,
      every.length === 0 ? (files.length ? "No case can be run." : "No case is about this policy. Write some in a file beside it that ends in .cases.yaml.") : h("span", { class: failed ? "bad" : "good" }, words.join(", ")),
      coverage && every.length > 0 && ` · coverage ${coverage.percent} % (${coverage.seen} of ${coverage.total} sides of rules)`,
      !finished && " · stopped before the end, for it took too long",
    );
    refill(this.list, files.map((file) => this.file(file)));
    const untested = coverage?.rules.flatMap((rule) => rule.gaps.map((gap) => ({ file: rule.file, ...gap }))) ?? [];
    fill(
      this.gaps,
      untested.length > 0 && h("h2", {}, "What no case exercises"),
      h("ul", { class: "gaps" }, untested.map((gap) => h("li", {}, h("button", { type: "button", class: "link", disabled: gap.file === null, onclick: () => gap.file !== null && this.editor.jumpToLine(gap.file, gap.line) }, gap.words)))),
    );
    this.margin();
  }

  /** Shows in the editor's margin what is covered of the file in it. */
  private margin(): void {
    const rules = this.answer?.coverage?.rules ?? [];
    const own = rules.filter((rule) => rule.file === this.editor.current);
    showCoverage(
      this.editor.view,
      own.map((rule) => ({ line: rule.line, state: rule.state, words: rule.gaps.map((gap) => gap.words).join("\n") || `cases exercise all of ${rule.id}` })),
    );
  }

  private file(file: CaseFile): HTMLElement {
    return h(
      "section",
      {},
      h("div", { class: "bar", "data-key": `file ${file.name}` }, h("h2", {}, file.name), file.cases.length > 0 && h("button", { type: "button", onclick: () => void this.run({ file: file.id }) }, "Run these", h("span", { class: "hidden" }, ` of ${file.name}`))),
      file.broken && h("p", { class: "note" }, "Its policy has errors, so its cases can't be run."),
      file.problems.length > 0 && h("div", { class: "problems" }, h("ol", {}, file.problems.map((problem) => h("li", {}, problemEntry(problem, this.editor))))),
      h("ol", { class: "list" }, file.cases.map((one, n) => this.entry(file, one, n))),
    );
  }

  private entry(file: CaseFile, one: CaseShown, n: number): HTMLElement {
    const state = one.passed === null ? "waiting" : one.passed ? "passed" : "failed";
    const sign = { waiting: "·", passed: "✓", failed: "✗" }[state];
    return h(
      "li",
      { class: state, "data-key": `case ${file.name} ${one.title}` },
      h(
        "div",
        { class: "case" },
        h("span", { class: "sign", "aria-hidden": "true" }, sign),
        h("span", { class: "hidden" }, `${state}: `),
        h("button", { type: "button", class: "link name", title: "Show it in the editor", onclick: () => file.id !== null && this.editor.jumpToLine(file.id, one.line) }, one.title),
        h("button", { type: "button", class: "small", onclick: () => void this.run({ file: file.id, n }) }, "Run", h("span", { class: "hidden" }, ` ${one.title}`)),
      ),
      one.failure && this.failure(one.failure, `why ${file.name} ${one.title}`),
    );
  }

  private failure(failure: NonNullable<CaseShown["failure"]>, key: string): HTMLElement {
    const which = failure.calls > 1 ? `In call ${failure.call} of ${failure.calls}, ${failure.after_s} s after the first` : failure.after_s ? `${failure.after_s} s after the first call` : "";
    return h(
      "div",
      { class: "failure" },
      which && h("p", {}, `${which}:`),
      h(
        "table",
        {},
        h("caption", { class: "hidden" }, "What was expected, and what came"),
        h("thead", {}, h("tr", {}, ["", "Expected", "Came"].map((title) => h(title ? "th" : "td", title ? { scope: "col" } : {}, title)))),
        h("tbody", {}, failure.differences.map((one) => h("tr", {}, h("th", { scope: "row" }, one.aspect), h("td", {}, one.expected), h("td", { class: "came" }, one.came)))),
      ),
      h("details", { "data-key": key }, h("summary", {}, "Why it came so"), failure.trace.length ? traceView(failure.decision, failure.trace, (id, line) => this.editor.jumpToLine(id, line)) : h("p", {}, `It is refused before it is judged: ${failure.decision.message}`)),
    );
  }
}

/** Returns what was known with what was run since; the coverage of all no longer holds. */
function merged(before: CaseAnswer, now: CaseAnswer): CaseAnswer {
  const files = now.files.map((file) => {
    const old = before.files.find((one) => one.id === file.id);
    return { ...file, cases: file.cases.map((one) => (one.passed === null ? (old?.cases.find((other) => other.title === one.title) ?? one) : one)) };
  });
  return { ...now, files, coverage: before.coverage };
}
