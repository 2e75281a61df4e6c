// Which rules the cases exercise, in the margin of the editor.

import { RangeSet, StateEffect, StateField } from "@codemirror/state";
import { type EditorView, gutter, GutterMarker } from "@codemirror/view";

export type Covered = { line: number; state: "full" | "part" | "none"; words: string };

const SIGNS = { full: "●", part: "◐", none: "○" };

class Mark extends GutterMarker {
  constructor(readonly covered: Covered) {
    super();
  }
  override eq(other: Mark): boolean {
    return other.covered.state === this.covered.state && other.covered.words === this.covered.words;
  }
  override toDOM(): Node {
    const mark = document.createElement("span");
    mark.className = `cover cover-${this.covered.state}`;
    mark.textContent = SIGNS[this.covered.state];
    mark.title = this.covered.words;
    return mark;
  }
}

const set = StateEffect.define<Covered[]>();

const marks = StateField.define<RangeSet<Mark>>({
  create: () => RangeSet.empty,
  update(value, transaction) {
    let moved = value.map(transaction.changes);
    for (const effect of transaction.effects) {
      if (!effect.is(set)) continue;
      const doc = transaction.state.doc;
      const shown = effect.value.filter((one) => one.line <= doc.lines).sort((a, b) => a.line - b.line);
      moved = RangeSet.of(shown.map((one) => new Mark(one).range(doc.line(one.line).from)));
    }
    return moved;
  },
});

export const coverageGutter = [marks, gutter({ class: "cm-coverage", markers: (view) => view.state.field(marks) })];

/** Shows what is covered of the file in the editor. */
export function showCoverage(view: EditorView, covered: Covered[]): void {
  view.dispatch({ effects: set.of(covered) });
}
