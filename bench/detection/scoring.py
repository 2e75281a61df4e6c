"""What became of each class of callers: figures for a table, filled one judged call at a time.

A class is a label of the recording. Of a campaign it counts which share of its output tokens was let through; of a
benign class, which share of its calls was refused, and of how many of its accounts any.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from modelfence.extraction.weights import SUSPICIOUS
from modelfence.replay.outcomes import Broken, Decided, Outcome

FIRST_PROBES = 20
"""An account that probes logits may get so many calls through, and none after them."""
_HOUR_US = 3_600_000_000


@dataclass(frozen=True, slots=True)
class Moment:
    """When something was first so: after so many calls of the class, tokens let through to it, and hours."""

    calls: int
    tokens: int
    hours: float


@dataclass(slots=True)
class ClassScore:
    """One class."""

    label: str
    calls: int = 0
    refused: int = 0
    tokens: int = 0
    leaked_tokens: int = 0
    first_us: int = 0
    refused_first: Moment | None = None
    suspected_first: Moment | None = None
    """The first call that drew on a cohort whose score is suspicious."""
    calls_of: Counter[str] = field(default_factory=Counter)
    """By account."""
    refused_of: Counter[str] = field(default_factory=Counter)
    furthest: int = 0
    """The last call of an account that was let in, counted from its first: the highest of all its accounts."""
    spoke: Counter[str] = field(default_factory=Counter)
    """What each signal added to the scores, in total."""

    @property
    def is_attack(self) -> bool:
        """Say whether it is a campaign."""
        return self.label.startswith("attack:")

    @property
    def accounts(self) -> int:
        """Return how many accounts called."""
        return len(self.calls_of)

    @property
    def leaked(self) -> float:
        """Return the share of its output tokens that was let through."""
        return self.leaked_tokens / max(1, self.tokens)

    @property
    def refused_share(self) -> float:
        """Return the share of its calls that was refused."""
        return self.refused / max(1, self.calls)

    @property
    def accounts_hit(self) -> float:
        """Return the share of its accounts of which a call was refused."""
        return len(self.refused_of) / max(1, self.accounts)

    def add(self, decided: Decided) -> None:
        """Count a call."""
        judged, line = decided.judged, decided.line
        account = judged.account.id if judged.account else judged.call.credential.digest
        tokens = line.usage.output_tokens if line.usage else 0
        self.first_us = self.first_us or line.at_us
        now = Moment(self.calls, self.leaked_tokens, (line.at_us - self.first_us) / _HOUR_US)
        self.calls += 1
        self.calls_of[account] += 1
        self.tokens += tokens
        for signal, value in judged.extraction.contributions:
            self.spoke[signal] += value  # type: ignore[assignment]  # a counter of numbers, not only whole ones
        if judged.extraction.cohort and judged.extraction.score >= SUSPICIOUS:
            self.suspected_first = self.suspected_first or now
        if judged.decision.admitted:
            self.leaked_tokens += tokens
            self.furthest = max(self.furthest, self.calls_of[account])
        else:
            self.refused += 1
            self.refused_of[account] += 1
            self.refused_first = self.refused_first or now


type Scores = Mapping[str, ClassScore]


class Scoring:
    """Takes what came of each line, and forgets it."""

    def __init__(self) -> None:
        self._classes: dict[str, ClassScore] = {}

    def add(self, label: str, outcome: Outcome) -> None:
        """Count one line of a class. Raises ValueError for one that was not judged."""
        if not isinstance(outcome, Decided):
            why = outcome.error if isinstance(outcome, Broken) else outcome.message
            raise ValueError(f"line {outcome.n + 1} of the recording was not judged: {why}")  # noqa: TRY004 - no type
        self._classes.setdefault(label, ClassScore(label)).add(outcome)

    def scores(self) -> Scores:
        """Return the figures of each class, by label in order."""
        return dict(sorted(self._classes.items()))


@dataclass(frozen=True, slots=True)
class Bar:
    """What the shipped policy is held to for campaigns whose label has one of these words."""

    words: Sequence[str]
    says: str
    most: float
    """Of the share that leaks; of `furthest`, where it is a number of calls."""


BARS = (
    Bar(("evades", "untemplated"), "", 1.0),
    Bar(("logits",), f"nothing after an account's first {FIRST_PROBES} calls", FIRST_PROBES),
    Bar(("single",), "at most 15 % of tokens", 0.15),
    Bar(("mixed",), "at most 35 % of tokens", 0.35),
    Bar(("",), "at most 10 % of tokens", 0.10),
)
"""The first that fits counts. The first of all asks nothing: it is for what is known not to be caught."""
MOST_REFUSED, MOST_HIT = 0.01, 0.02
"""Of the calls and the accounts of the worst benign class."""


def bar_of(label: str) -> Bar | None:
    """Return what a campaign is held to; None for one that is held to nothing."""
    bar = next(bar for bar in BARS if any(word in label for word in bar.words))
    return bar if bar.says else None


def is_held(one: ClassScore) -> bool:
    """Say whether a class meets what it is held to."""
    if not one.is_attack:
        return one.refused_share <= MOST_REFUSED and one.accounts_hit <= MOST_HIT
    bar = bar_of(one.label)
    if bar is None:
        return True
    return one.furthest <= bar.most if bar.most > 1 else one.leaked <= bar.most


def worst_benign(scores: Scores) -> ClassScore | None:
    """Return the benign class of which most is refused; of several, that of which most accounts are hit."""
    benign = [one for one in scores.values() if not one.is_attack]
    return max(benign, key=lambda one: (one.refused_share, one.accounts_hit, one.label), default=None)
