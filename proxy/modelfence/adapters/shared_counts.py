"""Counts of several processes, added up: prometheus_client's files of mapped memory, a few for each process.

The files are called after the process's *slot*, a number that no two live processes share and that is free again when
its process has been reaped. Whoever takes a slot goes on with the counts of whoever had it. So nothing is lost when a
process is killed, and there are never more files than processes have lived at once.

Rule: `share` comes before the first metric of the process, `Counts` is for the one process that counts nothing itself.
"""

import os
from pathlib import Path

import prometheus_client.values
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.values import MultiProcessValue, MutexValue

_KINDS = ("counter", "histogram", "gauge_livesum")
"""Of metrics there are: each kind has a file."""
ROOM_BYTES = 1 << 20
"""Of each file, taken beforehand. What 250 rules count of callers from all countries takes 0.3 MB."""


def share(folder: Path, slot: int) -> None:
    """Let all metrics that this process makes from now on count in files of the folder.

    Raises OSError when there is no room for them: a process that writes to mapped memory for which the disk turns out
    to have none is killed.
    """
    for kind in _KINDS:
        with (folder / f"{kind}_{slot}.db").open("ab") as file:
            os.posix_fallocate(file.fileno(), 0, ROOM_BYTES)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)  # where the library looks for it, and nowhere else
    prometheus_client.values.ValueClass = MultiProcessValue(lambda: slot)


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
        """Forget the gauges of the slot's process, which has ended. What it counted stays."""
        mark_process_dead(slot, str(self._folder))
