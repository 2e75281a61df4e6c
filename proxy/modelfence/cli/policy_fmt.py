"""`modelfence policy fmt`: policies and cases in one form, with every comment."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelfence.cli.tables import count
from modelfence.core.keys import Record
from modelfence.core.problem import Problem, errors
from modelfence.document import Document
from modelfence.policy.compile import compile_policy
from modelfence.policy.keys import POLICY_KEYS
from modelfence.source_files import SourceFiles
from modelfence.workbench.cases import is_case_file, read_cases
from modelfence.workbench.cases.keys import FILE_KEYS
from modelfence.workbench.formatting import ChangedMeaningError, formatted
from modelfence.workbench.writing import ChangedMeanwhileError, replace_file

_EXAMPLE = """\
examples:
  modelfence policy fmt policies/default.yaml policies/default.cases.yaml
  modelfence policy fmt --check policies/*.yaml
  modelfence policy fmt - < draft.yaml"""
_STDIN = Path("-")


@dataclass(frozen=True, slots=True)
class _Formed:
    """What became of a file."""

    before: bytes
    after: bytes
    problems: Sequence[Problem] = ()
    """With any of them the file stays as it is."""


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "fmt",
        help="put policies and cases in one form",
        description="Write policies and cases anew in one form: keys in the order of the reference, the same "
        "indentation everywhere, quotes where they are needed, lines of 120 columns. Comments stay, conditions stay as "
        "they are written, and what a file says never changes. A file that has problems is left as it is.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="a policy, or its cases (*.cases.yaml); - is stdin"
    )
    parser.add_argument("--check", action="store_true", help="list the files that are in another form, and change none")
    parser.set_defaults(command=fmt)


def fmt(options: argparse.Namespace) -> int:
    """Return 0 when all is in form, 1 when a file has problems or `--check` found another form, 2 when one can't be."""
    statuses = [_file(path, is_check=options.check) for path in dict.fromkeys(options.files)]
    if not any(statuses) and _STDIN not in options.files:
        print(f"{count(len(statuses), 'file')} in form")
    return max(statuses)


def _file(path: Path, *, is_check: bool) -> int:
    try:
        formed = _formed(path)
    except OSError as error:
        return _failed(f"{path} can't be read: {error.strerror}")
    except ChangedMeaningError:
        return _failed(f"{path} is left as it is: in the form it would not say the same")
    if formed.problems:
        for problem in formed.problems:
            print(problem.render(), end="\n\n", file=sys.stderr if path == _STDIN else sys.stdout)
        print(f"{path} has problems and is left as it is", file=sys.stderr)
        return 1
    if is_check:
        if formed.before != formed.after:
            print(f"{path}: in another form")
        return int(formed.before != formed.after)
    return _write(path, formed)


def _write(path: Path, formed: _Formed) -> int:
    if path == _STDIN:
        sys.stdout.buffer.write(formed.after)
        return 0
    if formed.before == formed.after:
        return 0
    try:
        replace_file(path, formed.after, over=formed.before)
    except ChangedMeanwhileError:
        return _failed(f"{path} was saved by somebody else meanwhile, and is left as that is")
    except OSError as error:
        return _failed(f"{path} can't be written: {error.strerror}")
    print(f"{path}: written anew")
    return 0


def _formed(path: Path) -> _Formed:
    """Return a file in form, or its problems. Raises OSError and ChangedMeaningError."""
    files = SourceFiles()
    if path == _STDIN:
        files.texts[path] = sys.stdin.buffer.read()
    is_cases = _holds_cases(files.texts[path]) if path == _STDIN else is_case_file(path)
    found = read_cases(path, files).problems if is_cases else compile_policy(path, files).problems
    problems = [problem for problem in errors(found) if problem.file == str(path)]
    before = files.texts.get(path, b"")
    if problems:
        return _Formed(before, before, problems)
    shape = Record(FILE_KEYS if is_cases else POLICY_KEYS)
    return _Formed(before, formatted(before.decode("utf-8-sig"), shape).encode())


def _holds_cases(data: bytes) -> bool:
    root = Document(str(_STDIN), data.decode("utf-8-sig", errors="replace")).compose()
    return root is not None and root.is_mapping and "cases" in (root.free_entries() or {})


def _failed(message: str) -> int:
    print(message, file=sys.stderr)
    return 2
