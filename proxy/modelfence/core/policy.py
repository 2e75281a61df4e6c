"""The compiled policy: a value. How text becomes one is `modelfence.policy`'s work."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from modelfence.core.bucket import Rate
from modelfence.core.charge import OnStoreFailure, Unit
from modelfence.core.facts import Facts
from modelfence.core.quick import quick

UNKNOWN_KEY = "(unknown)"
"""The bucket shared by all calls whose key could not be found. No fact holds parentheses of its own accord."""


class Mode(StrEnum):
    ENFORCE = "enforce"
    SHADOW = "shadow"


class RuleKind(StrEnum):
    DENY = "deny"
    ALLOW = "allow"
    RESHAPE = "reshape"
    THROTTLE = "throttle"


@quick
@dataclass(frozen=True, slots=True)
class Unknown:
    """The value of an expression that could not be found out: the facts it lacked, and the reason in words."""

    facts: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A part of an expression and what it came to. The kinds are those of `modelfence.policy.syntax`."""

    source: str
    """Its text."""
    start: int
    """Where it begins in the text of the whole expression."""
    end: int
    kind: str
    value: object
    """What CEL says: a bool, a number, a text, a time, a list or a map; or Unknown."""
    parts: tuple["Evaluated", ...] = ()

    def all(self) -> Iterator["Evaluated"]:
        """Yield this part and those it is made of, each before its own."""
        yield self
        for part in self.parts:
            yield from part.all()


class Expression[T](Protocol):
    """A compiled expression. `bound` is what the policy's `bind` made of the facts."""

    @property
    def source(self) -> str:
        """Return the text as the author wrote it."""
        ...

    @property
    def names(self) -> frozenset[str]:
        """Return the facts it reads."""
        ...

    def evaluate(self, bound: object) -> T | Unknown:
        """Return its value; never raises."""
        ...

    def explain(self, bound: object) -> Evaluated:
        """Return its value with those of its parts; never raises. Far slower."""
        ...


@dataclass(frozen=True, slots=True)
class Rule:
    """What rules of every kind carry."""

    id: str
    kind: RuleKind
    shadow: bool = False
    message: str | None = None
    help_url: str | None = None
    description: str | None = None


@dataclass(frozen=True, slots=True)
class AccessRule:
    rule: Rule
    condition: Expression[bool]


@dataclass(frozen=True, slots=True)
class Reshaping:
    """What is changed in a call that is let through."""

    remove: frozenset[str] = frozenset()
    """Names of section "facts": logprobs, logit_bias."""
    cap: Mapping[str, int] = field(default_factory=dict)
    """The most a call may ask for: output_tokens, choices."""
    hide: frozenset[str] = frozenset()
    """What is taken out of its answer: reasoning."""

    def __or__(self, other: "Reshaping") -> "Reshaping":
        """Return both together: all that is removed or hidden, and the lower of two caps."""
        caps = dict(self.cap)
        for name, most in other.cap.items():
            caps[name] = min(most, caps.get(name, most))
        return Reshaping(self.remove | other.remove, caps, self.hide | other.hide)

    def __bool__(self) -> bool:
        return bool(self.remove or self.cap or self.hide)


REMOVABLE = ("logprobs", "logit_bias")
CAPPABLE = ("output_tokens", "choices")
HIDABLE = ("reasoning",)


@dataclass(frozen=True, slots=True)
class ReshapeRule:
    rule: Rule
    when: Expression[bool] | None
    reshaping: Reshaping


@dataclass(frozen=True, slots=True)
class ThrottleRule:
    rule: Rule
    when: Expression[bool] | None
    key: Expression[str]
    rate: Rate
    unit: Unit = Unit.REQUESTS
    cost: Expression[float] | None = None
    """What one request or token costs; one when left out."""
    on_store_failure: OnStoreFailure = OnStoreFailure.DENY


@dataclass(frozen=True, slots=True)
class DenyGroup:
    """Some denies, and one expression that is true when any of them is: plainly false settles them all at once."""

    any: Expression[bool]
    rules: Sequence[AccessRule]


@dataclass(frozen=True, slots=True)
class Policy:
    """Everything a decision needs, compiled. `bind` prepares facts once for all expressions of one decision."""

    hash: str
    """The first 16 hexadecimal digits of the SHA-256 over the policy and all it includes."""
    mode: Mode
    tiers: Sequence[str]
    lists: Mapping[str, Sequence[str]]
    denies: Sequence[DenyGroup]
    allows: Sequence[AccessRule]
    reshapes: Sequence[ReshapeRule]
    throttles: Sequence[ThrottleRule]
    names: frozenset[str]
    """Every fact that some expression reads."""
    owned_by: Sequence[str]
    """The lists for which a condition reads `kyc.owned_by.LIST`."""
    bind: Callable[[Facts], object]
    exempt: Sequence[str] = ()
    """Fingerprints of templates whose accounts are no cohort."""

    def tier(self, name: str) -> int:
        """Return the place of a tier, 0 for the lowest and for a name the policy does not know."""
        return self.tiers.index(name) if name in self.tiers else 0

    def rules(self) -> tuple[Rule, ...]:
        """Return every rule, denies first."""
        access = (*(deny for group in self.denies for deny in group.rules), *self.allows)
        return (
            *(entry.rule for entry in access),
            *(entry.rule for entry in self.reshapes),
            *(entry.rule for entry in self.throttles),
        )
