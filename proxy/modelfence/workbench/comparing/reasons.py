"""Why calls fare otherwise: each pair of grounds with how many calls of how many accounts, and a few of these calls."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from modelfence.workbench.comparing.changes import Pair, Reason

EXAMPLES = 3
MOST_REASONS = 500
"""So many are told apart. Of what comes after, the changes are counted and no reason is told."""
MOST_ACCOUNTS = 1_000
"""So many accounts are counted for one reason."""


@dataclass(frozen=True, slots=True)
class Example:
    """One call that fares otherwise."""

    n: int
    """Number of its line in the recording, from 0."""
    at_us: int
    account: str | None
    tier: str
    country: str | None
    provider: str
    operation: str
    model: str | None
    label: str
    retry_after_us: int | None
    """How long the new policy tells it to wait."""


def example_of(pair: Pair) -> Example:
    """Return a call as an example."""
    judged = pair.new.judged
    call = judged.call
    return Example(
        n=pair.new.n,
        at_us=call.at_us,
        account=judged.account.id if judged.account else None,
        tier=judged.tier,
        country=judged.country,
        provider=call.provider,
        operation=call.reading.operation,
        model=call.reading.model,
        label=pair.new.line.label,
        retry_after_us=judged.decision.retry_after_us,
    )


@dataclass(slots=True)
class ReasonCount:
    """How often there was a reason."""

    reason: Reason
    requests: int = 0
    accounts: set[str] = field(default_factory=set)
    """Those met first; callers without an account are none."""
    examples: list[Example] = field(default_factory=list)
    """The first ones, of as many accounts as there are."""

    def add(self, pair: Pair) -> None:
        """Count a call."""
        self.requests += 1
        account = pair.new.judged.account
        name = account.id if account else None
        is_first = name is not None and name not in self.accounts
        if name is not None and len(self.accounts) < MOST_ACCOUNTS:
            self.accounts.add(name)
        if len(self.examples) < EXAMPLES:
            self.examples.append(example_of(pair))
        elif is_first:
            self._replace_one_of_several(pair)

    def _replace_one_of_several(self, pair: Pair) -> None:
        """Let the example make place for one of another account that stands for an account another stands for, too."""
        accounts = [one.account for one in self.examples]
        spare = next((at for at in range(EXAMPLES - 1, 0, -1) if accounts[at] in accounts[:at]), None)
        if spare is not None:
            self.examples[spare] = example_of(pair)


class Reasons:
    """All reasons there were, up to MOST_REASONS."""

    def __init__(self) -> None:
        self.untold = 0
        """Calls of reasons for which there was no room."""
        self._counts: dict[Reason, ReasonCount] = {}

    def __iter__(self) -> Iterator[ReasonCount]:
        """Yield the reasons by change, and of each the most frequent first."""
        return iter(sorted(self._counts.values(), key=lambda one: -one.requests))

    def add(self, pair: Pair) -> None:
        """Count a call for each of its reasons."""
        for reason in pair.reasons:
            count = self._counts.get(reason)
            if count is None:
                if len(self._counts) >= MOST_REASONS:
                    self.untold += 1
                    continue
                count = self._counts[reason] = ReasonCount(reason)
            count.add(pair)
