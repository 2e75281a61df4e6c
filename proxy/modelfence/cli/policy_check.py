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
from modelfence.core.problem import Problem, errors, in_order
from modelfence.policy.compile import compile_policy

_EXAMPLE = """\
examples:
  modelfence policy check policies/default.yaml
  modelfence policy check --strict --format github policies/*.yaml
  modelfence policy check --format sarif policies/default.yaml > modelfence.sarif"""


@dataclass(frozen=True, slots=True)
class Checked:
    """A file, and everything that was found in it."""

    file: Path
    what: str | None
    """What it holds, in words; None of one that can't be used."""
    problems: Sequence[Problem]


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
    parser.set_defaults(command=check)


def check(options: argparse.Namespace) -> int:
    """Return 0 when every file is fine, 1 when one has problems, 2 when one can't be read; the others are checked."""
    checked = []
    for file in options.files:
        try:
            checked.append(_checked(file))
        except OSError as error:
            print(f"{file} can't be read: {error.strerror}", file=sys.stderr)
    if not checked:
        return 2
    found = in_order(problem for one in checked for problem in one.problems)  # what several include is told once
    _FORMATS[options.format](checked, found)
    if len(checked) < len(options.files):
        return 2
    return 1 if errors(found) or (options.strict and found) else 0


def _checked(file: Path) -> Checked:
    """Check a file. Raises OSError when it can't be read."""
    from modelfence.workbench.cases import is_case_file, read_cases  # noqa: PLC0415 - help need not wait for it
    from modelfence.workbench.checking import case_files_near, problems_of  # noqa: PLC0415 - likewise

    if is_case_file(file):
        cases = read_cases(file)
        return Checked(file, None if errors(cases.problems) else count(len(cases.cases), "case"), cases.problems)
    compiled = compile_policy(file)
    policy = compiled.policy
    what = None if policy is None else f"{count(len(policy.rules()), 'rule')}, hash {policy.hash}"
    problems = problems_of(compiled, today=datetime.now(UTC).date(), cases=case_files_near(compiled))
    return Checked(file, what, problems)


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
