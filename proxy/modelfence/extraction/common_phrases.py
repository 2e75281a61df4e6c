"""Phrases that unrelated people write: ordinary language, and the scaffolds that popular frameworks ship.

Without them, two accounts that speak of nothing in common look a little alike, and two tenants of one framework look
like a campaign. What the table holds and where it is from: `common_phrases.md` beside it. Rule: read only, no rules.
"""

import gzip
from functools import cache
from importlib.resources import files

WORDS = 5
"""In each phrase, normalised as a fingerprint's are: lower case, and every number `0`."""


@cache
def common_phrases() -> frozenset[tuple[str, ...]]:
    """Return the table, some 60,000 phrases; it is read once, which takes a tenth of a second."""
    packed = files("modelfence.extraction").joinpath("common_phrases.txt.gz").read_bytes()
    return frozenset(tuple(line.split(" ")) for line in gzip.decompress(packed).decode().splitlines())
