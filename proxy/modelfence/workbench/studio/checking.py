"""The problems of a policy as a page has it, with their places in the editor's own measure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import accumulate
from pathlib import Path
from typing import Any

from modelfence.core.problem import Problem, Severity, errors, in_order
from modelfence.document import LINE_END
from modelfence.policy.compile import Compiled
from modelfence.policy.lint import lint
from modelfence.workbench.cases import read_cases
from modelfence.workbench.studio.protection import BadRequestError
from modelfence.workbench.studio.workspace import EditedFiles, Workspace, as_edited

MAX_PROBLEMS = 1_000


class Checking:
    """Says what is wrong with the texts of a page."""

    def __init__(self, workspace: Workspace, today: Callable[[], date]) -> None:
        self._workspace = workspace
        self._today = today
        self._warned: tuple[Compiled, Sequence[Problem]] | None = None
        """What lint said last: it compares every two rules, and a page asks again whenever it gets the focus."""

    def check(self, asked: Mapping[str, Any]) -> Mapping[str, object]:
        """Return the problems, what the policy defines when it has no errors, and all its files.

        Of cases, the problems of those that are edited: those of all are found when they are run. The text of a file
        is left out where it is what the page says it knows, by its digest.
        """
        texts = self._workspace.texts_of(asked)
        known = asked.get("known")
        compiled = compiled_of(self._workspace, texts)
        sources = self._workspace.sources(texts)
        if self._warned is None or self._warned[0] is not compiled:
            self._warned = (compiled, lint(compiled, today=self._today()))
        problems = [*compiled.problems, *self._warned[1]]
        for path in self._workspace.cases:
            if self._workspace.id_of(str(path)) in texts:
                problems += read_cases(path, sources).problems
        places = Places(self._workspace, sources)
        found = in_order(problems)
        wrong = len(errors(found))
        return {
            "problems": [places.problem(problem) for problem in in_order(_most(found))],
            "errors": wrong,
            "warnings": len(found) - wrong,
            "policy": None if compiled.policy is None else outline(compiled),
            "files": [opened.as_json(known) for opened in self._workspace.files(texts)],
        }


@dataclass(frozen=True, slots=True)
class Places:
    """Tells a page where problems are."""

    workspace: Workspace
    sources: EditedFiles
    _lines: dict[str, "Lines"] = field(default_factory=dict)

    def problem(self, problem: Problem) -> dict[str, object]:
        """Return a problem with its place."""
        start, end = self._range(problem)
        return {
            "id": self.workspace.id_of(problem.file),
            "file": problem.file,
            "line": problem.line,
            "column": problem.column,
            "from": start,
            "to": end,
            "severity": problem.severity,
            "code": problem.code,
            "message": problem.message,
            "hint": problem.hint,
        }

    def _range(self, problem: Problem) -> tuple[int, int]:
        if problem.file not in self._lines:
            try:
                text = as_edited(self.sources.text(Path(problem.file)))
            except (OSError, ValueError):
                text = ""
            self._lines[problem.file] = Lines(text)
        lines = self._lines[problem.file]
        start = lines.place(problem.line, problem.column)
        return start, max(start, lines.place(problem.line, problem.column + problem.length))


def compiled_of(workspace: Workspace, texts: Mapping[str, str]) -> Compiled:
    """Compile the policy as a page has it. Raises BadRequestError where it can't be read."""
    try:
        return workspace.compile(texts)
    except OSError as error:
        raise BadRequestError(f"{workspace.root} can't be read: {error.strerror}.") from None


def outline(compiled: Compiled) -> dict[str, object]:
    """Return what a compiled policy defines."""
    policy = compiled.policy
    assert policy is not None  # noqa: S101 - who asks has looked
    return {
        "hash": policy.hash,
        "mode": policy.mode,
        "tiers": list(policy.tiers),
        "lists": {name: list(items) for name, items in policy.lists.items()},
        "rules": [{"id": rule.id, "kind": rule.kind, "shadow": rule.shadow} for rule in policy.rules()],
        "reads": sorted(policy.names),
    }


class Lines:
    """The lines of a text, in the UTF-16 units that browsers count."""

    def __init__(self, text: str) -> None:
        ends = list(LINE_END.finditer(text))
        starts = (0, *(end.end() for end in ends))
        self._lines = [
            text[start:end] for start, end in zip(starts, (*(end.start() for end in ends), None), strict=True)
        ]
        lengths = (_units(line) + 1 for line in self._lines)
        self._starts = list(accumulate(lengths, initial=0))

    def place(self, line: int, column: int) -> int:
        """Return where a line and column are, both from one and in characters. Beyond the end of a line is its end."""
        at = min(line, len(self._lines)) - 1
        return self._starts[at] + _units(self._lines[at][: column - 1])


def _units(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2


def _most(problems: Sequence[Problem]) -> Sequence[Problem]:
    """Return as many as a page can show, errors before warnings."""
    return sorted(problems, key=lambda problem: problem.severity is not Severity.ERROR)[:MAX_PROBLEMS]
