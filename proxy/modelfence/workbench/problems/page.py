"""What there is to say of one code: what it means, a policy that is wrong, and one that is right."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from modelfence.core.problem import Problem
from modelfence.policy import compile_policy
from modelfence.source_files import SourceFiles
from modelfence.workbench.cases.reading import SUFFIX
from modelfence.workbench.checking import problems_of

TODAY = date(2026, 11, 29)
"""The day on which the examples are checked."""
POLICY = "policy.yaml"


@dataclass(frozen=True, slots=True)
class Page:
    """One code. The first sentence about it stands in `policy.codes`."""

    code: str
    more: str
    """Why it matters, and how to mend it."""
    wrong: str
    """A policy of which the checker says this."""
    right: str
    """The same policy, mended."""
    beside: Mapping[str, str] = field(default_factory=dict)
    """Files that both include, or that hold their cases, by name."""
    beside_right: Mapping[str, str] = field(default_factory=dict)
    """Files that only the right one has beside it, or that are others there."""
    looks_at_cases: bool = False
    encoding: str = "utf-8"
    """Of the wrong one; the right one is always UTF-8."""

    def said_of_wrong(self) -> tuple[Problem, ...]:
        """Return what the checker says of the wrong policy."""
        return self._said_of(self.wrong.encode(self.encoding), self.beside)

    def said_of_right(self) -> tuple[Problem, ...]:
        """Return what the checker says of the right policy."""
        return self._said_of(self.right.encode(), {**self.beside, **self.beside_right})

    def _said_of(self, policy: bytes, beside: Mapping[str, str]) -> tuple[Problem, ...]:
        texts = {Path(name): text.encode() for name, text in beside.items()}
        files = SourceFiles(texts={Path(POLICY): policy, **texts})
        compiled = compile_policy(Path(POLICY), files)
        cases = [path for path in texts if path.name.endswith(SUFFIX)] if self.looks_at_cases else None
        return problems_of(compiled, today=TODAY, cases=cases, files=files)
