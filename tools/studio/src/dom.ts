// Elements, made without a line of HTML: whatever text is put into one stays text.

type Child = Node | string | number | null | undefined | false;
type Attributes = Record<string, string | number | boolean | null | undefined | ((event: never) => void)>;

/** Returns an element. Attributes that begin with `on` are listeners; null, undefined and false leave one out. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: (Child | Child[])[]
): HTMLElementTagNameMap[K] {
  return filled(document.createElement(tag), attributes, children);
}

/** Returns an element of SVG. */
export function svg<K extends keyof SVGElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: (Child | Child[])[]
): SVGElementTagNameMap[K] {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function filled<E extends Element>(element: E, attributes: Attributes, children: (Child | Child[])[]): E {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") {
      element.addEventListener(name.slice(2), value as (event: Event) => void);
    } else if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(name, value === true ? "" : String(value));
    }
  }
  element.append(...nodes(children));
  return element;
}

function nodes(children: (Child | Child[])[]): (Node | string)[] {
  return children
    .flat()
    .filter((child): child is Node | string | number => child !== null && child !== undefined && child !== false)
    .map((child) => (typeof child === "number" ? String(child) : child));
}

/** Puts these children in place of those an element has. */
export function fill(element: Element, ...children: (Child | Child[])[]): void {
  element.replaceChildren(...nodes(children));
}

/**
 * As `fill`, for what is made anew while somebody is in the middle of it: what he has opened or closed stays so, and the
 * focus stays where it was. Parts are known again by their `data-key`.
 */
export function refill(element: Element, ...children: (Child | Child[])[]): void {
  const turned = [...element.querySelectorAll<HTMLDetailsElement>("details[data-key]")].filter((one) => one.open !== isOpenAtFirst(one));
  const open = new Map(turned.map((one) => [keyOf(one), one.open]));
  const focused = document.activeElement;
  const around = focused && element.contains(focused) ? focused.closest("[data-key]") : null;
  const at = around && focused ? focusable(around).indexOf(focused) : -1;
  const key = around && keyOf(around);
  fill(element, ...children);
  for (const one of element.querySelectorAll<HTMLDetailsElement>("details[data-key]")) one.open = open.get(keyOf(one)) ?? one.open;
  const again = key === null ? undefined : [...element.querySelectorAll("[data-key]")].find((one) => keyOf(one) === key);
  const target = again && focusable(again)[at];
  if (target instanceof HTMLElement) target.focus();
}

function keyOf(element: Element): string {
  return element.getAttribute("data-key") ?? "";
}

/** Says whether it was made open: `data-open` is written beside `open`, which changes with what people do. */
function isOpenAtFirst(details: HTMLDetailsElement): boolean {
  return details.hasAttribute("data-open");
}

function focusable(element: Element): Element[] {
  return [...element.querySelectorAll("button, summary, [tabindex]")];
}

/** Returns a function that waits until it was not called for so long, and then calls with the last arguments. */
export function settled<A extends unknown[]>(ms: number, call: (...args: A) => void): (...args: A) => void {
  let timer = 0;
  return (...args) => {
    clearTimeout(timer);
    timer = window.setTimeout(() => call(...args), ms);
  };
}

/** Returns "1 rule", "2 rules". */
export function count(n: number, one: string, many = `${one}s`): string {
  return `${n.toLocaleString("en")} ${n === 1 ? one : many}`;
}
