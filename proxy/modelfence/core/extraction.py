"""What detection sees in a call, and what it makes of it: values only; `modelfence.extraction` does the work.

Rule: no text of a prompt is kept in any of these but `Prompt`, which lives as long as its call. What is stored,
recorded or shown are keyed hashes and counts.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from modelfence.core.quick import quick

HASH_BITS = 48
"""Of every hash of a prompt: whole numbers of that size are exact in the doubles of Lua and of readers of JSON, and two
of them are the same by chance once in 281 million million."""

TEMPLATE_FINGERPRINT = re.compile(r"(?:[0-9a-f]{8}){3,8}")
"""How the fingerprint of a template is written: eight hashes of 32 bits, or as few as three of a short one."""


@quick
@dataclass(frozen=True, slots=True)
class Prompt:
    """The texts of a call, by who speaks, in order. Never stored, never logged."""

    system: Sequence[str] = field(default=(), repr=False)
    user: Sequence[str] = field(default=(), repr=False)
    replies: Sequence[str] = field(default=(), repr=False)
    """What the model, or a tool, is said to have answered before."""
    schema: Sequence[str] = field(default=(), repr=False)
    """Names of the fields that the answer is to have, where the call prescribes them."""


@quick
@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What is kept of a prompt: keyed hashes of HASH_BITS bits, each the same wherever the same text stands."""

    system: tuple[int, ...] = ()
    """Of the system's text: a sample of its shingles, at most 80 (see `modelfence.extraction.fingerprint`)."""
    earlier: tuple[int, ...] = ()
    """Likewise of what the user said before the last message."""
    last: tuple[int, ...] = ()
    """Likewise of the user's last message: what is asked now."""
    item: int = 0
    """Of what the system and the user say, 0 when that is nothing: the same when the same is asked again."""
    history: int = 0
    """Of all that was said before it, 0 when nothing was."""
    phrases: tuple[str, ...] = ()
    """Names of the request signals whose phrases stand in it."""

    @property
    def is_empty(self) -> bool:
        """Say whether the call held no text at all."""
        return not (self.item or self.system or self.last)


@quick
@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, as far as detection asks."""

    id: str
    """The account's, or what stands for one where there is none."""
    tier: str
    is_verified: bool
    """Its tier is in the upper half of the policy's tiers."""
    country: str
    """Where the call comes from; empty when unknown."""
    control: tuple[str, ...] = ()
    """What the account has in common with others behind which there is the same; see `modelfence.core.control`."""


@quick
@dataclass(frozen=True, slots=True)
class Extraction:
    """How much a call looks like model extraction, and why: the facts `extraction.*`."""

    score: float = 0.0
    """0 to 1: the sum of the contributions, cut off at both ends."""
    contributions: tuple[tuple[str, float], ...] = ()
    """The signals that fired, each with what it adds to the score; what speaks for the caller is negative."""
    cohort: str = ""
    """The accounts that share the call's template, or that its account belongs to; empty in none."""
    cohort_accounts: int = 0
    fingerprint: Fingerprint = Fingerprint()
    was_measured: bool = True
    """False when the evidence could not be had, so that this is only what the call itself tells."""
    recent_countries: tuple[str, ...] | None = ()
    """From which the account called within the last hour, sorted; None when the evidence could not be had."""

    @property
    def signals(self) -> tuple[str, ...]:
        """Return the names of the signals that fired."""
        return tuple(name for name, _ in self.contributions)
