"""Files that authors own, written anew: as a whole or not at all, and only over what was read.

A file keeps its mode and its owner. One that is reached by a symbolic link is replaced where it really is.
"""

import os
import stat
import tempfile
from pathlib import Path


class ChangedMeanwhileError(Exception):
    """The file no longer holds what was read."""


def replace_file(path: Path, data: bytes, *, over: bytes) -> None:
    """Put `data` in the place of `over`. Raises OSError, and ChangedMeanwhileError where it holds something else."""
    path = Path(os.path.realpath(path))
    state = path.stat()
    file, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    unfinished = Path(name)
    try:
        with os.fdopen(file, "wb") as writing:
            os.fchown(file, state.st_uid, state.st_gid)
            os.fchmod(file, stat.S_IMODE(state.st_mode))
            writing.write(data)
            writing.flush()
            os.fsync(file)
        _check(path, over)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _check(path: Path, over: bytes) -> None:
    if path.read_bytes() != over:
        raise ChangedMeanwhileError
