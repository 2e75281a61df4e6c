"""What came of cases, in words for a terminal: what failed where, what was expected, and why it did not come."""

import textwrap
from collections.abc import Iterable, Iterator, Sequence

from modelfence.core.decision import Effect
from modelfence.core.explanation import RuleExplained
from modelfence.core.policy import Policy, RuleKind
from modelfence.policy.explain import explain
from modelfence.workbench.cases.coverage import Coverage
from modelfence.workbench.cases.results import Came, CaseResult, Failure, Results
from modelfence.workbench.explaining.tree import lines_of

WIDTH = 100
_IDS = ("rules", "shadow_rules", "charges", "keys")
_SAYS = {RuleKind.RESHAPE: ("remove", "cap", "hide", "unknown"), RuleKind.THROTTLE: ("charges", "keys", "unknown")}
"""What of a decision these rules say."""


def passed_line(result: CaseResult) -> str:
    """Return one line for a case that passed."""
    return f"passed  {result.case.place}: {result.case.title}{_calls(result)}"


def failed_lines(result: CaseResult, policy: Policy) -> Iterator[str]:
    """Yield what is to be said of a case that failed: where it is, what was expected and came, and the trace of it."""
    failure = result.failure
    if failure is None:
        return
    yield f"FAILED  {result.case.place}: {result.case.title}"
    if result.calls > 1 or len(result.case.steps) > 1:
        yield f"  {_which_call(result, failure)}"
    yield from _differences(failure)
    yield ""
    yield from textwrap.indent("\n".join(_why(failure, policy)), "  ").splitlines()


def summary(every: Sequence[Results], unread: int) -> str:
    """Return how many cases passed, in one line, and how many files were not run for their problems."""
    results = [result for one in every for result in one.results]
    failed = sum(not result.passed for result in results)
    not_run = f"{_count(unread, 'file')} not run for {'its' if unread == 1 else 'their'} problems"
    if not results:
        return not_run if unread else "there are no cases"
    took_s = sum(one.took_s for one in every)
    where = f"{_count(len(results), 'case')} in {_count(len(every) - unread, 'file')}"
    words = f"{where}: {f'{failed} failed' if failed else 'all passed'}, in {took_s:.2f} s"
    return f"{words}; {not_run}" if unread else words


def coverage_lines(coverage: Coverage) -> Iterator[str]:
    """Yield what no case saw, each with its place, and how much they saw in all."""
    for place, words in coverage.gaps():
        yield f"{place}: {words}"
    rules = _count(len(coverage.rules), "rule")
    yield f"coverage: {coverage.percent:g} %, {coverage.seen} of {coverage.total} points of {rules}"


def _differences(failure: Failure) -> Iterator[str]:
    width = max(len(one.aspect) for one in failure.differences)
    for one in failure.differences:
        yield f"  {one.aspect.ljust(width)}  expected: {one.expected}"
        yield f"  {' ' * width}      came: {one.came}"


def _which_call(result: CaseResult, failure: Failure) -> str:
    came = failure.came
    after_s = (came.at_us - result.case.start_us) / 1_000_000
    which = f"call {came.n} of {came.step.times} of the step" if came.step.times > 1 else "the step"
    return f"in {which} at {came.step.place.line}:{came.step.place.column}, {after_s:g} s after the first call"


def _why(failure: Failure, policy: Policy) -> Iterator[str]:
    """Yield the rules that have to do with it, with the value of each part of their conditions."""
    came = failure.came
    if not came.facts:
        yield f"The request is refused before it is judged: {came.decision.message}"
        return
    everything = explain(policy, came.facts)
    shown = [one for one in everything if _is_concerned(one, failure)]
    wanting = came.decision.effect is Effect.DENY and not came.decision.rules
    yield "No rule lets it in:" if wanting else "Why:"
    for one in shown:
        yield from lines_of(one, WIDTH, tiers=policy.tiers)
        if one.rule.id in came.refused:
            yield f"  its bucket has not enough left{_wait(came)}"
    if others := len(everything) - len(shown):
        yield f"({_count(others, 'other rule')} had no part in it)"


def _wait(came: Came) -> str:
    wait_s = came.decision.retry_after
    return "" if wait_s is None else f"; there is enough in {wait_s:.15g} s"


def _is_concerned(one: RuleExplained, failure: Failure) -> bool:
    """Say whether a rule was expected to have a part, or had one in what came instead."""
    decision, rule = failure.came.decision, one.rule
    if rule.id in _expected(failure) or rule.id in (*decision.rules, *decision.shadow_rules):
        return True
    if decision.effect is Effect.DENY:  # nothing else was asked; without a rule that refuses it, every allow was
        return rule.kind is RuleKind.ALLOW and not decision.rules
    differing = {difference.aspect for difference in failure.differences}
    return one.applies and bool(differing.intersection(_SAYS.get(rule.kind, ())))


def _expected(failure: Failure) -> frozenset[str]:
    stated = (failure.came.step.expect.stated.get(key) for key in _IDS)
    return frozenset(str(id_) for ids in stated if isinstance(ids, Iterable) for id_ in ids)


def _calls(result: CaseResult) -> str:
    return f" ({result.calls} calls)" if result.calls > 1 else ""


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
