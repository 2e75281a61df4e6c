"""What came of cases, as values.

Rule: nothing here reads, runs or prints.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from modelfence.core.decision import Decision, Effect
from modelfence.core.facts import Facts
from modelfence.workbench.cases.expecting import Difference
from modelfence.workbench.cases.model import Case, CaseFile, Step


@dataclass(frozen=True, slots=True)
class Came:
    """What came of one call."""

    step: Step
    n: int
    """Which call of the step it is, from one."""
    at_us: int
    """When it was, in microseconds since the epoch."""
    facts: Facts
    """All that was known of it; empty for a request that was refused before it was judged."""
    decision: Decision
    shadow_refused: frozenset[str] = frozenset()
    """The throttles in shadow that would have refused it."""

    @property
    def refused(self) -> frozenset[str]:
        """Return the throttles that had not enough left for it, those in shadow included."""
        enforced = self.decision.rules if self.decision.effect is Effect.THROTTLE else ()
        return self.shadow_refused.union(enforced)


@dataclass(frozen=True, slots=True)
class Failure:
    """The first call of a case whose decision was not the one expected."""

    came: Came
    differences: tuple[Difference, ...]


@dataclass(frozen=True, slots=True)
class CaseResult:
    """What came of one case. A case ends with the first call that fails: what comes after it says nothing."""

    case: Case
    calls: int
    """How many were made."""
    failure: Failure | None
    took_s: float
    seen: tuple[Came, ...]
    """What came of the calls, of those alike only the first."""

    @property
    def passed(self) -> bool:
        """Say whether everything came as expected."""
        return self.failure is None


@dataclass(frozen=True, slots=True)
class Results:
    """What came of the cases of one file."""

    case_file: CaseFile
    results: tuple[CaseResult, ...]

    @property
    def failed(self) -> tuple[CaseResult, ...]:
        """Return the cases that failed."""
        return tuple(one for one in self.results if not one.passed)

    @property
    def took_s(self) -> float:
        """Return how long all cases took, in seconds."""
        return sum(one.took_s for one in self.results)


def seen_once(every: Iterable[Came], read: frozenset[str]) -> tuple[Came, ...]:
    """Return those of which the policy knows different things, by the facts that it reads, or has other effects."""
    found: dict[tuple[object, ...], Came] = {}
    for came in every:
        known = tuple((name, repr(came.facts[name])) for name in sorted(read) if name in came.facts)
        found.setdefault((came.decision.effect, came.refused, known), came)
    return tuple(found.values())


def rules_exercised(results: Iterable[Results]) -> Mapping[str, int]:
    """Return by the id of a rule in how many cases it had a part: it caused an effect, reshaped or charged."""
    found: dict[str, int] = {}
    for one in (case for result in results for case in result.results):
        ids = {step.rule.id for came in one.seen for step in came.decision.trace if step.applied}
        for id_ in ids:
            found[id_] = found.get(id_, 0) + 1
    return found
