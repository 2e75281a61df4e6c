"""`modelfence policy test`: what a policy does with the cases that say what it should do."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from modelfence.cli.problems import as_json
from modelfence.cli.watching import Round, add_watch_to, once_or_watching
from modelfence.core.problem import Problem, errors, in_order
from modelfence.source_files import SourceFiles
from modelfence.workbench.cases import CaseFile, Results, read_cases, run
from modelfence.workbench.cases.coverage import Coverage, coverage
from modelfence.workbench.cases.finding import NoCasesError, find_cases
from modelfence.workbench.cases.reports import coverage_json, junit, results_json
from modelfence.workbench.cases.telling import coverage_lines, failed_lines, passed_line, summary

_EXAMPLE = """\
examples:
  modelfence policy test
  modelfence policy test policies/default.yaml --coverage
  modelfence policy test policies --min-coverage 100 --junit report.xml
  modelfence policy test --watch policies/default.yaml"""


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "test",
        help="run the cases of a policy",
        description=(
            "Run cases (*.cases.yaml): calls, and what the policy should do with them. Exits with 1 when a case fails, "
            "a file has problems, or the coverage is too low."
        ),
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "cases",
        nargs="*",
        type=Path,
        metavar="CASES",
        help="case files; a folder means all in it and below, a policy those about it (default: the current folder)",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="tell of each case, also of those that pass")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="how to print (default: text)")
    parser.add_argument(
        "--coverage", action="store_true", help="tell which rules and sides of conditions no case exercises"
    )
    parser.add_argument(
        "--min-coverage", type=_percent, metavar="PERCENT", help="fail below that coverage; includes --coverage"
    )
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write a report for build servers as well")
    add_watch_to(parser)
    parser.set_defaults(command=test)


def test(options: argparse.Namespace) -> int:
    """Return 0 when all is as expected, 1 when something is not, 2 when it could not be found out."""
    return once_or_watching(lambda files: _round(options, files), options)


def _round(options: argparse.Namespace, files: SourceFiles) -> Round:
    def find() -> Sequence[Path]:
        try:
            return find_cases(options.cases)
        except (NoCasesError, OSError):  # nothing is there now
            return ()

    found: Sequence[Path] = ()
    status = 2
    try:
        found = find_cases(options.cases)
        status = _run(options, [read_cases(path, files) for path in found])
    except NoCasesError as error:
        print(f"modelfence policy test: {error}", file=sys.stderr)
    except OSError as error:
        print(f"{error.filename} can't be read: {error.strerror}", file=sys.stderr)
    return Round(status, found, find)


def _run(options: argparse.Namespace, read: Sequence[CaseFile]) -> int:
    """Run cases, print what came of them, and return the exit status."""
    every = [run(case_file) for case_file in read]
    problems = in_order(problem for case_file in read for problem in _problems(case_file))
    is_asked = options.coverage or options.min_coverage is not None
    # Where no file could be run, what is untested says nothing of the cases.
    is_run = not errors(problems) or any(one.results for one in every)
    seen = coverage(every) if is_asked and is_run else None
    if options.junit is not None and not _written(options.junit, junit(every)):
        return 2
    _print(options, every, problems, seen)
    too_low = seen is not None and seen.percent < (options.min_coverage or 0)
    return 1 if errors(problems) or too_low or any(one.failed for one in every) else 0


def _percent(text: str) -> float:
    try:
        percent = float(text.removesuffix("%"))
    except ValueError:
        percent = -1
    if not 0 <= percent <= 100:  # noqa: PLR2004 - per cent
        raise argparse.ArgumentTypeError(f"a number from 0 to 100 is expected, not {text!r}")
    return percent


def _problems(case_file: CaseFile) -> Iterator[Problem]:
    yield from case_file.problems
    yield from errors(case_file.compiled.problems) if case_file.compiled else ()


def _written(path: Path, text: str) -> bool:
    try:
        path.write_text(text, encoding="utf8")
    except OSError as error:
        print(f"{path} can't be written: {error.strerror}", file=sys.stderr)
        return False
    return True


def _print(
    options: argparse.Namespace, every: Sequence[Results], problems: Sequence[Problem], seen: Coverage | None
) -> None:
    if options.format == "json":
        found: dict[str, object] = {
            "problems": [as_json(problem) for problem in problems],
            "files": [results_json(one) for one in every],
        }
        if seen is not None:
            found["coverage"] = coverage_json(seen)
        print(json.dumps(found, indent=2))
        return
    for line in _lines(options, every, problems, seen):
        print(line)


def _lines(
    options: argparse.Namespace, every: Sequence[Results], problems: Sequence[Problem], seen: Coverage | None
) -> Iterator[str]:
    for problem in problems:
        yield from (problem.render(), "")
    for results in every:
        policy = results.case_file.compiled.policy if results.case_file.compiled else None
        for result in results.results:
            if result.passed and options.verbose:
                yield passed_line(result)
            elif not result.passed and policy is not None:
                yield from (*failed_lines(result, policy), "")
    if seen is not None:
        yield from coverage_lines(seen)
        if seen.percent < (options.min_coverage or 0):
            yield f"that is less than {options.min_coverage:g} %"
    unread = sum(bool(errors(_problems(one.case_file))) for one in every)
    yield summary(every, unread)
