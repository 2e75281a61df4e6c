"""Problems as workflow commands of GitHub Actions, which shows them beside the lines of a change.

The commands, and how their text is escaped: GitHub's documentation, "Workflow commands for GitHub Actions", and the
`command.ts` of its toolkit.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from modelfence.core.problem import Problem

_IN_TEXT = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A"})
_IN_PROPERTY = {**_IN_TEXT, **str.maketrans({":": "%3A", ",": "%2C"})}


def annotations(problems: Iterable[Problem]) -> Iterator[str]:
    """Yield a line for each problem."""
    for one in problems:
        properties = {
            "file": Path(one.file).as_posix(),
            "line": str(one.line),
            "endLine": str(one.line),
            "col": str(one.column),
            "endColumn": str(one.column + one.length),
            "title": one.code,
        }
        written = ",".join(f"{name}={value.translate(_IN_PROPERTY)}" for name, value in properties.items())
        text = one.message if one.hint is None else f"{one.message}\n{one.hint}"
        yield f"::{one.severity} {written}::{text.translate(_IN_TEXT)}"
