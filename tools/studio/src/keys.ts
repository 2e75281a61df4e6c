// The keyboard: what works anywhere on the page, and a list of it.

import { fill, h } from "./dom";

export type Shortcut = { keys: string; does: string; matches?: (event: KeyboardEvent) => boolean; run?: () => void };

const EDITOR: Shortcut[] = [
  { keys: "Ctrl Space", does: "In the editor: what can be written here" },
  { keys: "F8", does: "In the editor: the next problem" },
  { keys: "Ctrl F", does: "In the editor: find" },
  { keys: "Tab", does: "In the editor: leave it; Ctrl [ and Ctrl ] indent" },
];

/** Returns a dialog that lists the shortcuts, and has them work. */
export function keyboard(shortcuts: Shortcut[]): HTMLDialogElement {
  window.addEventListener("keydown", (event) => {
    const shortcut = shortcuts.find((one) => one.matches?.(event));
    if (!shortcut || document.querySelector("dialog[open]")) return;
    event.preventDefault();
    shortcut.run?.();
  });
  const dialog = h("dialog", { class: "dialog", "aria-labelledby": "keys-title" });
  fill(
    dialog,
    h("header", {}, h("h2", { id: "keys-title" }, "Keyboard"), h("button", { type: "button", onclick: () => dialog.close() }, "Close")),
    h("dl", { class: "keys" }, [...shortcuts, ...EDITOR].flatMap(({ keys, does }) => [h("dt", {}, keys.split(" ").map((key) => h("kbd", {}, key))), h("dd", {}, does)])),
  );
  return dialog;
}

/** Returns whether Ctrl, or on a Mac Command, and this key were pressed. */
export function control(event: KeyboardEvent, key: string): boolean {
  return (event.ctrlKey || event.metaKey) && !event.altKey && event.key.toLowerCase() === key;
}

export function alt(event: KeyboardEvent, code: string): boolean {
  return event.altKey && !event.ctrlKey && event.code === code;
}
