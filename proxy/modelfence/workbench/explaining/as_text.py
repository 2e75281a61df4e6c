"""An explanation as text for a terminal: the answer first, then why, then everything it rests on."""

import json
import textwrap
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum

from modelfence.core.dialect import Answer
from modelfence.workbench.explaining.explanation import (
    Explanation,
    FactExplained,
    Role,
    RuleRole,
    ThrottleExplained,
)
from modelfence.workbench.explaining.tree import WIDTH, doubt_of, kind_of, rows_of
from modelfence.workbench.explaining.values import NOT_LOGGED, UNKNOWN, cut, of_fact, shown
from modelfence.workbench.explaining.wording import seconds

HEADINGS = {
    Role.DECIDED: "Rules that decided",
    Role.LACKED: "Rules that would have let it in, and did not apply",
    Role.APPLIED: "Rules that applied as well",
    Role.SHADOW: "Rules in shadow that applied, and act on nothing",
    Role.IDLE: "Rules that would have acted on the call, had it been let in",
    Role.UNTOLD: "Rules of which the log does not say enough",
    Role.NEARLY: "Rules that nearly applied: one part kept them from it",
    Role.NOT: "Rules that did not apply",
}
_INDENT = "  "
_LONGEST_VALUE = 32
_LONGEST_KEY = 40
_LONGEST_BODY = 2_000


class Style(StrEnum):
    """How a piece of text stands out; the values are ANSI's codes."""

    HEAD = "1"
    GOOD = "32"
    BAD = "31"
    DOUBT = "33"
    FAINT = "2"


type Paint = Callable[[str, Style], str]


def plain(text: str, _style: Style) -> str:
    """Return the text as it is."""
    return text


def colourful(text: str, style: Style) -> str:
    """Return the text as a terminal shows it in that style."""
    return f"\x1b[{style}m{text}\x1b[0m"


def as_text(explanation: Explanation, *, width: int = WIDTH, paint: Paint = plain) -> str:
    """Return all of an explanation, in lines of at most so many columns where values allow it."""
    return "\n".join(_Page(width, paint).lines(explanation)) + "\n"


class _Page:
    def __init__(self, width: int, paint: Paint) -> None:
        self._width = width
        self._paint = paint

    def lines(self, one: Explanation) -> Iterator[str]:
        yield from (self._paint(line, Style.HEAD) for line in self._wrapped(one.answer))
        yield ""
        edge = max(len(name) for name, _ in one.about)
        for name, words in one.about:
            yield from self._wrapped(words, first=f"{_INDENT}{name.ljust(edge)}  ")
        yield from self._told(one.told)
        yield from self._listed("What is changed in the call", one.changes)
        for role, heading in HEADINGS.items():
            if rules := [rule for rule in one.rules if rule.role is role]:
                yield from self._rules(heading, rules, one.tiers)
        yield from self._throttles(one.throttles)
        yield from self._facts(one.facts, one.tiers)
        yield from self._listed("To be borne in mind", one.notes)

    def _head(self, words: str) -> Iterator[str]:
        yield ""
        yield from (self._paint(line, Style.HEAD) for line in self._wrapped(words))

    def _listed(self, heading: str, sentences: Sequence[str]) -> Iterator[str]:
        if sentences:
            yield from self._head(heading)
        for words in sentences:
            yield from self._wrapped(words, first=_INDENT)

    def _told(self, answer: Answer | None) -> Iterator[str]:
        if answer is None:
            return
        yield from self._head(f"What the caller is told: status {answer.status}")
        for line in body_of(answer).splitlines():
            words = line.lstrip()
            yield from self._wrapped(words, first=_INDENT + line.removesuffix(words))

    def _rules(self, heading: str, rules: Sequence[RuleRole], tiers: Sequence[str]) -> Iterator[str]:
        yield from self._head(heading)
        for at, rule in enumerate(rules):
            if at:
                yield ""
            yield from self._rule(rule, tiers)

    def _rule(self, rule: RuleRole, tiers: Sequence[str]) -> Iterator[str]:
        explained = rule.explained
        name = f"{_INDENT}{explained.rule.id} ({kind_of(explained)})"
        place = rule.place or ""
        gap = self._width - len(name) - len(place)
        faint = self._paint(place, Style.FAINT) if place else ""
        yield f"{name}{' ' * gap}{faint}" if place and gap > 1 else name
        if place and gap <= 1:
            yield f"{_INDENT * 2}{faint}"
        if explained.rule.description and rule.role is not Role.NOT:
            description = " ".join(explained.rule.description.split())
            yield from (self._paint(line, Style.FAINT) for line in self._wrapped(description, first=_INDENT * 2))
        yield from (self._paint(f"{_INDENT}{line}", Style.DOUBT) for line in doubt_of(explained, self._width - 2))
        rows = rows_of(explained, self._width - len(_INDENT), tiers)
        edge = max((len(row.text) for row in rows if row.verdict), default=0)
        for row in rows:
            verdict = f"    {self._verdict(row.verdict)}" if row.verdict else ""
            yield f"{_INDENT}{row.text.ljust(edge) if verdict else row.text}{verdict}"
        if not rows:
            yield f"{_INDENT * 2}it has no condition"

    def _verdict(self, verdict: str) -> str:
        style = {"true": Style.GOOD, "false": Style.BAD, UNKNOWN: Style.DOUBT}.get(verdict)
        return verdict if style is None else self._paint(verdict, style)

    def _throttles(self, throttles: Sequence[ThrottleExplained]) -> Iterator[str]:
        if throttles:
            yield from self._head("Throttles")
        for one in throttles:
            yield from self._wrapped(throttle_words(one), first=f"{_INDENT}{one.rule}: ", then=_INDENT * 2)

    def _facts(self, facts: Sequence[FactExplained], tiers: Sequence[str]) -> Iterator[str]:
        read = [fact for fact in facts if fact.read_by]
        if not read:
            return
        yield from self._head("Facts that the rules read, and where they came from")
        edge = max(len(fact.name) for fact in read)
        for fact in read:
            value = fact_value(fact, tiers, longest=_LONGEST_VALUE)
            style = Style.DOUBT if fact.value is None else None
            yield f"{_INDENT}{fact.name.ljust(edge)}  {self._paint(value, style) if style else value}"
            if fact.is_logged:
                yield from self._wrapped(fact.source.words, first=" " * (edge + 4))
        others = len(facts) - len(read)
        if others:
            yield f"{_INDENT}{others} more that no rule reads: --format json and html have them"

    def _wrapped(self, words: str, *, first: str = "", then: str | None = None) -> list[str]:
        indent = " " * len(first) if then is None else then
        return textwrap.wrap(
            words,
            self._width,
            initial_indent=first,
            subsequent_indent=indent,
            break_on_hyphens=False,
            break_long_words=False,
        ) or [first.rstrip()]


def body_of(answer: Answer) -> str:
    """Return what the body of a refusal says, spread over lines where it is JSON."""
    text = answer.body.decode("utf-8", "replace")
    try:
        lines = json.dumps(json.loads(text), indent=2, ensure_ascii=False).splitlines()
    except ValueError:
        lines = text.splitlines()
    return "\n".join(cut(line, _LONGEST_BODY) for line in lines)


def fact_value(fact: FactExplained, tiers: Sequence[str], *, longest: int) -> str:
    """Return the value of a fact, or why there is none."""
    if fact.value is None:
        return UNKNOWN if fact.is_logged else NOT_LOGGED
    return of_fact(fact.name, fact.value, tiers, longest=longest)


def throttle_words(one: ThrottleExplained) -> str:
    """Return what came of a throttle, in a sentence."""
    size = "" if one.burst is None else f" of {one.burst:g}"
    amount = f"{one.amount:g}{size} {_units(one.unit, of=one.burst or one.amount)}"
    bucket = "the bucket" if one.key is None else f"the bucket {shown(one.key, longest=_LONGEST_KEY)}"
    refills = f", and it refills at {one.rate}" if one.rate else ""
    left = "" if one.left is None else f"; {one.left:,} {'is' if one.left == 1 else 'are'} left"
    shadow = "; it is in shadow" if one.shadow else ""
    match one.state:
        case "refused":
            wait = "" if one.wait_us is None else f"; enough is there in {seconds(one.wait_us)}"
            holds = "" if one.burst is None else f"; it holds {one.burst:g} when full"
            return f"{bucket} lacks {one.amount:g} {_units(one.unit, of=one.amount)}{wait}{holds}{refills}{shadow}"
        case "untouched":
            return f"{bucket} has {amount}, which are not taken because another throttle refuses{shadow}"
        case _:
            return f"{amount} taken from {bucket}{left}{refills}{shadow}"


def _units(unit: str, *, of: float) -> str:
    words = unit.replace("_", " ")
    return words.removesuffix("s") if of == 1 else words
