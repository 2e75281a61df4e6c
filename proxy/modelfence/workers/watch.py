"""Sees files change, once they have come to rest.

Why not at once: half a policy may be a valid one, without the denies at its end. A file that is written in place is let
alone until it has stayed as it is from one look to the next; one that is exchanged by renaming needs it not, and bears
it. It holds up none but those of the same part: a database may take minutes to arrive. Why by looking: it works for
every file system, and for the symbolic links by which Kubernetes exchanges files.
"""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from modelfence.source_files import Stamp, stamp


class Watch:
    """The files that were read last. `look` says how one is now."""

    def __init__(self, look: Callable[[Path], Stamp] = stamp) -> None:
        self._look = look
        self._read: Mapping[Path, Stamp] = {}
        self._last: Mapping[Path, Stamp] = {}
        self.restless: Collection[Path] = ()
        """Those that were not at the last look as they had been at the one before."""

    @property
    def files(self) -> Collection[Path]:
        """Return which they are."""
        return self._read.keys()

    def expect(self, stamps: Mapping[Path, Stamp]) -> None:
        """Take files for unchanged as long as they are like this."""
        self._read = stamps

    def has_changed(self) -> bool:
        """Look at the files, and say whether one has changed that is as it was at the last look."""
        now = {path: self._look(path) for path in self._read}
        self.restless = [path for path, seen in now.items() if path not in self._last or seen != self._last[path]]
        self._last = now
        return any(now[path] != seen for path, seen in self._read.items() if path not in self.restless)
