"""Two policies on one recording, in figures."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from modelfence.core.decision import Effect
from modelfence.core.policy import Mode
from modelfence.workbench.comparing.changes import NEWLY_REFUSED, Change
from modelfence.workbench.comparing.edits import PolicyEdits
from modelfence.workbench.comparing.reasons import ReasonCount
from modelfence.workbench.comparing.rows import Row


class Dimension(StrEnum):
    """What requests are told apart by."""

    COUNTRY = "country"
    TIER = "tier"
    """As the new policy names them."""
    ACCOUNT = "account"
    MODEL = "model"
    OPERATION = "operation"
    """With the upstream's name before it."""
    LABEL = "label"


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two policies, and what became of all requests under it."""

    path: str
    hash: str
    mode: Mode
    as_enforced: bool
    """It was taken as if nothing in it were in shadow."""
    effects: Mapping[Effect, int]
    would: Mapping[Effect, int]
    """What requests would have got but for rules in shadow, where that is something else than they got."""

    @property
    def let_in(self) -> int:
        """Return how many requests it lets in."""
        return self.effects.get(Effect.ALLOW, 0)

    @property
    def would_refuse(self) -> int:
        """Return how many requests it refuses only in shadow."""
        return sum(n for effect, n in self.would.items() if effect is not Effect.ALLOW)


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the recording holds."""

    lines: int
    broken: int
    late: int
    """Lines that stand after one with a later time."""
    rejected: int
    """Requests that are refused before any policy is asked."""
    redacted: int
    """Requests without their body: with what was read in it, and the fingerprint of the prompt."""
    first_us: int | None
    last_us: int | None

    @property
    def requests(self) -> int:
        """Return how many lines are none of the broken ones."""
        return self.lines - self.broken


@dataclass(frozen=True, slots=True)
class Grouped:
    """Requests told apart by one thing, those that change most first."""

    rows: Sequence[Row]
    others: Row | None
    """What there was no room for, put together: then the figures of rows may be too low. Their sum is exact."""

    def touched_by(self, *changes: Change) -> int:
        """Return for how many of the rows something changes in one of these ways."""
        return sum(any(row.changes[change] for change in changes) for row in self.rows)


@dataclass(frozen=True, slots=True)
class RuleCount:
    """How many requests a rule of the new policy newly refuses, or one of the old policy no longer refuses."""

    change: Change
    effect: Effect
    rule: str
    requests: int
    alone: int
    """For how many of them it is the only rule."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What two policies make of a recording, and what differs."""

    old: Side
    new: Side
    edits: PolicyEdits
    recorded: Recorded
    changes: Mapping[Change, int]
    by: Mapping[Dimension, Grouped]
    """Without labels where the recording has none."""
    reasons: Sequence[ReasonCount]
    """The most frequent first."""
    untold: int
    """Requests for whose reasons there was no room."""
    step_us: int
    timeline: Sequence[tuple[int, Row]]
    """Requests by the beginning of their step, in order, without steps in which there are none."""

    @property
    def newly_refused(self) -> int:
        """Return how many requests the new policy refuses that the old one let in."""
        return sum(self.changes.get(change, 0) for change in NEWLY_REFUSED)

    @property
    def newly_allowed(self) -> int:
        """Return how many requests the new policy lets in that the old one refused."""
        return self.changes.get(Change.NEWLY_ALLOWED, 0)

    def rules(self) -> Sequence[RuleCount]:
        """Return by which rules requests are newly refused or had been refused, the most frequent first."""
        requests: Counter[tuple[Change, Effect, str]] = Counter()
        alone: Counter[tuple[Change, Effect, str]] = Counter()
        for count in self.reasons:
            change = count.reason.change
            if change not in (*NEWLY_REFUSED, Change.NEWLY_ALLOWED):
                continue
            grounds = count.reason.old if change is Change.NEWLY_ALLOWED else count.reason.new
            for rule in grounds.because:
                requests[change, grounds.effect, rule] += count.requests
                alone[change, grounds.effect, rule] += count.requests if len(grounds.because) == 1 else 0
        return [RuleCount(*key, n, alone[key]) for key, n in requests.most_common()]
