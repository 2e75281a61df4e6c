"""Problems in SARIF 2.1.0, the form that code scanning reads.

The format: OASIS, "Static Analysis Results Interchange Format (SARIF) Version 2.1.0". What GitHub asks for beyond it:
its documentation, "SARIF support for code scanning".
"""

import hashlib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from urllib.parse import quote

from modelfence.core.problem import Problem
from modelfence.workbench.problems.page import MEANINGS, Page
from modelfence.workbench.problems.writing import as_markdown, as_text

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_ROOT = "%SRCROOT%"


def sarif(problems: Sequence[Problem], pages: Mapping[str, Page], folder: Path) -> dict[str, object]:
    """Return a log of one run. Files below the folder are named relative to it, as code scanning wants them."""
    codes = sorted({problem.code for problem in problems})
    lines: Counter[str] = Counter()
    results = [_result(problem, codes.index(problem.code), folder, lines) for problem in problems]
    driver = {
        "name": "modelfence",
        "version": version("modelfence"),
        "rules": [_rule(code, pages.get(code), problems) for code in codes],
    }
    run = {
        "tool": {"driver": driver},
        "invocations": [{"executionSuccessful": True}],
        "columnKind": "unicodeCodePoints",
        "results": results,
    }
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(code: str, page: Page | None, problems: Sequence[Problem]) -> dict[str, object]:
    severity = next(problem.severity for problem in problems if problem.code == code)
    meaning = MEANINGS.get(code, code)
    rule: dict[str, object] = {
        "id": code,
        "shortDescription": {"text": meaning},
        "fullDescription": {"text": meaning if page is None else f"{meaning} {page.more}"},
        "defaultConfiguration": {"level": str(severity)},
    }
    if page is not None:
        rule["help"] = {"text": as_text(page), "markdown": as_markdown(page)}
    return rule


def _result(problem: Problem, rule: int, folder: Path, lines: Counter[str]) -> dict[str, object]:
    region = {
        "startLine": problem.line,
        "startColumn": problem.column,
        "endLine": problem.line,
        "endColumn": problem.column + problem.length,
    }
    text = problem.message if problem.hint is None else f"{problem.message} ({problem.hint})"
    return {
        "ruleId": problem.code,
        "ruleIndex": rule,
        "level": str(problem.severity),
        "message": {"text": text},
        "locations": [{"physicalLocation": {"artifactLocation": _location(problem.file, folder), "region": region}}],
        "partialFingerprints": {"primaryLocationLineHash": _fingerprint(problem, lines)},
    }


def _location(file: str, folder: Path) -> dict[str, str]:
    path = (folder / file).resolve()
    if path.is_relative_to(folder.resolve()):
        return {"uri": quote(os.fsencode(path.relative_to(folder.resolve()).as_posix())), "uriBaseId": _ROOT}
    return {"uri": path.as_uri()}


def _fingerprint(problem: Problem, lines: Counter[str]) -> str:
    """Return what stays the same when lines are added above: a hash of code, file and line, and which of them it is."""
    text = "\0".join((problem.code, problem.file, "".join(problem.excerpt.split())))
    digest = hashlib.sha256(os.fsencode(text)).hexdigest()[:16]
    lines[digest] += 1
    return f"{digest}:{lines[digest]}"
