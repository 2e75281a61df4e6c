"""What the fence needs to know about one LLM API: how to read it, count it and refuse in its own words."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from modelfence.core.call import Credential, Reading, Usage
from modelfence.core.charge import Balance
from modelfence.core.decision import Effect
from modelfence.core.policy import Reshaping
from modelfence.core.quick import quick

type Json = bool | int | float | str | list["Json"] | dict[str, "Json"] | None
type Headers = Sequence[tuple[str, str]]
"""Names in lower case, in the order received; a name may stand more than once."""


CREDENTIAL_PARAMETER = "key"
"""The parameter of a query in which some API reads a key. With a credential of the fence's own it is removed."""
CREDENTIAL_HEADERS = frozenset({"authorization", "x-api-key", "api-key", "x-goog-api-key", "ocp-apim-subscription-key"})
"""Every header that some API reads a key from. With a credential of the fence's own, all of them are replaced."""


BILLING_HEADERS = frozenset(
    {
        "openai-organization",
        "openai-project",
        "anthropic-workspace-id",
        "anthropic-user-profile-id",
        "x-goog-user-project",
    }
)
"""Every header by which a caller chooses who pays. They belong to the caller's key, and are dropped along with it."""

SIGNATURE_HEADERS = frozenset({"x-amz-date", "x-amz-security-token", "x-amz-content-sha256"})
"""Every header that goes along with a caller's signature. They are dropped along with it."""


class MalformedRequestError(Exception):
    """The request can't be read without doubt: it is refused with this status and sentence before it is judged."""

    def __init__(self, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


@quick
@dataclass(frozen=True, slots=True)
class Request:
    """What a dialect reads: the path without the upstream's prefix and query, and the body decoded and parsed."""

    method: str
    path: str
    headers: Headers
    body: bytes = b""
    """Decoded text of the body."""
    json: Json = None
    """The body parsed, where it is JSON."""
    query: str = ""
    """What stands after the path's question mark, as it came."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request as the upstream is to receive it, but for the credential."""

    method: str
    authority: str
    """Host and port, as the Host header names them."""
    path: str
    query: str
    fields: Sequence[tuple[bytes, bytes]]
    """Its headers, as they are sent."""
    body: bytes
    received: Headers = ()
    """The caller's headers as they came, his credential among them."""

    @property
    def headers(self) -> Headers:
        """Return the headers as a dialect reads them. Only who signs a request looks at them."""
        return [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in self.fields]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a call is refused, for a dialect to say in its API's own shape."""

    effect: Effect
    status: int
    """400, 401, 403, 413, 429, 431, 502, 503 …"""
    message: str
    call_id: str
    help_url: str | None = None
    retry_after_us: int | None = None
    balance: Balance | None = None
    """The bucket that refused, for the API's rate-limit headers."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response the fence itself gives."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes = field(default=b"")


class Framing(Protocol):
    """Where the events of one kind of stream end."""

    @property
    def ends_lines(self) -> bool:
        """Say whether an event ends with a line, so that a line feed after its carriage return belongs to it."""
        ...

    def ends(self, data: bytearray, before: int) -> list[int]:
        """Return where events end in data that begins with one; none was found in its first `before` bytes."""
        ...


class UsageReader(Protocol):
    """Counts one answer while it streams through. Never raises on what an upstream sends."""

    @property
    def framing(self) -> Framing | None:
        """Return how a stream is cut into events; None for a plain answer, which is passed on as it comes."""
        ...

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the body, decoded."""
        ...

    def usage(self) -> Usage | None:
        """Return what is known by now: reported, else estimated from what passed, else None when nothing was served.

        An estimate's input is zero: only the request knows it.
        """
        ...

    @property
    def has_ended(self) -> bool:
        """Say whether a stream's last event has passed, after which nothing of it is to come."""
        ...

    @property
    def output_tokens(self) -> int:
        """Return the tokens generated so far, as `usage` would say. Cheap: it is asked after every piece."""
        ...

    def ending(self, *, with_usage: bool, input_tokens: int) -> bytes:
        """Return the events that end a stream here, in the API's own words for an answer that reached its limit.

        What was fed must end with a whole event. `with_usage` reports the usage so far where the API does so only on
        demand, with `input_tokens` where the input was not reported. Empty for what is no stream of events.
        """
        ...


class Dialect(Protocol):
    """One LLM API."""

    @property
    def name(self) -> str:
        """Return the name settings use."""
        ...

    def operation(self, method: str, path: str) -> str:
        """Return the operation a path stands for, `unknown` when it is none."""
        ...

    def credential(self, headers: Headers, query: str = "") -> Credential:
        """Return the caller's credential. Raises MalformedRequestError when two different ones are given."""
        ...

    def credential_headers(self, secret: str, outgoing: Outgoing) -> Headers:
        """Return the headers that carry the fence's own credential to this API, with which a request may be signed."""
        ...

    def read(self, request: Request) -> Reading:
        """Return what the facts need. Raises MalformedRequestError when the upstream might read it otherwise."""
        ...

    def reshape(self, request: Request, reshaping: Reshaping) -> Json:
        """Return the body with fields removed and limits lowered; the given one is left as it was."""
        ...

    def asking_for_usage(self, request: Request) -> Json:
        """Return the body of a stream with its usage asked for, or None where that is asked already or can't be."""
        ...

    def only_reports_usage(self, event: bytes) -> bool:
        """Say whether an event of a stream holds the usage that was asked for and nothing else."""
        ...

    def usage_reader(self, operation: str, content_type: str) -> UsageReader:
        """Return a counter for an answer of that kind."""
        ...

    def limits(self, balances: Sequence[Balance]) -> Headers:
        """Return the headers that tell an admitted caller what is left: of each kind of limit, the tightest bucket.

        Names are in lower case. Buckets in shadow are not told.
        """
        ...

    def refuse(self, refusal: Refusal) -> Answer:
        """Return the refusal in the API's own shape."""
        ...


@runtime_checkable
class ReadsSignatures(Protocol):
    """What a dialect has besides where callers may sign their requests, which then must arrive as they were signed."""

    def signed_headers(self, headers: Headers) -> Sequence[str]:
        """Return the names of the headers that the caller's signature covers; empty where there is none."""
        ...
