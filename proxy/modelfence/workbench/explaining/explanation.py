"""What an explanation says of one call: values, made by `judging` and `logged` and shown by `as_text` and its like."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from modelfence.core.dialect import Answer
from modelfence.core.explanation import RuleExplained
from modelfence.core.facts import FactValue


class Origin(StrEnum):
    """What kind of thing a fact came from."""

    REQUEST = "request"
    """Its path, method, headers or body."""
    SAID = "said"
    """By whoever asks, beside the request."""
    DATABASE = "database"
    """Of addresses."""
    RECORD = "record"
    """Of an account."""
    SETTINGS = "settings"
    COMPUTED = "computed"
    """From other facts."""
    EVIDENCE = "evidence"
    """Of extraction: this call, and those before it."""
    CLOCK = "clock"
    LOG = "log"
    """A line of the audit log."""
    NOWHERE = "nowhere"
    """It is unknown, or stands for what was not said."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a fact came from, or why it did not."""

    origin: Origin
    words: str


@dataclass(frozen=True, slots=True)
class FactExplained:
    """One fact. `value` is None when it is unknown."""

    name: str
    value: FactValue | None
    source: Source
    read_by: tuple[str, ...] = ()
    """The rules that name it."""
    is_logged: bool = True
    """False for what an audit log does not hold, so that nobody knows whether it was known."""


class Role(StrEnum):
    """What a rule had to do with the effect, those that matter most first."""

    DECIDED = "decided"
    """It caused the effect."""
    LACKED = "lacked"
    """An allow that did not let in a call for which no other did."""
    APPLIED = "applied"
    """It applied and did not cause the effect: a throttle that charged, say, or an allow beside a deny."""
    SHADOW = "shadow"
    """It applied, and acts on nothing."""
    IDLE = "idle"
    """A reshape or throttle whose condition holds, of a call that was refused before it could act."""
    UNTOLD = "untold"
    """Whether it applied can't be told from an audit log."""
    NEARLY = "nearly"
    """One part of its condition kept it from applying, and all others held."""
    NOT = "not"
    """It did not apply."""


@dataclass(frozen=True, slots=True)
class RuleRole:
    """One rule and its part in the effect."""

    explained: RuleExplained
    role: Role
    place: str | None = None
    """File and line."""
    missing: tuple[str, ...] = ()
    """Of a rule that did not apply, the parts of its condition without which it would have."""
    then: bool | None = None
    """Whether the log says that it was among those that caused the effect; None without a log."""


@dataclass(frozen=True, slots=True)
class ThrottleExplained:
    """One throttle that applied: what it wanted from which bucket, and what came of it."""

    rule: str
    state: str
    """charged, refused, untouched where another one refused, or logged."""
    amount: float
    unit: str
    key: str | None = None
    """None where a log does not say."""
    burst: float | None = None
    rate: str | None = None
    left: int | None = None
    """Whole units left in the bucket afterwards."""
    wait_us: int | None = None
    """Until it would fit, of one that refused."""
    shadow: bool = False


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a call was decided as it was."""

    answer: str
    """What came of it and why, in a sentence."""
    effect: str
    """An effect, or `untold` where an audit log does not say enough for one."""
    about: tuple[tuple[str, str], ...]
    """The call and what it was judged by: names and words."""
    rules: tuple[RuleRole, ...] = ()
    facts: tuple[FactExplained, ...] = ()
    throttles: tuple[ThrottleExplained, ...] = ()
    changes: tuple[str, ...] = ()
    """What is changed in the call, in sentences."""
    told: Answer | None = None
    """What the caller is told; None for one that is let in, and where a log does not say."""
    would: str | None = None
    """What it would have been but for rules in shadow."""
    unknown: tuple[str, ...] = ()
    """The facts that were unknown and mattered."""
    retry_after_us: int | None = None
    notes: tuple[str, ...] = ()
    """What else has to be known to read this right."""
    tiers: Sequence[str] = ()
    policy_hash: str = ""
