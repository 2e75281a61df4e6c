// Light or dark: as the system says, until somebody chooses.

import { h } from "./dom";

const KEPT = "studio-theme";
const THEMES = { "": "as the system", light: "light", dark: "dark" };

export function themeChoice(): HTMLElement {
  const select = h(
    "select",
    { id: "theme", onchange: () => apply(select.value) },
    Object.entries(THEMES).map(([value, words]) => h("option", { value }, words)),
  );
  select.value = localStorage.getItem(KEPT) ?? "";
  apply(select.value);
  return h("span", { class: "theme" }, h("label", { for: "theme" }, "Colours"), select);
}

function apply(theme: string): void {
  localStorage.setItem(KEPT, theme);
  document.documentElement.dataset.theme = theme;
}
