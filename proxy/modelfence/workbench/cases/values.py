"""The values of a case file, each read by its type. `NO` is Norway: nothing is a truth value but true and false.

Rule: nothing here raises; a reader notes the problem and returns None.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from modelfence.core.client_address import parse_address
from modelfence.core.countries import COUNTRIES, KOSOVO
from modelfence.core.facts import FACTS, Fact, FactType, FactValue
from modelfence.core.policy import Policy
from modelfence.core.problem import Severity
from modelfence.document import Node, did_you_mean
from modelfence.workbench.cases.facts import AMOUNT, SHARE, SUM, WORDS_OF
from modelfence.workbench.cases.keys import DURATION

MOST_DURATION_US = 366 * 86_400_000_000
_UNITS_US = {"ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
_DURATION = re.compile(r"([0-9.]+) ?([a-z]*)")
_JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,17})?(?:[eE][+-]?[0-9]{1,3})?")
_PLACES = frozenset(("client.country", "client.registered_country", "kyc.country", "account.recent_countries"))
_OWNED_BY = "kyc.owned_by."


@dataclass(frozen=True, slots=True)
class KnownFacts:
    """The facts that cases of one policy may give, by name."""

    by_name: Mapping[str, Fact]
    tiers: tuple[str, ...]

    @classmethod
    def of(cls, policy: Policy) -> "KnownFacts":
        """Return the facts of every policy, and the shares owned from each of this policy's lists."""
        owned = (Fact(f"{_OWNED_BY}{name}", FactType.DOUBLE, f"share owned from `{name}`") for name in policy.lists)
        return cls({fact.name: fact for fact in (*FACTS, *owned)}, tuple(policy.tiers))

    def read(self, name: str, node: Node) -> FactValue | None:
        """Return a fact's value; None for one that is unknown, or after noting a problem."""
        fact = self.by_name[name]
        if node.is_null:
            if fact.always:
                node.problem("always-known", f"`{name}` is known for every call")
            return None
        if name == "kyc.tier":
            return self._tier(node)
        if name == "client.ip":
            return address(node)
        if name == "extraction.score":
            return node.number(minimum=SHARE.minimum, maximum=SHARE.maximum)
        if name in WORDS_OF:
            return node.choice(WORDS_OF[name].options)
        if name in _PLACES:
            _check_countries(node)
        return _BY_TYPE[fact.type](node)

    def _tier(self, node: Node) -> int | None:
        name = node.text()
        if name is None or name in self.tiers:
            return None if name is None else self.tiers.index(name)
        hint = did_you_mean(name, self.tiers) or f"one of {', '.join(f'`{tier}`' for tier in self.tiers)}"
        node.problem("unknown-tier", f"the policy has no tier `{name}`", hint=hint)
        return None


def duration_us(node: Node) -> int | None:
    """Return a time such as `10s` in microseconds; a mere number is in seconds."""
    text = node.text()
    if text is None:
        return None
    match = _DURATION.fullmatch(text) if DURATION.admits(text) else None
    if match is None:
        node.problem("bad-duration", f"a time like 500ms, 10s, 5m, 2h or 1d is expected here, not `{text}`")
        return None
    number, unit = match[1], match[2] or "s"
    found_us = round(float(number) * _UNITS_US[unit])
    if found_us > MOST_DURATION_US:
        node.problem("out-of-range", f"`{text}` is longer than a year")
        return None
    return found_us


def address(node: Node) -> str | None:
    """Return an address as it is written everywhere."""
    text = node.text()
    try:
        return None if text is None else str(parse_address(text))
    except ValueError:
        node.problem("bad-address", f"`{text}` is no address")
        return None


def body_of(node: Node) -> str:
    """Return a body: a text as it is, anything else as JSON."""
    if node.is_mapping or node.is_list:
        return json.dumps(_json_of(node), ensure_ascii=False)
    return "" if node.is_null else node.text() or ""


def _json_of(node: Node) -> object:
    """Return a node as JSON knows it. Of plain words only true, false and null are none of text."""
    if node.is_mapping:
        return {name: _json_of(value) for name, value in (node.free_entries() or {}).items()}
    if node.is_list:
        return [_json_of(item) for item in node.items()]
    text = node.text() or ""
    if getattr(node.yaml, "style", None):  # in quotes, or a block
        return text
    if node.is_null:
        return None
    if text in ("true", "false"):
        return text == "true"
    return json.loads(text) if _JSON_NUMBER.fullmatch(text) else text


def _check_countries(node: Node) -> None:
    for one in node.items() if node.is_list else [node]:
        code = one.text()
        if code is not None and code not in COUNTRIES and code != KOSOVO:
            one.problem(
                "unknown-country",
                f"`{code}` is the code of no country",
                hint=did_you_mean(code.upper(), COUNTRIES),
                severity=Severity.WARNING,
            )


def _int(node: Node) -> int | None:
    return node.integer(minimum=AMOUNT.minimum, maximum=AMOUNT.maximum)


def _double(node: Node) -> float | None:
    return node.number(minimum=SUM.minimum, maximum=SUM.maximum)


def _time(node: Node) -> datetime | None:
    text = node.text()
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        node.problem("bad-time", f"a time like 2026-01-31T12:00:00Z is expected here, not `{text}`")
        return None
    return found.astimezone(UTC)


def _texts(node: Node) -> list[str]:
    return [text for item in node.items() if (text := item.text()) is not None]


def _mapped[T](read: Callable[[Node], T | None]) -> Callable[[Node], dict[str, T]]:
    def read_each(node: Node) -> dict[str, T]:
        entries = node.free_entries() or {}
        return {name: value for name, one in entries.items() if (value := read(one)) is not None}

    return read_each


_BY_TYPE: Mapping[FactType, Callable[[Node], FactValue | None]] = {
    FactType.STRING: Node.text,
    FactType.INT: _int,
    FactType.DOUBLE: _double,
    FactType.BOOL: Node.boolean,
    FactType.TIMESTAMP: _time,
    FactType.STRINGS: _texts,
    FactType.TEXT_BY_NAME: _mapped(Node.text),
    FactType.SHARE_BY_COUNTRY: _mapped(lambda node: node.number(minimum=SHARE.minimum, maximum=SHARE.maximum)),
}
