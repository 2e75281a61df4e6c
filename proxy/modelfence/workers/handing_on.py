"""The files of a configuration on their way from the worker that read them to the others.

They go through the supervisor's folder, not over its lines: a directory of accounts may be large. They are pickled for
the reason that orders are, see `control`: the folder is the supervisor's alone.

Rule: certificates go over the lines, with the private key that is among them. It comes to no disk but its own.
"""

import base64
import fcntl
import json
import os
import pickle
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from modelfence.settings import CannotStartError
from modelfence.source_files import COPY, UNFINISHED, Files, SourceFiles

_SUFFIX = ".files"


@dataclass(frozen=True, slots=True)
class Handed:
    """What a worker has read and found good."""

    path: Path
    """The file in the folder that has all but the certificates."""
    certificates: str = field(default="", repr=False)
    """These themselves."""

    def as_text(self) -> str:
        """Return it as it goes over a line."""
        return json.dumps([str(self.path), self.certificates])

    @classmethod
    def of(cls, text: str) -> Self:
        """Return what came over a line."""
        path, certificates = json.loads(text)
        return cls(Path(path), certificates)


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


def hand_on(files: Files, folder: Path) -> Handed:
    """Write the files into the folder, and return what to hand on. Raises OSError."""
    descriptor, name = tempfile.mkstemp(suffix=_SUFFIX, dir=folder)
    with os.fdopen(descriptor, "wb") as file:
        pickle.dump(replace(files, tls=SourceFiles()), file, pickle.HIGHEST_PROTOCOL)
    return Handed(Path(name), base64.b64encode(pickle.dumps(files.tls)).decode())


def taken(handed: Handed) -> Files:
    """Return what another worker has handed on. Raises OSError."""
    with handed.path.open("rb") as file:
        files = pickle.load(file)  # noqa: S301 - from another worker, see above
    tls = pickle.loads(base64.b64decode(handed.certificates))  # noqa: S301 - likewise
    assert isinstance(files, Files)  # noqa: S101 - likewise
    assert isinstance(tls, SourceFiles)  # noqa: S101 - likewise
    return replace(files, tls=tls)


def tidy(folder: Path, kept: Handed) -> None:
    """Remove what was handed on before, with the copies of databases that nobody is going to open again.

    Nobody may be reading files meanwhile.
    """
    copies = set(taken(kept).geo.databases.values())
    for path in folder.iterdir():
        if path.suffix in {_SUFFIX, COPY, UNFINISHED} and path != kept.path and path not in copies:
            path.unlink()
