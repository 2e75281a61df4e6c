"""Which case files are meant: by themselves, by a folder, or by the policy they are about."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from modelfence.workbench.cases.reading import SUFFIX, is_case_file, policy_of

MOST_FILES = 10_000
"""So many are looked at below a folder."""


class NoCasesError(Exception):
    """No case file is meant. The text says why and what to do."""


def find_cases(named: Sequence[Path]) -> list[Path]:
    """Return the case files that are meant, each once: by default those in the current folder and below.

    A folder means all in it and below. A policy means those below its folder that are about it, and the one beside it
    of the same name. Raises NoCasesError, and OSError for what is not there.
    """
    found: dict[str, Path] = {}
    for path in named or [Path()]:
        meant = list(_meant(path))
        if not meant:
            raise NoCasesError(f"no cases are about {path}" if path.is_file() else f"there is no *{SUFFIX} in {path}")
        for one in meant:
            found.setdefault(os.path.realpath(one), one)
    return list(found.values())


def _meant(path: Path) -> Iterator[Path]:
    if is_case_file(path):
        yield path
    elif path.is_dir():
        yield from case_files_below(path)
    else:
        path.stat()  # raises for what is not there
        beside = path.with_name(path.stem + SUFFIX)
        policy = os.path.realpath(path)
        for one in case_files_below(path.parent):
            if one == beside or os.path.realpath(policy_of(one)) == policy:
                yield one


def case_files_below(folder: Path) -> Iterator[Path]:
    """Yield the case files of a folder and of those in it, but for hidden ones.

    Raises NoCasesError where there are too many files to look at.
    """
    count = 0
    for parent, folders, names in folder.walk():
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            # A pipe of that name would be waited for, for ever.
            if name.endswith(SUFFIX) and not (parent / name).is_fifo():
                yield parent / name
        count += len(names)
        if count > MOST_FILES:
            raise NoCasesError(f"{folder} holds more than {MOST_FILES:,} files: name the folder of the cases")
