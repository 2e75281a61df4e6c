"""The files of a configuration on their way from the worker that read them to the others.

They go through the supervisor's folder, not over its lines: a directory of accounts may be large. They are pickled for
the reason that orders are, see `control`: the folder is the supervisor's alone.
"""

import fcntl
import os
import pickle
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from modelfence.settings import CannotStartError
from modelfence.source_files import Files

_SUFFIX = ".files"


@contextmanager
def own_folder() -> Iterator[Path]:
    """Make the supervisor's folder, and remove it in the end. Raises CannotStartError when there is no place for it.

    It is locked, because systemd-tmpfiles removes what nobody has touched for days, unless somebody holds a lock on it.
    """
    try:
        temporary = tempfile.TemporaryDirectory(prefix="modelfence-", ignore_cleanup_errors=True)
    except OSError as error:
        words = f"there is no temporary folder to write to ({error.strerror}); name one in TMPDIR"
        raise CannotStartError(words) from None
    with temporary as name:
        descriptor = os.open(name, os.O_RDONLY)
        try:
            with suppress(OSError):  # there are file systems without locks
                fcntl.flock(descriptor, fcntl.LOCK_SH)
            yield Path(name)
        finally:
            os.close(descriptor)


def hand_on(files: Files, folder: Path) -> Path:
    """Write the files into the folder, and return where. Raises OSError."""
    descriptor, name = tempfile.mkstemp(suffix=_SUFFIX, dir=folder)
    with os.fdopen(descriptor, "wb") as file:
        pickle.dump(files, file, pickle.HIGHEST_PROTOCOL)
    return Path(name)


def taken(path: Path) -> Files:
    """Return what another worker has handed on. Raises OSError."""
    with path.open("rb") as file:
        files = pickle.load(file)  # noqa: S301 - from another worker, see above
    assert isinstance(files, Files)  # noqa: S101 - likewise
    return files


def tidy(folder: Path, kept: Path) -> None:
    """Remove what was handed on before, with the copies of databases that nobody is going to open again."""
    copies = set(taken(kept).geo.databases.values())
    for path in folder.iterdir():
        if path.suffix in {_SUFFIX, ".mmdb"} and path != kept and path not in copies:
            path.unlink()
