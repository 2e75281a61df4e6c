"""Runs cases: each on a clock, with buckets and evidence of its own.

Rule: nothing here reads a file or prints.
"""

import asyncio
import time
from collections.abc import Callable

from modelfence.core.policy import Policy
from modelfence.workbench.cases.asking import asked
from modelfence.workbench.cases.calls import decided
from modelfence.workbench.cases.expecting import differences
from modelfence.workbench.cases.model import Case, CaseFile
from modelfence.workbench.cases.results import Came, CaseResult, Failure, Results, seen_once


def run(
    case_file: CaseFile, *, policy: Policy | None = None, only: Callable[[Case], bool] = lambda _case: True
) -> Results:
    """Run the cases of a file, or only some, under the policy they are about or another one.

    There are no results where there is no policy. Not to be called while an event loop runs in the same thread.
    """
    policy = policy or (case_file.compiled.policy if case_file.compiled else None)
    if policy is None:
        return Results(case_file, ())
    return asyncio.run(_results(case_file, policy, [case for case in case_file.cases if only(case)]))


async def _results(case_file: CaseFile, policy: Policy, cases: list[Case]) -> Results:
    return Results(case_file, tuple([await _result(case, policy, case_file) for case in cases]))


async def _result(case: Case, policy: Policy, case_file: CaseFile) -> CaseResult:
    started_s = time.perf_counter()
    every: list[Came] = []
    failure = None
    is_request = case.steps[0].request is not None
    async for came in asked(case, policy, case_file.accounts) if is_request else decided(case, policy):
        every.append(came)
        if found := differences(came.step.expect, came.decision):
            failure = Failure(came, found)
            break
    return CaseResult(case, len(every), failure, time.perf_counter() - started_s, seen_once(every, policy.names))
