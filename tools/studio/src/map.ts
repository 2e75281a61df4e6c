// Which countries get which effect: a map for the eye, and a table that says the same.

import { Latest, type Country, type Mapped, type Outcome } from "./api";
import { count, fill, h, svg } from "./dom";
import { countryName } from "./form";
import type { Store } from "./store";

type World = { width: number; height: number; countries: Record<string, { d: string; at?: [number, number] }> };

const OUTCOMES: Record<Outcome, string> = {
  allowed: "Allowed", changed: "Allowed, with changes", would: "Would be refused (shadow)", refused: "Refused",
};
const order = Object.keys(OUTCOMES) as Outcome[];

export class WorldMap {
  readonly element = h("div", { class: "world" });
  private latest = new Latest();
  private world: World | null = null;
  private countries: Record<string, Country> = {};
  private filter: Outcome | null = null;
  private search = "";
  private chosen = "";
  private tier = h("select", { id: "map-tier", onchange: () => this.store.fill({ "kyc.tier": this.tier.value }) });
  private model = h("input", { id: "map-model", spellcheck: "false", oninput: () => this.store.fill({ "request.model": this.model.value }) });
  private drawing = h("div", { class: "drawing" });
  private legend = h("div", { class: "legend", role: "group", "aria-label": "Show in the table only" });
  private details = h("p", { class: "details", role: "status" });
  private table = h("div", { class: "rows", tabindex: 0, role: "region", "aria-label": "Countries" });
  private select = h("select", { id: "map-country", onchange: () => this.choose(this.select.value) });

  constructor(private store: Store, private fault: (error: unknown) => void) {
    const search = h("input", { id: "map-search", type: "search", oninput: () => this.find(search.value) });
    fill(
      this.element,
      h("p", { class: "note" }, "The call of the Request tab, as if it came from each country in turn. Everything else stays as it is there."),
      h("div", { class: "bar call" }, h("span", { class: "pair" }, h("label", { for: "map-tier" }, "Tier"), this.tier), h("span", { class: "pair" }, h("label", { for: "map-model" }, "Model"), this.model)),
      this.drawing,
      this.legend,
      h("div", { class: "bar" }, h("label", { for: "map-country" }, "Country"), this.select),
      this.details,
      h("div", { class: "bar" }, h("label", { for: "map-search" }, "Find in the table"), search),
      this.table,
      h("p", { class: "note" }, "Borders are Natural Earth's and take no side. Antarctica and the smallest territories are in the table only."),
    );
  }

  async show(): Promise<void> {
    try {
      this.world ??= (await (await fetch("/world.json")).json()) as World;
      const mapped = await this.latest.ask<Mapped>("map", this.store.asking());
      if (!mapped) return;
      this.countries = mapped.countries ?? {};
      this.draw(!mapped.countries);
    } catch (error) {
      this.fault(error);
    }
  }

  private draw(faulty: boolean): void {
    const { facts } = this.store;
    fill(this.tier, (this.store.outline?.tiers ?? []).map((name) => h("option", { value: name }, name)));
    this.tier.value = String(facts["kyc.tier"] ?? "");
    if (document.activeElement !== this.model) this.model.value = String(facts["request.model"] ?? "");
    if (faulty || !this.world) {
      fill(this.drawing, h("p", { class: "note" }, "The policy has errors. Mend them to see the map."));
      fill(this.legend);
      fill(this.table);
      return;
    }
    fill(this.drawing, picture(this.world, this.countries, (code) => this.choose(code), (code) => this.tell(code)));
    const tally = new Map(order.map((one) => [one, Object.values(this.countries).filter((country) => country.outcome === one).length]));
    fill(this.legend, order.filter((one) => tally.get(one)).map((one) => this.legendEntry(one, tally.get(one) ?? 0)));
    const codes = Object.keys(this.countries).sort((a, b) => countryName(a).localeCompare(countryName(b)));
    fill(this.select, h("option", { value: "" }, "Choose a country…"), codes.map((code) => h("option", { value: code }, countryName(code))));
    this.choose(this.chosen);
    this.rows();
  }

  private legendEntry(outcome: Outcome, n: number): HTMLElement {
    const entry = h(
      "button",
      { type: "button", "aria-pressed": String(this.filter === outcome), onclick: () => this.only(outcome) },
      svg("svg", { class: "swatch", width: 22, height: 14, "aria-hidden": "true" }, svg("rect", { class: `land ${outcome}`, width: 22, height: 14 })),
      ` ${OUTCOMES[outcome]} `,
      h("strong", {}, n),
    );
    return entry;
  }

  private only(outcome: Outcome): void {
    this.filter = this.filter === outcome ? null : outcome;
    this.draw(false);
    [...this.legend.querySelectorAll("button")].find((button) => button.textContent?.includes(` ${OUTCOMES[outcome]} `))?.focus();
  }

  private find(text: string): void {
    this.search = text.trim().toLowerCase();
    this.rows();
  }

  private choose(code: string): void {
    this.chosen = code;
    this.select.value = code;
    for (const land of this.drawing.querySelectorAll(".chosen")) land.classList.remove("chosen");
    this.drawing.querySelector(`[data-code="${CSS.escape(code)}"]`)?.classList.add("chosen");
    this.tell(code);
  }

  private tell(code: string): void {
    const country = this.countries[code];
    fill(this.details, country ? `${countryName(code)} (${code}): ${outcomeWords(country)}` : "Point at a country, or choose one.");
  }

  private rows(): void {
    const rows = Object.entries(this.countries)
      .filter(([, country]) => !this.filter || country.outcome === this.filter)
      .filter(([code]) => !this.search || `${code} ${countryName(code)}`.toLowerCase().includes(this.search))
      .sort(([a, one], [b, other]) => order.indexOf(other.outcome) - order.indexOf(one.outcome) || countryName(a).localeCompare(countryName(b)));
    fill(
      this.table,
      h(
        "table",
        {},
        h("caption", {}, count(rows.length, "country", "countries")),
        h("thead", {}, h("tr", {}, ["Country", "Effect", "Rules"].map((title) => h("th", { scope: "col" }, title)))),
        h("tbody", {}, rows.map(([code, country]) =>
          h("tr", {}, h("th", { scope: "row" }, `${countryName(code)} `, h("span", { class: "code" }, code)), h("td", {}, h("span", { class: `effect ${country.outcome}` }, OUTCOMES[country.outcome])), h("td", {}, rulesOf(country))),
        )),
      ),
    );
  }
}

function rulesOf(country: Country): string {
  const rules = country.outcome === "would" ? country.shadow_rules : country.rules;
  return rules.join(", ") || "no rule allows it";
}

function outcomeWords(country: Country): string {
  const doubt = country.unknown.length ? `; unknown: ${country.unknown.join(", ")}` : "";
  const told = country.message && country.outcome === "refused" ? ` The caller is told: “${country.message}”` : "";
  return `${OUTCOMES[country.outcome]}, by ${rulesOf(country)}${doubt}.${told}`;
}

function picture(world: World, countries: Record<string, Country>, choose: (code: string) => void, tell: (code: string) => void): SVGElement {
  const shapes = Object.entries(world.countries).flatMap(([code, shape]) => {
    const country = countries[code];
    const attributes = { class: `land ${country?.outcome ?? "none"}`, "data-code": code };
    const title = () => svg("title", {}, country ? `${countryName(code)}: ${OUTCOMES[country.outcome]}` : countryName(code));
    return shape.at
      ? [svg("circle", { ...attributes, cx: shape.at[0], cy: shape.at[1], r: 3 }, title())]
      : [svg("path", { ...attributes, d: shape.d }, title())];
  });
  const codeAt = (event: Event) => (event.target as Element).closest("[data-code]")?.getAttribute("data-code") ?? "";
  const summary = order.map((one) => `${OUTCOMES[one]}: ${Object.values(countries).filter((country) => country.outcome === one).length}`).join(", ");
  return svg(
    "svg",
    {
      viewBox: `0 0 ${world.width} ${world.height}`, role: "img", "aria-label": `Map of the world. ${summary}. The table below says the same.`,
      onclick: (event: Event) => choose(codeAt(event)),
      onpointerover: (event: Event) => codeAt(event) && tell(codeAt(event)),
    },
    patterns(),
    // Points come last: they would vanish beneath the countries around them.
    shapes.filter((shape) => shape.tagName === "path"),
    shapes.filter((shape) => shape.tagName === "circle"),
  );
}

/** Patterns besides colours: who can't tell these apart sees stripes and dots. */
function patterns(): SVGElement {
  return svg(
    "defs",
    {},
    svg("pattern", { id: "stripes", width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" }, svg("rect", { class: "ground-refused", width: 6, height: 6 }), svg("rect", { class: "ink-refused", width: 2, height: 6 })),
    svg("pattern", { id: "dots", width: 6, height: 6, patternUnits: "userSpaceOnUse" }, svg("rect", { class: "ground-would", width: 6, height: 6 }), svg("circle", { class: "ink-would", cx: 3, cy: 3, r: 1.4 })),
  );
}
