// A request that was pasted: it is read by the server, and fills the form.

import { ask, AskError, type Pasted } from "./api";
import { fill, h } from "./dom";
import type { Store } from "./store";

export class Paste {
  readonly element: HTMLElement;
  private said = h("div", { class: "said", "aria-live": "polite" });

  constructor(private store: Store) {
    const request = h("textarea", { id: "paste", rows: 5, spellcheck: "false", placeholder: "curl https://api.openai.com/v1/chat/completions -H … -d …" });
    const account = h("input", { id: "paste-account", spellcheck: "false" });
    const country = h("input", { id: "paste-country", spellcheck: "false", maxlength: 2, size: 4 });
    this.element = h(
      "details",
      { class: "paste" },
      h("summary", {}, "Paste a request: a curl command, HTTP, a JSON object or a line of a recording"),
      h("label", { for: "paste" }, "Request"),
      request,
      h(
        "div",
        { class: "bar" },
        h("label", { for: "paste-account" }, "as account"), account,
        h("label", { for: "paste-country" }, "from country"), country,
        h("button", { type: "button", onclick: () => void this.read({ request: request.value, account: account.value, country: country.value.toUpperCase() }) }, "Read it into the form"),
      ),
      this.said,
    );
  }

  private async read(request: object): Promise<void> {
    try {
      const pasted = await ask<Pasted>("paste", { ...this.store.asking(), ...request });
      this.store.fill(pasted.facts);
      this.show(pasted);
    } catch (error) {
      fill(this.said, h("p", { class: "fault" }, error instanceof AskError ? error.message : String(error)));
    }
  }

  private show(pasted: Pasted): void {
    fill(
      this.said,
      h("p", {}, h("strong", {}, pasted.answer)),
      !Object.keys(pasted.facts).length && h("p", { class: "note" }, "Nothing is known of it, so the form stays as it was."),
      pasted.notes.map((note) => h("p", { class: "note" }, `${note.slice(0, 1).toUpperCase()}${note.slice(1)}.`)),
      pasted.told && h("details", {}, h("summary", {}, `What its caller is told (${pasted.told.status})`), h("pre", { tabindex: 0, class: "diff told", "aria-label": "Answer" }, [...pasted.told.headers, "", pasted.told.body].join("\n"))),
      pasted.sources.length > 0 && h(
        "details",
        {},
        h("summary", {}, `Where each of ${pasted.sources.length} facts came from`),
        h(
          "table",
          {},
          h("thead", {}, h("tr", {}, ["Fact", "Value", "From"].map((title) => h("th", { scope: "col" }, title)))),
          h("tbody", {}, pasted.sources.map((one) => h("tr", {}, h("th", { scope: "row" }, h("code", {}, one.name)), h("td", { class: one.value === null ? "doubt" : "" }, one.value ?? "unknown"), h("td", {}, one.source)))),
        ),
      ),
    );
  }
}
