"""What the fence needs to know of an API that is spoken over a websocket: who asks for what, and what it cost."""

from dataclasses import dataclass
from typing import Protocol

from modelfence.core.call import Reading, Usage
from modelfence.core.dialect import Refusal, Request


@dataclass(frozen=True, slots=True)
class Asked:
    """What has to be judged before a message of the client may go on."""

    reading: Reading
    is_answered: bool
    """An answer begins with it; else it only changes how later ones are made."""
    name: str = ""
    """By which the API says that it does not answer it; empty where the client gives none."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a message of the upstream tells of an answer."""

    answer: str = ""
    """Which one, empty for none."""
    begins: bool = False
    tokens: int = 0
    """So many more of it have passed."""
    usage: Usage | None = None
    """What it cost, now that it has ended."""
    unanswered: str | None = None
    """The name of what was asked for and is not going to be answered; empty is what was asked for last."""


class Session(Protocol):
    """One connection."""

    def opening(self) -> Reading:
        """Return what the handshake asks for."""
        ...

    def from_client(self, message: str | bytes) -> Asked | None:
        """Take a message of the client; return what has to be judged, if anything. Raises MalformedRequestError."""
        ...

    def from_upstream(self, message: str | bytes) -> Said:
        """Take a message of the upstream. Never raises."""
        ...

    def unasked(self) -> Reading:
        """Return what is asked for by an answer that the API begins by itself, when it has heard enough."""
        ...

    def refuse(self, refusal: Refusal) -> str:
        """Return the API's own message that something went wrong; empty where it says so only when it closes."""
        ...


class RealtimeDialect(Protocol):
    """One API."""

    def session(self, request: Request) -> Session | None:
        """Return what follows a handshake, None when no websocket is known there. Raises MalformedRequestError."""
        ...
