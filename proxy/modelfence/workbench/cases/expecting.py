"""What a case expects of a decision: how it is written, and how it is compared with what came.

Rule: one row of `ASPECTS` for each key of `keys.EXPECT_KEYS`; nothing else knows what they mean.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from modelfence.core.decision import Decision, Effect
from modelfence.core.policy import CAPPABLE, HIDABLE, REMOVABLE
from modelfence.document import Node
from modelfence.policy.keys import CAP
from modelfence.workbench.cases.keys import EFFECTS, MOST_TOKENS
from modelfence.workbench.cases.model import Expectation, Place
from modelfence.workbench.cases.values import duration_us

_NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Aspect:
    """One thing about a decision that can be expected."""

    read: Callable[[Node], object]
    """Returns what is expected; problems are noted."""
    of: Callable[[Decision], object]
    """Returns the same of a decision."""
    show: Callable[[object], str]
    """Returns it in words."""
    agree: Callable[[object, object], bool] = lambda expected, came: expected == came


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that was expected and did not come, both in words."""

    aspect: str
    expected: str
    came: str


def read_expectation(node: Node) -> Expectation:
    """Return what a mapping expects; what is wrong with it is noted."""
    entries = node.entries(ASPECTS)
    if node.is_mapping and not node.yaml.value:
        node.problem("nothing-expected", "nothing is expected here: give `effect` and `rules`")
    return Expectation(Place.of(node), {name: ASPECTS[name].read(entry) for name, entry in entries.items()})


def differences(expectation: Expectation, decision: Decision) -> tuple[Difference, ...]:
    """Return where a decision is another than the one that was expected; what is not stated is not compared."""
    return tuple(_differences(expectation, decision))


def _differences(expectation: Expectation, decision: Decision) -> Iterator[Difference]:
    for name, expected in expectation.stated.items():
        aspect = ASPECTS[name]
        came = aspect.of(decision)
        if name == "keys" and isinstance(expected, Mapping) and isinstance(came, Mapping):
            came = {throttle: came.get(throttle) for throttle in expected}  # those not named may be anything
        if not aspect.agree(expected, came):
            yield Difference(name, aspect.show(expected), aspect.show(came))


def _texts(node: Node) -> frozenset[str]:
    return frozenset(text for item in node.items() if (text := item.filled_text()) is not None)


def _words(known: tuple[str, ...]) -> Callable[[Node], frozenset[str]]:
    return lambda node: frozenset(word for item in node.items() if (word := item.choice(known)) is not None)


def _by_name[T](read: Callable[[Node], T]) -> Callable[[Node], dict[str, T]]:
    return lambda node: {name: read(entry) for name, entry in (node.free_entries() or {}).items()}


def _unless_null[T](read: Callable[[Node], T]) -> Callable[[Node], T | None]:
    return lambda node: None if node.is_null else read(node)


def _cap(node: Node) -> dict[str, int | None]:
    return {
        name: entry.integer(minimum=CAP.minimum, maximum=CAP.maximum) for name, entry in node.entries(CAPPABLE).items()
    }


def _amount(node: Node) -> float | None:
    return node.number(minimum=0, maximum=MOST_TOKENS)


def _set(value: object) -> str:
    return ", ".join(sorted(value)) or _NOTHING if isinstance(value, frozenset) else str(value)


def _map(value: object) -> str:
    if not isinstance(value, Mapping):
        return str(value)
    return ", ".join(f"{name}: {_plain(one)}" for name, one in sorted(value.items())) or _NOTHING


def _plain(value: object) -> str:
    if value is None:
        return _NOTHING
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def _wait(value: object) -> str:
    return f"{value / 1_000_000:.15g}s" if isinstance(value, int) else "no wait"


def _alike(expected: object, came: object) -> bool:
    """Say whether the same throttles take the same, as exactly as sums of doubles are."""
    if not isinstance(expected, Mapping) or not isinstance(came, Mapping) or expected.keys() != came.keys():
        return False
    return all(math.isclose(amount, came[name], rel_tol=1e-9) for name, amount in expected.items())


ASPECTS: Mapping[str, Aspect] = {
    "effect": Aspect(lambda node: node.choice((*EFFECTS, Effect.REJECT)), lambda d: d.effect.value, _plain),
    "rules": Aspect(_texts, lambda d: frozenset(d.rules), _set),
    "remove": Aspect(_words(REMOVABLE), lambda d: d.reshaping.remove, _set),
    "cap": Aspect(_cap, lambda d: dict(d.reshaping.cap), _map),
    "hide": Aspect(_words(HIDABLE), lambda d: d.reshaping.hide, _set),
    "charges": Aspect(_by_name(_amount), lambda d: {one.throttle: one.amount for one in d.charges}, _map, _alike),
    "keys": Aspect(
        _by_name(_unless_null(Node.filled_text)), lambda d: {one.throttle: one.key for one in d.charges}, _map
    ),
    "retry_after": Aspect(_unless_null(duration_us), lambda d: d.retry_after_us, _wait),
    "unknown": Aspect(_texts, lambda d: frozenset(d.unknown), _set),
    "would": Aspect(
        _unless_null(lambda node: node.choice(EFFECTS)), lambda d: None if d.would is None else d.would.value, _plain
    ),
    "shadow_rules": Aspect(_texts, lambda d: frozenset(d.shadow_rules), _set),
    "message": Aspect(_unless_null(Node.filled_text), lambda d: d.message, _plain),
}
