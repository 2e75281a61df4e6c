// The problems of the policy as a list: each leads to its place in the editor.

import type { Checked, Problem } from "./api";
import { count, h, refill } from "./dom";
import type { Editor } from "./editor";
import type { Store } from "./store";

const MOST = 200;

export class Problems {
  readonly element = h("section", { class: "problems", "aria-label": "Problems" });

  constructor(private store: Store, private editor: Editor) {
    store.on("checked", () => this.show());
  }

  private show(): void {
    const { problems = [], errors = 0, warnings = 0 } = this.store.checked ?? {};
    const more = errors + warnings - MOST;
    refill(
      this.element,
      problems.length > 0 && h("ol", { "data-key": "problems" }, problems.slice(0, MOST).map((problem) => h("li", {}, problemEntry(problem, this.editor)))),
      more > 0 && h("p", { class: "note" }, `… and ${more.toLocaleString("en")} more.`),
    );
  }
}

/** Returns one problem, which leads to its place in the editor. */
export function problemEntry(problem: Problem, editor: Editor): HTMLElement {
  const { id } = problem;
  return h(
    "button",
    { type: "button", class: problem.severity, disabled: id === null, onclick: () => id !== null && editor.jump(id, problem.from, problem.to) },
    h("span", { class: "severity" }, problem.severity),
    h("span", { class: "message" }, problem.message, problem.hint && h("span", { class: "hint" }, ` — ${problem.hint}`)),
    h("span", { class: "at" }, `${problem.file.split("/").pop()}:${problem.line}:${problem.column}`),
    h("code", {}, problem.code),
  );
}

/** Returns in a few words how many problems there are. */
export function verdict({ errors, warnings }: Checked): string {
  if (!errors && !warnings) return "No problems";
  return [errors && count(errors, "error"), warnings && count(warnings, "warning")].filter(Boolean).join(", ");
}
