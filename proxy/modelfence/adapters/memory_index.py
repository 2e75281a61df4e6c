"""The index of evidence in memory: which accounts sent a shingle, or whose template it is part of."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from modelfence.adapters.evidence_bounds import Shards
from modelfence.extraction.evidence import ACCOUNTS, DAY_S, Bounds


@dataclass(slots=True)
class Shingle:
    """What is known of one: the tags of accounts, or the cohort."""

    day: int
    """When it was last met."""
    tags: tuple[int, ...] = ()
    cohort: str = ""

    def sent_by(self, tag: int) -> None:
        """Add an account's tag that is new; of those that are too many the last one goes."""
        self.tags = (*self.tags[: ACCOUNTS - 1], tag)

    def become_part_of(self, cohort: str) -> None:
        """Count for a cohort from now on; for none, begin again."""
        self.tags, self.cohort = (), cohort


class MemoryIndex:
    """Shingles in shards; in each, the one that was met on the earliest day stands first."""

    def __init__(self, bounds: Bounds) -> None:
        self._cut = Shards.of(bounds)
        self._expires_s = bounds.expires_s
        self._shards: defaultdict[int, dict[int, Shingle]] = defaultdict(dict)

    def meet(self, shingles: Iterable[int], *, tag: int, day: int, root: Callable[[str], str]) -> dict[int, Shingle]:
        """Return what is known of shingles after an account has sent them on that day.

        `root` says what has become of a cohort; empty when it is kept no more. This is the loop that calls spend most
        of their time in, so it is written out.
        """
        met = {}
        shards, count = self._shards, self._cut.count
        for shingle in shingles:
            shard = shards[shingle % count]
            known = shard.get(shingle)
            if known is None or known.day < day:
                known = self._first_today(shard, shingle, known, day)
            if known.cohort:
                known.become_part_of(root(known.cohort))
            if not known.cohort and tag not in known.tags:
                known.sent_by(tag)
            met[shingle] = known
        return met

    def _first_today(self, shard: dict[int, Shingle], shingle: int, known: Shingle | None, day: int) -> Shingle:
        """Return a shingle's entry, moved to the end of its shard; a new one where it is new or has expired."""
        if known is None or (day - known.day) * DAY_S > self._expires_s:
            known = Shingle(day)
        known.day = day
        shard.pop(shingle, None)
        shard[shingle] = known
        return known

    def forget(self, met: Iterable[int], root: Callable[[str], str]) -> None:
        """Forget shingles of the shards that have become too large by those that were met; see `evidence_bounds`."""
        shards, count, most = self._shards, self._cut.count, self._cut.most
        crowded = [shard for shingle in met if len(shard := shards[shingle % count]) > most]
        for shard in crowded:
            if len(shard) > most:  # not cut by another shingle of the call already
                in_use = {one: bool(root(known.cohort)) for one, known in shard.items()}
                for shingle in sorted(shard, key=in_use.__getitem__)[: len(shard) - self._cut.stay]:
                    del shard[shingle]
