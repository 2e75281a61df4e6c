"""What there is to say of one code: what it means, a policy that is wrong, and one that is right."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from modelfence.core.problem import Problem
from modelfence.policy import CODES as POLICY_CODES
from modelfence.policy import compile_policy
from modelfence.source_files import SourceFiles
from modelfence.workbench.cases import CODES as CASE_CODES
from modelfence.workbench.cases import is_case_file, read_cases
from modelfence.workbench.checking import problems_of

TODAY = date(2026, 11, 29)
"""The day on which the examples are checked."""
POLICY = "policy.yaml"
MEANINGS: Mapping[str, str] = {
    **POLICY_CODES,
    **{code: meaning for code, meaning in CASE_CODES.items() if code not in POLICY_CODES},
}
"""What each code means, in a sentence. What is wrong with policies may be wrong with cases in the same way."""


@dataclass(frozen=True, slots=True)
class Page:
    """One code. The first sentence about it stands in `MEANINGS`."""

    code: str
    more: str
    """Why it matters, and how to mend it."""
    wrong: str
    """A policy, or cases, of which the checker says this."""
    right: str
    """The same, mended."""
    beside: Mapping[str, str] = field(default_factory=dict)
    """Files that both include, or that hold their cases, by name."""
    beside_right: Mapping[str, str] = field(default_factory=dict)
    """Files that only the right one has beside it, or that are others there."""
    looks_at_cases: bool = False
    file: str = POLICY
    """The name of what is wrong."""
    encoding: str = "utf-8"
    """Of the wrong one; the right one is always UTF-8."""

    def said_of_wrong(self) -> tuple[Problem, ...]:
        """Return what the checker says of the wrong file."""
        return self._said_of(self.wrong.encode(self.encoding), self.beside)

    def said_of_right(self) -> tuple[Problem, ...]:
        """Return what the checker says of the right file."""
        return self._said_of(self.right.encode(), {**self.beside, **self.beside_right})

    def _said_of(self, text: bytes, beside: Mapping[str, str]) -> tuple[Problem, ...]:
        texts = {Path(name): text.encode() for name, text in beside.items()}
        files = SourceFiles(texts={Path(self.file): text, **texts})
        if is_case_file(Path(self.file)):
            return read_cases(Path(self.file), files).problems
        compiled = compile_policy(Path(POLICY), files)
        cases = [path for path in texts if is_case_file(path)] if self.looks_at_cases else None
        return problems_of(compiled, today=TODAY, cases=cases, files=files)
