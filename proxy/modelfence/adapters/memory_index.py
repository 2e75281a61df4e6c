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

    @property
    def is_ripe(self) -> bool:
        """Say whether enough accounts sent it."""
        return len(self.tags) == ACCOUNTS

    def sent_by(self, tag: int) -> None:
        """Add an account's tag; of those that are too many the last one goes."""
        if tag not in self.tags:
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

    def met(self, shingle: int, day: int) -> Shingle:
        """Return what is known of a shingle that is met on that day."""
        shard = self._shards[shingle % self._cut.count]
        known = shard.get(shingle)
        if known is not None and known.day >= day:
            return known
        if known is None or (day - known.day) * DAY_S > self._expires_s:
            known = Shingle(day)
        known.day = day
        shard.pop(shingle, None)
        shard[shingle] = known
        return known

    def forget(self, met: Iterable[int], is_kept: Callable[[str], bool]) -> None:
        """Forget shingles of the shards that have become too large by those that were met; see `evidence_bounds`."""
        for shard in {number: self._shards[number] for number in (one % self._cut.count for one in met)}.values():
            if len(shard) > self._cut.most:
                in_use = {one: is_kept(known.cohort) for one, known in shard.items()}
                for shingle in sorted(shard, key=in_use.__getitem__)[: len(shard) - self._cut.stay]:
                    del shard[shingle]
