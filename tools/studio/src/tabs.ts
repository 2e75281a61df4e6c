// Tabs, by the pattern of the ARIA Authoring Practices: arrows move, Home and End go to the ends.

import { h } from "./dom";

export type Tab = { id: string; title: string; panel: HTMLElement; onShow?: () => void };

export class Tabs {
  readonly element: HTMLElement;
  private buttons = new Map<string, HTMLButtonElement>();

  constructor(label: string, private tabs: Tab[]) {
    const list = h("div", { role: "tablist", "aria-label": label, class: "tabs", onkeydown: (event: KeyboardEvent) => this.move(event) });
    for (const tab of tabs) {
      const button = h("button", { type: "button", role: "tab", id: `tab-${tab.id}`, "aria-controls": `panel-${tab.id}`, onclick: () => this.show(tab.id) }, tab.title);
      this.buttons.set(tab.id, button);
      list.append(button);
      Object.assign(tab.panel, { id: `panel-${tab.id}`, tabIndex: 0 });
      tab.panel.setAttribute("role", "tabpanel");
      tab.panel.setAttribute("aria-labelledby", `tab-${tab.id}`);
      tab.panel.classList.add("panel");
    }
    this.element = h("div", { class: "tabbed" }, list, ...tabs.map((tab) => tab.panel));
    if (tabs[0]) this.show(tabs[0].id);
  }

  get current(): string {
    return this.tabs.find((tab) => !tab.panel.hidden)?.id ?? "";
  }

  show(id: string): void {
    for (const tab of this.tabs) {
      const button = this.buttons.get(tab.id);
      tab.panel.hidden = tab.id !== id;
      button?.setAttribute("aria-selected", String(tab.id === id));
      if (button) button.tabIndex = tab.id === id ? 0 : -1;
    }
    this.tabs.find((tab) => tab.id === id)?.onShow?.();
  }

  focus(id: string): void {
    this.show(id);
    this.buttons.get(id)?.focus();
  }

  private move(event: KeyboardEvent): void {
    const at = this.tabs.findIndex((tab) => tab.id === this.current);
    const last = this.tabs.length - 1;
    const next = { ArrowRight: at === last ? 0 : at + 1, ArrowLeft: at === 0 ? last : at - 1, Home: 0, End: last }[event.key];
    const tab = next === undefined ? undefined : this.tabs[next];
    if (!tab) return;
    event.preventDefault();
    this.focus(tab.id);
  }
}
