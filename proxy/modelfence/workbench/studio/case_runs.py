"""The cases of the policy and of what it includes, run on the texts of a page, with what they leave untested.

They are run one after the other, apart from what else a page asks. A run ends early when the page no longer waits for
it, or when its time is over.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from modelfence.core.problem import errors
from modelfence.policy.compile import Compiled
from modelfence.policy.explain import explain
from modelfence.workbench.cases import Case, CaseFile, CaseResult, Results, read_cases, run
from modelfence.workbench.cases.coverage import Coverage, Exercised, coverage
from modelfence.workbench.studio.checking import Places
from modelfence.workbench.studio.deciding import as_json
from modelfence.workbench.studio.protection import BadRequestError
from modelfence.workbench.studio.tracing import traced
from modelfence.workbench.studio.worker import Worker
from modelfence.workbench.studio.workspace import EditedFiles, Workspace

DEADLINE_S = 60.0


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Which cases to run: those of one file, or one of them, or all, or none."""

    run: bool
    file: str | None = None
    n: int | None = None

    @classmethod
    def of(cls, asked: Mapping[str, Any]) -> "_Wanted":
        n = asked.get("n")
        return cls(asked.get("run") is True, asked.get("file"), n if isinstance(n, int) else None)

    def means(self, file: str | None, n: int) -> bool:
        return self.run and self.file in (None, file) and self.n in (None, n)

    @property
    def is_all(self) -> bool:
        return self.run and self.file is None and self.n is None


@dataclass(slots=True)
class CaseRuns:
    """Runs cases for a page."""

    workspace: Workspace
    clock_s: Callable[[], float] = time.monotonic
    _worker: Worker = field(default_factory=lambda: Worker("cases"))

    async def cases(self, asked: Mapping[str, Any]) -> Mapping[str, object]:
        """Return the cases of all files, with what came of those that are run, and the coverage when all are."""
        texts = self.workspace.texts_of(asked)
        wanted = _Wanted.of(asked)
        until_s = self.clock_s() + DEADLINE_S

        def done(is_left: Callable[[], bool]) -> Mapping[str, object]:
            return _Job(self.workspace, wanted, lambda: is_left() or self.clock_s() > until_s).done(texts)

        return await self._worker.do_for_page(done)

    def stop(self) -> None:
        """Take no more."""
        self._worker.stop()


@dataclass(frozen=True, slots=True)
class _Job:
    workspace: Workspace
    wanted: _Wanted
    is_over: Callable[[], bool]

    def done(self, texts: Mapping[str, str]) -> Mapping[str, object]:
        if self.wanted.is_all:  # somebody may have written new ones meanwhile
            self._look()
        sources = self.workspace.sources(texts)
        read = self._read(sources)
        every = [self._run(case_file) for case_file in read]
        finished = not self.is_over()
        whole = self.wanted.is_all and finished and not any(errors(one.problems) for one in read)
        return {
            "files": [self._file(results, Places(self.workspace, sources)) for results in every],
            "coverage": self._coverage(coverage(every)) if whole else None,
            "finished": finished,
        }

    def _look(self) -> None:
        try:
            self.workspace.look()
        except OSError as error:
            raise BadRequestError(f"{self.workspace.root} can't be read: {error.strerror}.") from None

    def _read(self, sources: EditedFiles) -> list[CaseFile]:
        try:
            return [read_cases(path, sources) for path in self.workspace.cases]
        except OSError as error:
            raise BadRequestError(f"The cases can't be read: {error.strerror}.") from None

    def _run(self, case_file: CaseFile) -> Results:
        id_ = self.workspace.id_of(str(case_file.path))
        found: list[CaseResult] = []
        for n, case in enumerate(case_file.cases):
            if self.wanted.means(id_, n) and not self.is_over():
                found += run(case_file, only=_only(case)).results
        return Results(case_file, tuple(found))

    def _file(self, results: Results, places: Places) -> dict[str, object]:
        case_file = results.case_file
        came = {id(one.case): one for one in results.results}
        broken = case_file.compiled is not None and case_file.compiled.policy is None
        return {
            "id": self.workspace.id_of(str(case_file.path)),
            "name": str(case_file.path),
            "policy": str(case_file.policy_path),
            "problems": [places.problem(problem) for problem in case_file.problems],
            "broken": broken,
            "cases": [self._case(case, came.get(id(case)), case_file.compiled) for case in case_file.cases],
        }

    def _case(self, case: Case, result: CaseResult | None, compiled: Compiled | None) -> dict[str, object]:
        shown: dict[str, object] = {"title": case.title, "line": case.place.line, "passed": None}
        if result is None or compiled is None or compiled.policy is None:
            return shown
        shown |= {"passed": result.passed, "calls": result.calls}
        if result.failure is not None:
            came = result.failure.came
            shown["failure"] = {
                "line": came.step.place.line,
                "call": came.n,
                "calls": came.step.times,
                "after_s": (came.at_us - case.start_us) / 1_000_000,
                "differences": [
                    {"aspect": one.aspect, "expected": one.expected, "came": one.came}
                    for one in result.failure.differences
                ],
                "decision": as_json(came.decision),
                "trace": traced(explain(compiled.policy, came.facts), compiled, self.workspace) if came.facts else [],
            }
        return shown

    def _coverage(self, found: Coverage) -> dict[str, object]:
        return {
            "percent": found.percent,
            "seen": found.seen,
            "total": found.total,
            "rules": [self._covered(one) for one in found.rules.values()],
        }

    def _covered(self, one: Exercised) -> dict[str, object]:
        total, seen = one.counts
        state = "full" if seen == total else "part" if seen else "none"
        gaps = [{"line": place.line, "words": words} for place, words in one.gaps()]
        return {
            "file": self.workspace.id_of(one.place.file),
            "line": one.place.line,
            "id": one.rule.id,
            "state": state,
            "gaps": gaps,
        }


def _only(case: Case) -> Callable[[Case], bool]:
    return lambda other: other is case
