"""How what would grow is cut off, the same in every store of evidence, so that all answer alike.

The index is cut into shards, each of which forgets for itself: a small part of a store is quickly searched for what is
oldest. A shingle moves to the end of its shard when it is first met in a day, so that one that is met all the time
costs no more than looking it up. A shard that has become too large forgets the third that was met longest ago: first of
what was sent only by accounts that have more than an eighth of the shard, so that whoever sends nothing but new words
pushes out his own; and rather none that is part of the template of a cohort that is kept.

Where there are too many cohorts, one of those goes that were not called for longest: of some, the one of the fewest
accounts. Five accounts can begin a cohort with every few calls, and must not push out what thousands made.
"""

from dataclasses import dataclass

from modelfence.extraction.evidence import Bounds

SHINGLES_OF_A_SHARD = 64
"""Small enough that Redis keeps a shard as one list without pointers."""
FORGOTTEN_PART = 3
NOISY_PART = 8
"""Who has more than one in so many of a shard is noisy: no more than seven can be. A campaign has more accounts, each
of which sends less; one of five to seven has made a cohort of its template by then."""
COHORTS_COMPARED = 16
"""Of those that were not called for longest, of which one goes."""
SEEDS = 64
"""Of a cohort, the accounts that were counted before they were known by name. Five begin one, others come with those
that it takes in."""


@dataclass(frozen=True, slots=True)
class Shards:
    """Of the index: how many there are, how many shingles each holds at most, and how many stay of one with more."""

    count: int
    most: int
    stay: int

    @classmethod
    def of(cls, bounds: Bounds) -> "Shards":
        """Return those that together hold no more shingles than the bound."""
        count = max(1, -(-bounds.shingles // SHINGLES_OF_A_SHARD))
        most = max(1, bounds.shingles // count)
        return cls(count, most, max(1, most - most // FORGOTTEN_PART))
