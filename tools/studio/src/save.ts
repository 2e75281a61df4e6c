// Saving: what will change is shown first, and each file has a button of its own that says what it writes.

import { ask, AskError, type Change, type Changes, type Saved } from "./api";
import { count, fill, h } from "./dom";
import type { Editor } from "./editor";
import type { Store } from "./store";

export class SaveDialog {
  readonly element = h("dialog", { class: "dialog wide", "aria-labelledby": "save-title" });
  private body = h("div", { class: "changes" });

  constructor(private store: Store, private editor: Editor, private saved: (words: string) => void) {
    // A button that has nothing more to save can't take the focus back, so the editor does.
    this.element.addEventListener("close", () => !Object.keys(store.edited).length && editor.view.focus());
    fill(
      this.element,
      h("header", {}, h("h2", { id: "save-title" }, "Save"), h("button", { type: "button", onclick: () => this.element.close() }, "Close")),
      this.body,
    );
  }

  async open(): Promise<void> {
    if (!this.element.open) this.element.showModal();
    try {
      const changes = await ask<Changes>("changes", { texts: this.store.edited });
      this.show(changes);
    } catch (error) {
      fill(this.body, h("p", { class: "fault", role: "alert" }, error instanceof AskError ? error.message : String(error)));
    }
  }

  private show({ changes, may_save }: Changes): void {
    if (!changes.length) {
      fill(this.body, h("p", {}, "Nothing differs from what is on the disk."));
      return;
    }
    fill(
      this.body,
      !!this.store.checked?.errors && h("p", { class: "doubt" }, `The policy has ${count(this.store.checked.errors, "error")}: no fence takes it up before they are mended.`),
      !may_save && h("p", { class: "fault" }, "This policy comes with modelfence and can't be changed. Copy it, and open the copy."),
      changes.map((change) => this.change(change, may_save)),
    );
  }

  private change(change: Change, maySave: boolean): HTMLElement {
    const file = this.store.files.find((one) => one.id === change.id);
    const stale = file !== undefined && file.digest !== change.digest;
    const fault = h("p", { class: "fault", role: "alert" });
    if (stale) fill(fault, "It has changed on the disk since it was opened here. The difference below is to what it holds now.");
    return h(
      "section",
      {},
      h("h3", {}, h("code", {}, change.name)),
      fault,
      diffView(change.lines),
      h(
        "div",
        { class: "bar" },
        h("button", { type: "button", class: "primary", disabled: stale || !maySave, onclick: () => void this.save(change, fault) }, `Save to ${change.name}`),
        stale && h("button", { type: "button", onclick: () => this.take(change) }, "Load it from the disk (undo brings your text back)"),
      ),
    );
  }

  private async save(change: Change, fault: HTMLElement): Promise<void> {
    const text = this.store.text(change.id);
    try {
      const saved = await ask<Saved>("save", { id: change.id, text, digest: change.digest });
      if (!saved.saved || !saved.digest) {
        await this.open();
        fill(this.body.querySelector(".fault") ?? fault, saved.why ?? "It was not saved.");
        return;
      }
      this.store.onDisk(change.id, text, saved.digest);
      this.store.edit(change.id, this.store.text(change.id));
      this.saved(`Saved to ${change.name}`);
      if (Object.keys(this.store.edited).length) await this.open();
      else this.element.close();
    } catch (error) {
      fill(fault, error instanceof AskError ? error.message : String(error));
    }
  }

  private take(change: Change): void {
    this.store.onDisk(change.id, change.disk, change.digest);
    this.editor.replace(change.id, change.disk);
    this.element.close();
    this.saved(`Loaded ${change.name} from the disk`);
  }
}

/** Shows the lines of a unified diff. What was taken out and put in is told by signs as well as colours. */
export function diffView(lines: string[]): HTMLElement {
  const kinds: Record<string, string> = { "+": "added", "-": "removed", "@": "place" };
  return h(
    "pre",
    { class: "diff", tabindex: 0, "aria-label": "What changes" },
    lines.map((line) => h("span", { class: kinds[line[0] ?? ""] ?? "same" }, `${line}\n`)),
  );
}
