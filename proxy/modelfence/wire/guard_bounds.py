"""What the guard holds clients to: each by himself, and all of them together."""

from collections.abc import Sequence
from dataclasses import dataclass

from modelfence.core.client_address import Network


@dataclass(frozen=True, slots=True)
class Bounds:
    """The most that a request and its answer may take. See `settings.Limits`."""

    head_bytes: int
    request_bytes: int
    headers: int = 100
    head_s: float = 30.0
    body_s: float = 120.0
    first_byte_s: float = 540.0
    answer_s: float = 3600.0
    connections: int = 4096
    connections_per_address: int = 1024
    held_bytes: int = 512 << 20
    proxies: Sequence[Network] = ()
    """Whose connections are counted only in all."""


class Room:
    """The bytes of request bodies that all connections together may hold.

    Whoever sends a body is not known before it is whole, so that strangers could fill the memory with halves of bodies.
    """

    def __init__(self, most_bytes: int) -> None:
        self._left = most_bytes

    @property
    def left_bytes(self) -> int:
        return self._left

    def take(self, size: int) -> bool:
        """Take so much; or return False, and take nothing."""
        if size > self._left:
            return False
        self._left -= size
        return True

    def give_back(self, size: int) -> None:
        self._left += size
