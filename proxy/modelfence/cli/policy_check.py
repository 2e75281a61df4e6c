"""`modelfence policy check`: every problem of a policy, with its place."""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from modelfence.cli.problems import as_json
from modelfence.cli.tables import count
from modelfence.cli.watching import Round, add_watch_to, once_or_watching
from modelfence.core.problem import Problem, errors, in_order
from modelfence.policy import Compiled
from modelfence.policy.compile import compile_policy
from modelfence.source_files import SourceFiles
from modelfence.workbench.cases import is_case_file, read_cases
from modelfence.workbench.checking import case_files_near, problems_of

_EXAMPLE = """\
examples:
  modelfence policy check policies/default.yaml
  modelfence policy check --strict --format github policies/*.yaml
  modelfence policy check --format sarif policies/default.yaml > modelfence.sarif
  modelfence policy check --watch policies/default.yaml"""


@dataclass(frozen=True, slots=True)
class Checked:
    """A file, and everything that was found in it."""

    file: Path
    what: str | None
    """What it holds, in words; None of one that can't be used."""
    problems: Sequence[Problem]
    compiled: Compiled | None = None
    """None of cases."""

    def case_files(self) -> Sequence[Path]:
        """Return the case files that may be about it."""
        return (case_files_near(self.compiled) or []) if self.compiled else []


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "check",
        help="find every problem of a policy",
        description="Compile policies with everything they include, read cases, and print every problem with its "
        "place: what stops them, and, as warnings, what is hardly meant and which rules no case looks at. For code "
        "scanning there is SARIF, for GitHub Actions their workflow commands.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a policy, or its cases (*.cases.yaml)")
    parser.add_argument("--format", choices=tuple(_FORMATS), default="text", help="how to print (default: text)")
    parser.add_argument("--strict", action="store_true", help="warnings count as problems")
    add_watch_to(parser)
    parser.set_defaults(command=check)


def check(options: argparse.Namespace) -> int:
    """Return 0 when every file is fine, 1 when one has problems, 2 when one can't be read; the others are checked."""
    return once_or_watching(lambda files: _round(options, files), options)


def _round(options: argparse.Namespace, files: SourceFiles) -> Round:
    checked = []
    for file in options.files:
        try:
            checked.append(_checked(file, files))
        except OSError as error:
            print(f"{file} can't be read: {error.strerror}", file=sys.stderr)

    def find() -> Sequence[Path]:
        return [path for one in checked for path in one.case_files()]

    return Round(_told(options, checked) if checked else 2, find(), find)


def _told(options: argparse.Namespace, checked: Sequence[Checked]) -> int:
    """Print what was found, and return the exit status."""
    found = in_order(problem for one in checked for problem in one.problems)  # what several include is told once
    if options.watch and not found and len(checked) > 1:
        print(f"{len(checked)} files, all fine")
    else:
        _FORMATS[options.format](checked, found)
    if len(checked) < len(options.files):
        return 2
    return 1 if errors(found) or (options.strict and found) else 0


def _checked(file: Path, files: SourceFiles) -> Checked:
    """Check a file. Raises OSError when it can't be read."""
    if is_case_file(file):
        cases = read_cases(file, files)
        return Checked(file, None if errors(cases.problems) else count(len(cases.cases), "case"), cases.problems)
    compiled = compile_policy(file, files)
    policy = compiled.policy
    what = None if policy is None else f"{count(len(policy.rules()), 'rule')}, hash {policy.hash}"
    problems = problems_of(compiled, today=datetime.now(UTC).date(), cases=case_files_near(compiled), files=files)
    return Checked(file, what, problems, compiled)


def _print_text(checked: Sequence[Checked], found: Sequence[Problem]) -> None:
    for problem in found:
        print(problem.render(), end="\n\n")
    for one in checked:
        if one.what is not None:
            print(f"{one.file}: {'' if one.problems else 'fine, '}{one.what}")
    if found:
        wrong = len(errors(found))
        counts = ", ".join(count(n, noun) for n, noun in ((wrong, "error"), (len(found) - wrong, "warning")) if n)
        print(f"{counts} in {count(len({problem.file for problem in found}), 'file')}")
        print("`modelfence policy explain-problem CODE` says more of each, by the code in brackets")


def _print_json(_checked: Sequence[Checked], found: Sequence[Problem]) -> None:
    print(json.dumps([{**as_json(problem), "excerpt": problem.excerpt} for problem in found], indent=2))


def _print_sarif(_checked: Sequence[Checked], found: Sequence[Problem]) -> None:
    from modelfence.workbench.problems import PAGES, sarif  # noqa: PLC0415 - the others need not wait for it

    print(json.dumps(sarif(found, PAGES, Path.cwd()), indent=2))


def _print_github(_checked: Sequence[Checked], found: Sequence[Problem]) -> None:
    from modelfence.workbench.problems import annotations  # noqa: PLC0415 - the others need not wait for it

    for line in annotations(found):
        print(line)


_FORMATS: Mapping[str, Callable[[Sequence[Checked], Sequence[Problem]], None]] = {
    "text": _print_text,
    "json": _print_json,
    "sarif": _print_sarif,
    "github": _print_github,
}
