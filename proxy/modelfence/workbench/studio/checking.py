"""The problems of a policy as a page has it, with their places in the editor's own measure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from modelfence.core.problem import Problem, in_order
from modelfence.document import LINE_END
from modelfence.policy.compile import Compiled
from modelfence.policy.lint import lint
from modelfence.workbench.cases import read_cases
from modelfence.workbench.studio.protection import BadRequestError
from modelfence.workbench.studio.workspace import EditedFiles, Workspace, as_edited


class Checking:
    """Says what is wrong with the texts of a page."""

    def __init__(self, workspace: Workspace, today: Callable[[], date]) -> None:
        self._workspace = workspace
        self._today = today

    async def check(self, asked: Mapping[str, Any]) -> Mapping[str, object]:
        """Return every problem, what the policy defines when it has no errors, and all its files.

        Of cases, the problems of those that are edited: those of all are found when they are run.
        """
        texts = self._workspace.texts_of(asked)
        compiled = compiled_of(self._workspace, texts)
        sources = self._workspace.sources(texts)
        problems = [*compiled.problems, *lint(compiled, today=self._today())]
        for path in self._workspace.cases:
            if self._workspace.id_of(str(path)) in texts:
                problems += read_cases(path, sources).problems
        places = Places(self._workspace, sources)
        return {
            "problems": [places.problem(problem) for problem in in_order(problems)],
            "policy": None if compiled.policy is None else outline(compiled),
            "files": [opened.as_json() for opened in self._workspace.files(texts)],
        }


@dataclass(frozen=True, slots=True)
class Places:
    """Tells a page where problems are."""

    workspace: Workspace
    sources: EditedFiles

    def problem(self, problem: Problem) -> dict[str, object]:
        """Return a problem with its place."""
        start, end = _range(problem, self.sources)
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


def _range(problem: Problem, sources: EditedFiles) -> tuple[int, int]:
    try:
        text = as_edited(sources.text(Path(problem.file)))
    except (OSError, ValueError):
        return 0, 0
    start = place(text, problem.line, problem.column)
    return start, max(start, place(text, problem.line, problem.column + problem.length))


def place(text: str, line: int, column: int) -> int:
    """Return where a line and column, both from one and in characters, is in the UTF-16 units that browsers count.

    A column beyond the end of its line is the end.
    """
    starts = [0, *(end.end() for end in LINE_END.finditer(text))]
    ends = [*(end.start() for end in LINE_END.finditer(text)), len(text)]
    at = min(line, len(starts)) - 1
    before = text[: min(starts[at] + column - 1, ends[at])]
    return len(before.encode("utf-16-le")) // 2
