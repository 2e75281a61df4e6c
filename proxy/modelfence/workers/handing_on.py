"""The files of a configuration on their way from the worker that read them to the others.

They go through the supervisor's folder, not over its lines: a directory of accounts may be large. They are pickled for
the reason that orders are, see `control`: the folder is the supervisor's alone.
"""

import os
import pickle
import tempfile
from pathlib import Path

from modelfence.source_files import Files

_SUFFIX = ".files"


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
