"""Cases of a policy: what should come of which call; read, run, and measured by what they leave untested.

For others of the workbench:

* `read_cases(path, files)` and `read_case_text(text, compiled, path=…)` return a `CaseFile`: `cases`, `problems`,
  `compiled` (its policy), `policy_path`. Texts that are not saved can stand in `SourceFiles(texts={path: bytes})`.
* `run(case_file, policy=…, only=…)` returns `Results`: one `CaseResult` for each case and combination, with `passed`,
  `failure.differences` and `failure.came` (facts and decision).
* `rules_exercised(results)` says by a rule's id in how many cases it had a part.

Keys stand in `keys`, codes of problems in `codes`, facts that need not be given in `ordinary`.
"""

from modelfence.workbench.cases.codes import CODES
from modelfence.workbench.cases.model import Case, CaseFile
from modelfence.workbench.cases.reading import is_case_file, read_case_text, read_cases
from modelfence.workbench.cases.results import CaseResult, Results, rules_exercised
from modelfence.workbench.cases.running import run

__all__ = [
    "CODES",
    "Case",
    "CaseFile",
    "CaseResult",
    "Results",
    "is_case_file",
    "read_case_text",
    "read_cases",
    "rules_exercised",
    "run",
]
