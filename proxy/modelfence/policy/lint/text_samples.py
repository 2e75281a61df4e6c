"""Texts that stand for all texts where a term is compared with some, or asked how it begins, ends and what it holds.

Every text answers these questions as one of the samples does. It is either one of those that it is compared with, or
has the longest of the beginnings that it has, the longest of the ends, and some of the parts: the sample that is made
of these, with a character between them that stands in none, answers alike.
"""

from collections.abc import Collection, Iterator
from itertools import combinations, product

MOST_SAMPLES = 256
_PRIVATE = range(0xE000, 0xF8FF)
"""Characters that no name has: Unicode, "Private Use Area"."""


def text_samples(
    equal: Collection[str], beginnings: Collection[str], ends: Collection[str], parts: Collection[str]
) -> tuple[str, ...]:
    """Return the samples; none where there would be too many."""
    if (len(beginnings) + 1) * (len(ends) + 1) * 2 ** len(parts) > MOST_SAMPLES:
        return ()
    named = "".join((*equal, *beginnings, *ends, *parts))
    between = next((chr(code) for code in _PRIVATE if chr(code) not in named), None)
    if between is None:
        return ()
    made = (
        between.join((beginning, *held, end))
        for beginning, held, end in product(("", *beginnings), _choices(parts), ("", *ends))
    )
    return tuple(sorted({*equal, *made}))


def _choices(parts: Collection[str]) -> Iterator[tuple[str, ...]]:
    """Yield each selection of some, all or none."""
    for count in range(len(parts) + 1):
        yield from combinations(sorted(parts), count)
