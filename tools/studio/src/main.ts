// The studio's page: the editor on one side, what the policy does on the other.

import { ask, AskError, Latest, type Decided, type Start } from "./api";
import { Cases } from "./cases";
import { Compare } from "./compare";
import { answerView, decisionView } from "./decision";
import { count, fill, h, refill, settled } from "./dom";
import { Editor } from "./editor";
import { Form } from "./form";
import { alt, control, keyboard } from "./keys";
import { WorldMap } from "./map";
import { Paste } from "./paste";
import { Problems, verdict } from "./problems";
import { SaveDialog } from "./save";
import { Store } from "./store";
import "./styles/base.css";
import "./styles/editor.css";
import "./styles/tools.css";
import { Tabs } from "./tabs";
import { themeChoice } from "./theme";

const TYPING_MS = 250;

async function main(): Promise<void> {
  const app = document.getElementById("app")!;
  try {
    const store = new Store(await ask<Start>("start"));
    await store.check();
    fill(app);
    page(app, store);
  } catch (error) {
    fill(app, h("main", { class: "sorry" }, h("h1", {}, "modelfence studio"), h("p", { role: "alert" }, words(error))));
  }
}

function page(app: HTMLElement, store: Store): void {
  const notice = h("p", { class: "notice", role: "status" });
  const failure = h("p", { class: "notice", role: "alert" });
  const fault = (error: unknown) => fill(failure, h("span", { class: "fault" }, words(error)));
  const behind = h("p", { class: "notice doubt", role: "status" });
  const text = h("div", { class: "text", id: "editor", tabindex: -1 });
  const editor = new Editor(text, store);
  const problems = new Problems(store, editor);
  const jump = (file: string, line: number) => editor.jumpToLine(file, line);
  const answer = h("div", { class: "answering", "aria-live": "polite" });
  const decision = h("div", { class: "decision" });
  const form = new Form(store);
  const cases = new Cases(store, editor, fault);
  const map = new WorldMap(store, fault);
  const tabs = new Tabs("What the policy does", [
    { id: "request", title: "Request", panel: h("div", { class: "request" }, answer, new Paste(store).element, form.element, decision), onShow: () => refresh() },
    { id: "cases", title: "Cases", panel: h("div", {}, cases.element) },
    { id: "map", title: "Map", panel: h("div", {}, map.element), onShow: () => refresh() },
    { id: "compare", title: "Compare", panel: h("div", {}, new Compare(store).element) },
  ]);
  const latest = new Latest();
  const decide = async () => {
    const decided = await latest.ask<Decided>("decide", store.asking());
    if (!decided) return;
    fill(failure);
    const view = answerView(decided);
    if (answer.textContent !== view.textContent) fill(answer, view);
    refill(decision, decisionView(decided, jump));
  };
  const check = () => void store.check().catch((error: unknown) => {
    fault(error);
    fill(status, h("span", { class: "bad" }, "Not checked"));
  });
  // The page is put together before anything is asked, so what is shown is asked for as soon as all is there.
  function refresh(): void {
    if (!app.hasChildNodes()) return;
    if (tabs.current === "request") void decide().catch(fault);
    if (tabs.current === "map") void map.show();
  }
  const save = new SaveDialog(store, editor, (said) => {
    fill(notice, said);
    header();
    check();
  });
  const keys = keyboard([
    { keys: "Ctrl S", does: "Save: show what would be written", matches: (event) => control(event, "s"), run: () => void save.open() },
    { keys: "Alt 1", does: "Request", matches: (event) => alt(event, "Digit1"), run: () => tabs.focus("request") },
    { keys: "Alt 2", does: "Cases", matches: (event) => alt(event, "Digit2"), run: () => tabs.focus("cases") },
    { keys: "Alt 3", does: "Map", matches: (event) => alt(event, "Digit3"), run: () => tabs.focus("map") },
    { keys: "Alt 4", does: "Compare", matches: (event) => alt(event, "Digit4"), run: () => tabs.focus("compare") },
    { keys: "Ctrl Enter", does: "Run all cases", matches: (event) => control(event, "enter"), run: () => { tabs.focus("cases"); void cases.runAll(); } },
    { keys: "Alt E", does: "Editor", matches: (event) => alt(event, "KeyE"), run: () => editor.view.focus() },
  ]);
  const files = h("select", { id: "file", onchange: () => editor.open(files.value) });
  const status = h("p", { class: "status", role: "status" });
  const saving = h("button", { type: "button", class: "primary", onclick: () => void save.open() }, "Save…");

  function header(): void {
    const changed = Object.keys(store.edited).length;
    saving.disabled = !changed;
    fill(files, store.files.map((file) => h("option", { value: file.id, selected: file.id === editor.current }, `${store.edited[file.id] === undefined ? "" : "● "}${file.name}`)));
    files.value = editor.current;
    document.title = `${changed ? "● " : ""}${store.start.name} · modelfence studio`;
  }
  function checked(): void {
    const found = store.checked;
    if (!found) return;
    fill(failure);
    fill(
      status,
      h("span", { class: found.errors ? "bad" : "good" }, verdict(found)),
      found.policy && ` · ${count(found.policy.rules.length, "rule")} · ${found.policy.mode} · ${found.policy.hash}`,
    );
    fill(behind, store.behind.length > 0 && `Changed on the disk since it was opened here: ${store.behind.join(", ")}. Save… shows how.`);
    header();
    refresh();
  }

  store.on("edited", () => fill(notice));
  store.on("edited", () => header());
  store.on("edited", settled(TYPING_MS, check));
  window.addEventListener("focus", check); // somebody may have changed a file elsewhere
  store.on("facts", settled(TYPING_MS / 2, () => refresh()));
  store.on("checked", checked);
  editor.onSwitch(() => header());
  editor.open(store.files[0]?.id ?? "");

  fill(
    app,
    h(
      "header",
      { class: "top" },
      h("h1", {}, "modelfence studio"),
      h("span", { class: "bar" }, themeChoice(), h("button", { type: "button", onclick: () => keys.showModal() }, "Keyboard"), saving),
    ),
    h(
      "main",
      {},
      h("section", { class: "write", "aria-label": "Policy" }, h("div", { class: "bar" }, h("label", { for: "file" }, "File"), files), status, failure, behind, notice, text, problems.element),
      h("section", { class: "try", id: "tools", tabindex: -1, "aria-label": "What the policy does" }, tabs.element),
    ),
    save.element,
    keys,
  );
  checked();
  void cases.runAll();
  window.addEventListener("beforeunload", (event) => {
    if (Object.keys(store.edited).length) event.preventDefault();
  });
}

function words(error: unknown): string {
  return error instanceof AskError ? error.message : `The page has a fault: ${error}`;
}

void main();
