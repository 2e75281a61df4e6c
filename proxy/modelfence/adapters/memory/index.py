"""The index of evidence in memory: which accounts sent a shingle, or whose template it is part of.

Why a number for a shingle that one account sent: nearly all are never sent by another, and a number that all shingles
of a call share takes a third of the room of an object for each.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain

from modelfence.adapters.evidence_bounds import NOISY_PART, Shards
from modelfence.extraction.evidence import ACCOUNTS, DAY_S, SHORT, Bounds

_NO_ACCOUNT = -1


@dataclass(slots=True)
class Shingle:
    """What is known of one that several accounts sent: their tags, or the cohort."""

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


type Shard = dict[int, Shingle | int]
"""What is known of shingles; of one that a single account sent, the day times SHORT plus the account's tag."""


class MemoryIndex:
    """Shingles in shards; in each, the one that was met on the earliest day stands first."""

    def __init__(self, bounds: Bounds) -> None:
        self._cut = Shards.of(bounds)
        self._days = bounds.expires_s // DAY_S
        self._shards: list[Shard] = [{} for _ in range(self._cut.count)]
        self._crowded: list[Shard] = []
        """Those that the last call made too large."""

    def meet(  # noqa: C901 - written out, because this is the loop that calls spend most of their time in
        self, shingles: Iterable[int], *, tag: int, day: int, root: Callable[[str], str]
    ) -> dict[int, Shingle]:
        """Return those of a call's shingles that several accounts have sent, after this one has on that day.

        `root` says what has become of a cohort; empty when it is kept no more.
        """
        was = now = ""
        """A cohort as shingles name it, and what has become of it: most shingles of a call name the same."""
        shared: dict[int, Shingle] = {}
        alone = day * SHORT + tag
        shards, count, most = self._shards, self._cut.count, self._cut.most
        self._crowded = []
        for shingle in shingles:
            shard = shards[shingle % count]
            known = shard.get(shingle)
            if known is None:
                shard[shingle] = alone
                if len(shard) > most:
                    self._crowded.append(shard)
                continue
            if known == alone:
                continue
            if isinstance(known, Shingle) and known.day == day:
                several: Shingle | None = known
            else:
                several = self._several(shard, shingle, known, tag=tag, day=day)
            if several is None:
                continue
            if several.cohort:
                if several.cohort != was:
                    was, now = several.cohort, root(several.cohort)
                if now != was:
                    several.become_part_of(now)
            if not several.cohort and tag not in several.tags:
                several.sent_by(tag)
            shared[shingle] = several
        return shared

    def _several(self, shard: Shard, shingle: int, known: Shingle | int, *, tag: int, day: int) -> Shingle | None:
        """Return what is known of a shingle, None while a single account has sent it, moved to the end if need be."""
        was, by = (known.day, _NO_ACCOUNT) if isinstance(known, Shingle) else divmod(known, SHORT)
        if was < day:
            del shard[shingle]
            if day - was > self._days:
                shard[shingle] = day * SHORT + tag
                return None
        if not isinstance(known, Shingle):
            if by == tag:
                shard[shingle] = max(day, was) * SHORT + tag
                return None
            known = Shingle(was, (by,))
        known.day = max(day, was)
        shard[shingle] = known
        return known

    def forget(self, root: Callable[[str], str]) -> None:
        """Forget shingles of the shards that have become too large by those that were met; see `evidence_bounds`."""
        for shard in self._crowded:
            if len(shard) > self._cut.most:  # not cut for another shingle of the call already
                for shingle in _by_worth(shard, root)[: len(shard) - self._cut.stay]:
                    del shard[shingle]


def _by_worth(shard: Shard, root: Callable[[str], str]) -> list[int]:
    """Return the shingles in the order in which they may go."""
    tags = {one: known.tags if isinstance(known, Shingle) else (known % SHORT,) for one, known in shard.items()}
    sent = Counter(chain.from_iterable(tags.values()))
    noisy = {tag for tag, count in sent.items() if NOISY_PART * count > len(shard)}

    def worth(shingle: int) -> int:
        known = shard[shingle]
        if isinstance(known, Shingle) and known.cohort and root(known.cohort):
            return 2
        return int(not noisy.issuperset(tags[shingle]))

    return sorted(shard, key=worth)
