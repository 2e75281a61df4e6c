"""Problems as the commands that find them print them in JSON."""

from modelfence.core.problem import Problem


def as_json(problem: Problem) -> dict[str, object]:
    """Return a problem without its excerpt, which the file holds."""
    return {
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "code": problem.code,
        "severity": problem.severity,
        "message": problem.message,
        "hint": problem.hint,
    }
