"""For which accounts a candidate acts: a share of them, chosen by a hash, so that each is always on the same side.

Why the candidate's file name is hashed along: with a fixed salt it would be the same accounts that every candidate is
tried on, and with the candidate's content they would change with each edit. So accounts stay in while the file is
edited and while the share grows, on every worker and machine; whoever wants others gives the next candidate another
file name.
"""

import hashlib
from dataclasses import dataclass, field

_BYTES = 8
_ALL_PERCENT = 100


@dataclass(frozen=True, slots=True)
class Canary:
    """The accounts on which a candidate is tried: so many in a hundred, and none at 0."""

    percent: float
    candidate: str
    """The name of the candidate's file, without its folders."""
    below: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "below", int(self.percent / _ALL_PERCENT * 2 ** (8 * _BYTES)))

    def holds(self, account_id: str) -> bool:
        """Say whether the candidate acts for that account."""
        if not self.below:
            return False
        text = f"modelfence canary\0{self.candidate}\0{account_id}".encode("utf-8", "surrogatepass")
        return int.from_bytes(hashlib.sha256(text).digest()[:_BYTES]) < self.below
