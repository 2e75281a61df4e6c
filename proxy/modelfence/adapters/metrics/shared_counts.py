"""Counts of several processes, added up: prometheus_client's files of mapped memory, a few for each process.

The files are called after the process's *slot*, a number that no two live processes share and that is free again when
its process has been reaped. Whoever takes a slot goes on with the counts of whoever had it. So nothing is lost when a
process is killed, and there are never more files than processes have lived at once.

Rule: `share` comes before the first metric of the process, `Counts` is for the one process that counts nothing itself.
"""

import os
from pathlib import Path
from struct import Struct
from threading import Lock
from typing import Any

import prometheus_client.values
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.values import MultiProcessValue, MutexValue

_LIVE = "gauge_livesum"
ROOM_BYTES = {"counter": 4 << 20, "histogram": 64 << 10, _LIVE: 64 << 10}
"""Of the file of each kind of metrics, taken beforehand. What 1,000 rules, half of them throttles, count of callers
from all countries takes 1.4 MB; rules that are called otherwise after a reload are counted beside those from before."""
_NOTHING_USED = bytes(8)
"""What one of the library's files begins with: how much of it is used."""


def share(folder: Path, slot: int) -> None:
    """Let all metrics that this process makes from now on count in files of the folder.

    Raises OSError when there is no room for them: a process that writes to mapped memory for which the disk turns out
    to have none is killed.
    """
    for kind, room_bytes in ROOM_BYTES.items():
        _make_room(folder / f"{kind}_{slot}.db", room_bytes)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)  # where the library looks for it, and nowhere else
    prometheus_client.values.ValueClass = _value_class(slot)


def _value_class(slot: int) -> type:
    """Return the library's class of numbers, which are added to in half the time: a call adds to some twenty-five.

    The library looks each time whether this has become another process, and twice for the place of the number.
    """
    library_s: Any = MultiProcessValue(lambda: slot)
    pack, lock = Struct("d").pack, Lock()

    class Value(library_s):  # type: ignore[misc]  # the library makes a class for each process
        def inc(self, amount: float) -> None:
            with lock:
                self._value += amount
                at = self._file._positions[self._key]  # noqa: SLF001
                self._file._m[at : at + 8] = pack(self._value)  # noqa: SLF001 - at once: a scrape never sees half of it

    return Value


def _make_room(path: Path, room_bytes: int) -> None:
    """Make a file, or take what room one from before has not got: when it is full, the library makes it longer only.

    A scrape never sees a new one without its room: it would fail.
    """
    if path.exists():
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        return
    new = path.with_suffix(".new")
    with new.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, room_bytes)
    new.rename(path)


class SharedCounts:
    """The sum of what the processes have counted in a folder."""

    def __init__(self, folder: Path) -> None:
        # What this process counts itself is its own, even where an operator's environment names a folder to share.
        prometheus_client.values.ValueClass = MutexValue
        self._folder = folder
        self._registry = CollectorRegistry()
        MultiProcessCollector(self._registry, str(folder))

    def render(self) -> bytes:
        """Return all counts in the text format."""
        return generate_latest(self._registry)

    def ended(self, slot: int) -> None:
        """Forget the gauges of the slot's process, which has ended. What it counted stays, and so does the room."""
        path = self._folder / f"{_LIVE}_{slot}.db"
        if path.exists():  # a process may end before it has any
            with path.open("r+b") as file:
                file.write(_NOTHING_USED)
