// The editor: one for all files of the policy, each with a state of its own, so that undo knows its file.

import { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, isolateHistory } from "@codemirror/commands";
import { yaml } from "@codemirror/lang-yaml";
import { bracketMatching, foldGutter, foldKeymap, HighlightStyle, indentOnInput, syntaxHighlighting } from "@codemirror/language";
import { type Diagnostic, lintGutter, lintKeymap, setDiagnostics } from "@codemirror/lint";
import { highlightSelectionMatches, searchKeymap } from "@codemirror/search";
import { EditorState, type Extension } from "@codemirror/state";
import {
  Decoration, drawSelection, EditorView, highlightActiveLine, highlightActiveLineGutter, hoverTooltip, keymap, lineNumbers,
  MatchDecorator, ViewPlugin, type DecorationSet, type ViewUpdate,
} from "@codemirror/view";
import { tags } from "@lezer/highlight";
import type { Problem } from "./api";
import { completions } from "./completion";
import { coverageGutter } from "./coverage";
import { h } from "./dom";
import type { Store } from "./store";

const FACT = /\b(?:client|geo|account|kyc|request|extraction|lists|tier)\.[A-Za-z_][\w.]*/g;

const colours = HighlightStyle.define([
  { tag: [tags.definition(tags.propertyName), tags.propertyName], color: "var(--code-key)" },
  { tag: [tags.string, tags.content, tags.special(tags.string)], color: "var(--text)" },
  { tag: [tags.comment, tags.lineComment], color: "var(--code-comment)", fontStyle: "italic" },
  { tag: [tags.punctuation, tags.separator, tags.squareBracket, tags.brace], color: "var(--muted)" },
  { tag: [tags.meta, tags.typeName, tags.labelName], color: "var(--code-fact)" },
]);

const facts = ViewPlugin.fromClass(
  class {
    marks: DecorationSet;
    private matcher = new MatchDecorator({ regexp: FACT, decoration: Decoration.mark({ class: "cm-fact" }) });
    constructor(view: EditorView) {
      this.marks = this.matcher.createDeco(view);
    }
    update(update: ViewUpdate) {
      this.marks = this.matcher.updateDeco(update, this.marks);
    }
  },
  { decorations: (plugin) => plugin.marks },
);

export class Editor {
  readonly view: EditorView;
  current = "";
  private states = new Map<string, EditorState>();
  private extensions: Extension;
  private listeners: (() => void)[] = [];

  constructor(parent: HTMLElement, private store: Store) {
    const nonce = document.querySelector<HTMLMetaElement>("meta[name=style-nonce]")?.content ?? "";
    this.extensions = [
      EditorView.cspNonce.of(nonce),
      lineNumbers(), coverageGutter, lintGutter(), foldGutter(), history(), drawSelection(), indentOnInput(), bracketMatching(),
      closeBrackets(), highlightActiveLine(), highlightActiveLineGutter(), highlightSelectionMatches(), facts,
      yaml(), syntaxHighlighting(colours),
      autocompletion({ override: [(context) => completions(context, store, this.current)] }),
      hoverTooltip((view, at) => this.factAt(view, at)),
      // Tab is left to move on to what follows the editor: whoever uses the keyboard alone must get out of it.
      keymap.of([...closeBracketsKeymap, ...defaultKeymap, ...searchKeymap, ...historyKeymap, ...foldKeymap, ...completionKeymap, ...lintKeymap]),
      EditorView.lineWrapping,
      EditorView.contentAttributes.of({ "aria-label": "Text of the policy", spellcheck: "false", autocapitalize: "off" }),
      EditorView.updateListener.of((update) => {
        if (update.docChanged) store.edit(this.current, update.state.doc.toString());
      }),
    ];
    this.view = new EditorView({ parent, extensions: EditorView.cspNonce.of(nonce) });
    store.on("checked", () => this.showProblems());
    store.on("reread", () => this.reread());
  }

  onSwitch(listener: () => void): void {
    this.listeners.push(listener);
  }

  /** Shows a file, as it was left. */
  open(id: string): void {
    if (id === this.current) return;
    if (this.current) this.states.set(this.current, this.view.state);
    this.current = id;
    this.view.setState(this.states.get(id) ?? EditorState.create({ doc: this.store.text(id), extensions: this.extensions }));
    this.showProblems();
    for (const listener of this.listeners) listener();
  }

  /** Puts a text in the place of all there is; it can be undone. */
  replace(id: string, text: string): void {
    this.open(id);
    this.view.dispatch({ changes: { from: 0, to: this.view.state.doc.length, insert: text }, annotations: isolateHistory.of("full") });
  }

  /** Has the texts that are not edited be what is on the disk now. */
  private reread(): void {
    for (const [id, state] of this.states) if (this.store.edited[id] === undefined) this.states.set(id, state.update(difference(state, this.store.text(id))).state);
    if (this.current && this.store.edited[this.current] === undefined) this.view.dispatch(difference(this.view.state, this.store.text(this.current)));
  }

  /** Shows a place of a file, and takes the keyboard there. */
  jump(id: string, from: number, to = from): void {
    this.open(id);
    const end = this.view.state.doc.length;
    const anchor = Math.min(from, end);
    this.view.dispatch({
      selection: { anchor, head: Math.min(to, end) },
      effects: EditorView.scrollIntoView(anchor, { y: "center" }),
    });
    this.view.focus();
  }

  jumpToLine(id: string, line: number): void {
    this.open(id);
    const at = this.view.state.doc.line(Math.min(line, this.view.state.doc.lines)).from;
    this.jump(id, at);
  }

  private showProblems(): void {
    const own = (this.store.checked?.problems ?? []).filter((problem) => problem.id === this.current);
    this.view.dispatch(setDiagnostics(this.view.state, own.map((problem) => this.diagnostic(problem))));
  }

  private diagnostic(problem: Problem): Diagnostic {
    const end = this.view.state.doc.length;
    return {
      from: Math.min(problem.from, end),
      to: Math.min(Math.max(problem.to, problem.from + 1), end),
      severity: problem.severity,
      message: problem.message,
      renderMessage: () =>
        h("div", { class: "hover" }, h("p", {}, problem.message), problem.hint && h("p", { class: "hint" }, problem.hint), h("code", {}, problem.code)),
    };
  }

  private factAt(view: EditorView, at: number) {
    const line = view.state.doc.lineAt(at);
    for (const match of line.text.matchAll(FACT)) {
      const from = line.from + match.index;
      const to = from + match[0].length;
      const what = from <= at && at <= to && this.meaning(match[0]);
      if (what) return { pos: from, end: to, above: true, create: () => ({ dom: h("div", { class: "hover" }, h("code", {}, match[0]), h("p", {}, what)) }) };
    }
    return null;
  }

  private meaning(name: string): string | null {
    const fact = this.store.start.vocabulary.facts.find((one) => name === one.name || name.startsWith(`${one.name}.`));
    if (fact) return `${fact.what} (${fact.type})`;
    const policy = this.store.outline;
    const list = name.replace(/^lists\./, "").split(".")[0] ?? "";
    const items = policy && Object.hasOwn(policy.lists, list) ? policy.lists[list] : undefined;
    if (name.startsWith("lists.") && items) return `${items.length} items: ${items.slice(0, 20).join(", ")}${items.length > 20 ? " …" : ""}`;
    const tier = name.startsWith("tier.") ? policy?.tiers.indexOf(name.slice(5)) : undefined;
    if (policy && tier !== undefined && tier >= 0) return `tier ${tier + 1} of ${policy.tiers.length}: ${policy.tiers.join(" < ")}`;
    return name.startsWith("kyc.owned_by.") ? "share owned from the countries of that list, 0 to 1 (double)" : null;
  }
}

/** Returns what changes between a text and another: from where they first differ to where they last do. */
function difference(state: EditorState, text: string): { changes?: { from: number; to: number; insert: string } } {
  const before = state.doc.toString();
  if (before === text) return {};
  const least = Math.min(before.length, text.length);
  let same = 0;
  while (same < least && before[same] === text[same]) same++;
  let after = 0;
  while (after < least - same && before.at(-1 - after) === text.at(-1 - after)) after++;
  return { changes: { from: same, to: before.length - after, insert: text.slice(same, text.length - after) } };
}
