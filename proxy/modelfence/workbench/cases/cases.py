"""The cases of one file: facts or a request, one call or several, once or for every combination of a matrix."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from modelfence.core.call import Usage
from modelfence.core.keys import names, required
from modelfence.core.location import LOCATED
from modelfence.core.policy import Policy
from modelfence.document import Node, did_you_mean
from modelfence.workbench.cases.facts import VARIED
from modelfence.workbench.cases.keys import CASE_KEYS, MOST_CALLS, MOST_TOKENS, STEP_KEYS, USAGE_KEYS
from modelfence.workbench.cases.matrix import Combination, combinations, expectation_of, expectations, written
from modelfence.workbench.cases.model import Case, Expectation, Given, Place, Request, Step
from modelfence.workbench.cases.ordinary import EPOCH, NOW, completed
from modelfence.workbench.cases.reachable import Reach
from modelfence.workbench.cases.requests import RequestReader
from modelfence.workbench.cases.values import KnownFacts, duration_us

_WITH_A_REQUEST = frozenset(f"client.{name}" for name in LOCATED) | {"now"}
"""The facts that a case with a request can give; the request says the others."""
_US = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class _Call:
    """What a call is made of: the facts that are given, and the fields of its request if it is one."""

    given: Given = field(default_factory=dict)
    asked: Mapping[str, Any] | None = None

    def changed(self, by: "_Call") -> "_Call":
        """Return the call with what another gives in place of its own."""
        asked = None if self.asked is None else {**self.asked, **(by.asked or {})}
        return _Call({**self.given, **by.given}, asked)


@dataclass(frozen=True, slots=True)
class _Step:
    """A step before it is known which combination it is for."""

    place: Place
    call: _Call = _Call()
    """What differs from the case."""
    expect: Expectation | None = None
    """None where the case says what is expected, as of a call that is no sequence."""
    times: int = 1
    every_us: int = 0
    after_us: int = 0
    usage: Usage | None = None


class CaseReader:
    """Reads cases about one policy. `accounts` are the ids of accounts that may call, None where nobody can say."""

    def __init__(self, policy: Policy, accounts: frozenset[str] | None, given: Node | None) -> None:
        self._policy = policy
        self._known = KnownFacts.of(policy)
        self._reach = Reach.of(policy)
        self._requests = RequestReader(accounts)
        self._given = {} if given is None else self._facts(given, frozenset(self._known.by_name))

    def cases(self, node: Node | None) -> tuple[Case, ...]:
        """Return the cases of a list; what is wrong is noted."""
        found: list[Case] = []
        seen: set[str] = set()
        for item in node.items() if node else []:
            entries = item.entries(names(CASE_KEYS), required=required(CASE_KEYS))
            name = entries["name"].filled_text() if "name" in entries else None
            if name in seen:
                entries["name"].problem("duplicate-name", f"another case of this file is named `{name}`")
            seen.add(name or "")
            found += self._combinations(item, name or "", entries)
        return tuple(found)

    def _combinations(self, item: Node, name: str, entries: Mapping[str, Node]) -> Sequence[Case]:
        """Return the case once for each combination of its matrix."""
        is_request = "request" in entries
        common = self._call(entries, may=self._may_give(is_request=is_request))
        if not is_request:
            common = _Call(self._given).changed(common)
        every = combinations(entries.get("matrix"), lambda key: self._can_vary(key, is_request=is_request))
        steps = self._steps(item, entries, is_request=is_request)
        expected = self._expected(item, entries, every)
        if sum(step.times for step in steps) * len(every) > MOST_CALLS:
            item.problem("too-many", f"these are more than {MOST_CALLS:,} calls")
            return ()
        found = []
        for combination, expectation in zip(every, expected, strict=True):
            call = common.changed(self._varied(combination))
            now = call.given.get("now")
            started = now if isinstance(now, datetime) else NOW
            finished = tuple(self._finished(step, call.changed(step.call), expectation) for step in steps)
            shown = {key: written(value) for key, value in combination.items()}
            found.append(Case(name, Place.of(item), (started - EPOCH) // _US, finished, shown))
        return found

    def _expected(
        self, item: Node, entries: Mapping[str, Node], every: Sequence[Combination]
    ) -> Sequence[Expectation | None]:
        """Return what is expected of each combination as a whole; None where each step says it for itself."""
        expect, exceptions, steps = entries.get("expect"), entries.get("exceptions"), entries.get("steps")
        nothing = [None for _ in every]
        if (expect is None) is (steps is None):
            words = "either `expect` or `steps`" if expect else "nothing is expected: give `expect`, or `steps`"
            item.problem("nothing-expected", f"{words}, not both" if expect else words)
            return nothing
        if exceptions is not None and (steps is not None or "matrix" not in entries):
            exceptions.problem("not-stated-here", "exceptions are for a case with a `matrix` and an `expect`")
            return nothing
        return nothing if expect is None else expectations(expect, exceptions, every, self._reach)

    def _steps(self, item: Node, entries: Mapping[str, Node], *, is_request: bool) -> Sequence[_Step]:
        node = entries.get("steps")
        if node is None:
            return [_Step(Place.of(item))]
        may = self._may_give(is_request=is_request) - {"now"}
        found = [self._step(one, may, is_request=is_request) for one in node.items()]
        if node.is_list and not found:
            node.problem("empty-value", "no step is given here")
        return found

    def _step(self, item: Node, may: frozenset[str], *, is_request: bool) -> _Step:
        entries = item.entries(names(STEP_KEYS), required=required(STEP_KEYS))
        if "request" in entries and not is_request:
            words = "the case gives facts: its steps can't be requests, unless it has a `request` of its own"
            item.key_node("request").problem("not-stated-here", words)
        times = entries["times"].integer(minimum=1, maximum=MOST_CALLS) if "times" in entries else 1
        return _Step(
            Place.of(item),
            self._call(entries, may=may),
            expectation_of(entries["expect"], self._reach) if "expect" in entries else None,
            times or 1,
            _time_us(entries.get("every")),
            _time_us(entries.get("after")),
            _usage(entries.get("usage")),
        )

    def _call(self, entries: Mapping[str, Node], *, may: frozenset[str]) -> _Call:
        """Return what a case or a step gives; `may` are the facts it can."""
        given, request = entries.get("given"), entries.get("request")
        asked = None if request is None else self._requests.fields(request)
        return _Call({} if given is None else self._facts(given, may), asked)

    def _facts(self, node: Node, may: frozenset[str]) -> Given:
        entries = {} if node.is_null else node.free_entries() or {}
        found = {}
        for name, value in entries.items():
            if self._is_fact(node.key_node(name), may):
                found[name] = self._known.read(name, value)
        return found

    def _is_fact(self, key: Node, may: frozenset[str]) -> bool:
        """Say whether a fact of that name can be given here, after noting a problem if not."""
        name = key.text() or ""
        if name in may:
            return True
        if name not in self._known.by_name:
            key.problem("unknown-fact", f"unknown fact `{name}`", hint=did_you_mean(name, self._known.by_name))
        elif name == "now":
            key.problem("not-stated-here", "a step does not say when it is: `after` and `every` do")
        else:
            key.problem("not-stated-here", f"`{name}` can't be given beside a request, which says it itself")
        return False

    def _may_give(self, *, is_request: bool) -> frozenset[str]:
        return _WITH_A_REQUEST if is_request else frozenset(self._known.by_name)

    def _can_vary(self, key: Node, *, is_request: bool) -> bool:
        if key.text() in VARIED:
            if not is_request:
                key.problem("not-stated-here", f"`{key.text()}` is varied where the case has a `request`")
            return is_request
        return self._is_fact(key, self._may_give(is_request=is_request))

    def _varied(self, combination: Combination) -> _Call:
        asked = {name: self._requests.field(name, node) for name, node in combination.items() if name in VARIED}
        facts = {name: self._known.read(name, node) for name, node in combination.items() if name not in VARIED}
        return _Call(facts, asked)

    def _finished(self, step: _Step, call: _Call, expectation: Expectation | None) -> Step:
        request = None
        if call.asked is not None:
            place = {name: value for name, value in call.given.items() if name != "now"}
            stated = {name: value for name, value in call.asked.items() if value is not None}
            request = Request(**stated, place=place)
        return Step(
            step.place,
            {} if request else completed(call.given, self._policy),
            step.expect or expectation or Expectation(step.place, {}),
            request,
            step.times,
            step.every_us,
            step.after_us,
            step.usage,
        )


def _time_us(node: Node | None) -> int:
    return (duration_us(node) if node else None) or 0


def _usage(node: Node | None) -> Usage | None:
    if node is None:
        return None
    entries = node.entries(names(USAGE_KEYS))
    read = {name: entry.integer(minimum=0, maximum=MOST_TOKENS) or 0 for name, entry in entries.items()}
    return Usage(read.get("input_tokens", 0), read.get("output_tokens", 0))
