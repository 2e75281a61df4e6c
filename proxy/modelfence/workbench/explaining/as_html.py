"""An explanation as one HTML page that needs nothing else: no script, no network.

Everything in it comes from a request, which may be hostile: whatever is no markup made here is escaped, and the page
forbids itself to load anything.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files

from modelfence.core.policy import Evaluated, Unknown
from modelfence.workbench.explaining.as_text import HEADINGS, body_of, fact_value, throttle_words
from modelfence.workbench.explaining.explanation import Explanation, FactExplained, RuleRole
from modelfence.workbench.explaining.markup import Html, element, together
from modelfence.workbench.explaining.tree import OPERATORS, doubt_words, is_plain, kind_of, state_of
from modelfence.workbench.explaining.values import of_fact

_LONGEST_VALUE = 400
_LONGEST_BENEATH = 120
_ALLOWED = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def as_html(explanation: Explanation) -> str:
    """Return the whole page."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", http_equiv="Content-Security-Policy", content=_ALLOWED),
        element("title", f"{explanation.answer} modelfence explains"),
        element("style", Html(_style())),
    )
    page = element("html", head, element("body", element("main", *_parts(explanation))), lang="en")
    return f"<!doctype html>\n{page}\n"


@cache
def _style() -> str:
    return (files("modelfence.workbench.explaining") / "explanation.css").read_text()


def _parts(one: Explanation) -> Iterator[Html]:
    yield element("h1", _code(one.answer))
    about = (together(element("dt", name), element("dd", _code(words))) for name, words in one.about)
    yield element("dl", *about, class_="about")
    if one.told is not None:
        said = element("pre", body_of(one.told))
        yield _section(f"What the caller is told: status {one.told.status}", said)
    if one.changes:
        yield _section("What is changed in the call", _list(one.changes))
    for role, heading in HEADINGS.items():
        if rules := [rule for rule in one.rules if rule.role is role]:
            yield _section(heading, *(_rule(rule, one.tiers) for rule in rules))
    if one.throttles:
        words = [together(element("code", each.rule), ": ", _code(throttle_words(each))) for each in one.throttles]
        yield _section("Throttles", _list(words))
    yield from _facts(one)
    if one.notes:
        yield _section("To be borne in mind", _list([_code(note) for note in one.notes]))


def _section(heading: str, *children: str) -> Html:
    return element("section", element("h2", heading), *children)


def _list(items: Sequence[str]) -> Html:
    return element("ul", *(element("li", item if isinstance(item, Html) else _code(item)) for item in items))


def _code(words: str) -> Html:
    """Return a sentence in which what stands in backticks is code."""
    pieces = words.split("`")
    return together(*(element("code", piece) if at % 2 else piece for at, piece in enumerate(pieces)))


def _rule(rule: RuleRole, tiers: Sequence[str]) -> Html:
    one = rule.explained
    kind = element("span", f"{kind_of(one)}, {state_of(one)}", class_="kind")
    children = [element("h3", element("code", one.rule.id), " ", kind)]
    if rule.place:
        children.append(element("p", rule.place, class_="place"))
    if one.rule.description:
        children.append(element("p", _code(one.rule.description)))
    if doubt := doubt_words(one):
        children.append(element("p", _code(doubt), class_="unknown"))
    for key, evaluated in one.expressions.items():
        children.append(
            element("div", element("span", key, class_="key"), _part(evaluated, tiers), class_="expression")
        )
    return element("article", *children)


def _part(part: Evaluated, tiers: Sequence[str]) -> Html:
    """Return a part of a condition with what came of it; those of a compound one in a list."""
    verdict = _verdict(part, tiers)
    if part.kind not in OPERATORS:
        return element("span", _stacked(part, tiers), verdict, class_="part")
    first, *others = OPERATORS[part.kind]
    operators = [first, *(others[min(at, len(others) - 1)] for at in range(len(part.parts) - 1))]
    items = [
        element("li", *([element("span", operator, class_="operator")] if operator else []), _part(inner, tiers))
        for operator, inner in zip(operators, part.parts, strict=True)
    ]
    return together(element("span", "together", class_="kind"), verdict, element("ul", *items, class_="parts"))


def _stacked(part: Evaluated, tiers: Sequence[str]) -> Html:
    """Return the text of a part, with its value beneath each name in it."""
    pieces: list[str] = []
    at = part.start
    for inner in part.parts:
        pieces.append(part.source[at - part.start : inner.start - part.start])
        pieces.append(_stacked(inner, tiers) if inner.parts else _named(inner, tiers))
        at = inner.end
    pieces.append(part.source[at - part.start :])
    return element("code", *pieces)


def _named(part: Evaluated, tiers: Sequence[str]) -> Html:
    if is_plain(part):
        return together(part.source)
    value = of_fact(part.source, part.value, tiers, longest=_LONGEST_BENEATH)
    doubt = " unknown" if isinstance(part.value, Unknown) else ""
    return element("span", element("span", part.source), element("span", value, class_=f"value{doubt}"), class_="named")


def _verdict(part: Evaluated, tiers: Sequence[str]) -> Html:
    value = of_fact(part.source, part.value, tiers)
    style = "unknown" if isinstance(part.value, Unknown) else value if value in ("true", "false") else ""
    return element("strong", value, class_=f"verdict {style}".rstrip())


def _facts(one: Explanation) -> Iterator[Html]:
    read = [fact for fact in one.facts if fact.read_by]
    others = [fact for fact in one.facts if not fact.read_by]
    if read:
        yield _section("Facts that the rules read, and where they came from", _table(read, one.tiers))
    if others:
        summary = element("summary", f"{len(others)} more facts, which no rule reads")
        yield element("details", summary, _table(others, one.tiers))


def _table(facts: Sequence[FactExplained], tiers: Sequence[str]) -> Html:
    head = element("tr", *(element("th", name, scope="col") for name in ("fact", "value", "where from", "read by")))
    rows = [
        element(
            "tr",
            element("th", element("code", fact.name), scope="row"),
            element("td", _value(fact, tiers)),
            element("td", _code(fact.source.words), class_="source"),
            element("td", ", ".join(fact.read_by)),
        )
        for fact in facts
    ]
    return element("table", element("thead", head), element("tbody", *rows))


def _value(fact: FactExplained, tiers: Sequence[str]) -> Html:
    value = fact_value(fact, tiers, longest=_LONGEST_VALUE)
    return element("code", value) if fact.value is not None else element("span", value, class_="unknown")
