"""Everything there is to say about a policy: what stops it, what is hardly meant, and what no case looks at.

Rule: nothing here prints.
"""

import os
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from modelfence.core.problem import Problem, errors, in_order
from modelfence.policy import Compiled
from modelfence.policy.lint import lint, untested
from modelfence.source_files import SourceFiles
from modelfence.workbench.cases import read_cases, rules_exercised, run
from modelfence.workbench.cases.finding import NoCasesError, case_files_below


def problems_of(
    compiled: Compiled, *, today: date, cases: Sequence[Path] | None, files: SourceFiles | None = None
) -> tuple[Problem, ...]:
    """Return all problems of a policy, by file, line and column.

    `cases` are the case files that may be about it; None leaves them out. Not to be called with cases while an event
    loop runs in the same thread.
    """
    found = [*compiled.problems, *lint(compiled, today=today)]
    if cases is not None and compiled.policy is not None:
        found += _untested(compiled, cases, files or SourceFiles())
    return in_order(found)


def case_files_near(compiled: Compiled) -> list[Path] | None:
    """Return the case files beside and below the files of a policy; None where there is too much to look at."""
    found: dict[str, Path] = {}
    try:
        for folder in dict.fromkeys(path.parent for path in compiled.files):
            for path in case_files_below(folder):
                found.setdefault(os.path.realpath(path), path)
    except NoCasesError:
        return None
    return list(found.values())


def _untested(compiled: Compiled, paths: Sequence[Path], files: SourceFiles) -> tuple[Problem, ...]:
    """Return the rules that apply in no case; none where cases have problems, for then that can't be told."""
    ours = {os.path.realpath(path) for path in compiled.files}
    with_cases: set[str] = set()
    seen = False
    for path in paths:
        try:
            case_file = read_cases(path, files)
        except OSError:
            return ()
        theirs = case_file.compiled
        about = theirs.files if theirs else (case_file.policy_path,)
        if not ours & {os.path.realpath(one) for one in about}:
            continue
        if errors(case_file.problems) or theirs is None or theirs.policy is None:
            return ()
        seen = True
        exercised = rules_exercised([run(case_file)])
        with_cases |= {id_ for id_ in exercised if os.path.realpath(theirs.written[id_].node.document.path) in ours}
    return untested(compiled, frozenset(with_cases) if seen else None)
