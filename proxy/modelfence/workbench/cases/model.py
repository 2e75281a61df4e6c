"""Cases as values: what is called with which facts, and what should come of it.

Rule: nothing here reads, runs or prints.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from modelfence.adapters.accounts.file import AccountsFile
from modelfence.core.call import Usage
from modelfence.core.facts import Facts, FactValue
from modelfence.core.problem import Problem
from modelfence.document import Node
from modelfence.policy import Compiled

type Given = Mapping[str, FactValue | None]
"""Facts as an author gives them: None is unknown, and what is absent is not given."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands in a file; line and column count from one."""

    file: str
    line: int
    column: int

    @classmethod
    def of(cls, node: Node) -> "Place":
        """Return where a node begins."""
        return cls(node.document.path, node.line, node.column)

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Expectation:
    """What is stated about a decision, by `keys.EXPECT_KEYS`; what is not stated is not compared.

    Sets are frozensets of texts, amounts are floats by throttle, times are whole microseconds.
    """

    place: Place
    stated: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Request:
    """A request as a client sends it."""

    client_ip: str = "192.0.2.1"
    method: str = "POST"
    path: str = "/v1/chat/completions"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    account: str | None = None
    """The id of the account that calls; None where the headers say who does."""
    place: Given = field(default_factory=dict)
    """What is given of the caller's place, instead of what databases say: facts `client.NAME`."""


@dataclass(frozen=True, slots=True)
class Step:
    """Some calls that are alike."""

    place: Place
    facts: Facts
    """All that is known of each; empty for a request, of which the fence finds them out."""
    expect: Expectation
    request: Request | None = None
    times: int = 1
    every_us: int = 0
    after_us: int = 0
    """Since the last call of the step before."""
    usage: Usage | None = None
    """What each answer costs; None where it is what was reserved."""


@dataclass(frozen=True, slots=True)
class Case:
    """One case, or one combination of its matrix: a sequence of calls from `start_us` on, with buckets of its own."""

    name: str
    place: Place
    start_us: int
    steps: tuple[Step, ...]
    combination: Mapping[str, str] = field(default_factory=dict)
    """The values of the matrix, as they are written; empty without one."""

    @property
    def title(self) -> str:
        """Return the name with the combination."""
        if not self.combination:
            return self.name
        return f"{self.name} [{', '.join(f'{name}: {value}' for name, value in self.combination.items())}]"


@dataclass(frozen=True, slots=True)
class CaseFile:
    """A case file that was read. There are no cases when `problems` holds an error."""

    path: Path
    policy_path: Path
    compiled: Compiled | None
    """The policy it is about; None when that can't be read."""
    cases: tuple[Case, ...]
    problems: tuple[Problem, ...]
    """Those of the case file itself; the policy's own are `compiled.problems`."""
    accounts: AccountsFile | None = None
    """Who requests can come from; None where no file is named."""
