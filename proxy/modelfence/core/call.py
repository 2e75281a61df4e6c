"""One call as the fence sees it, whatever front it came through."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from modelfence.core.charge import Demand
from modelfence.core.extraction import Fingerprint, Prompt
from modelfence.core.quick import quick

# Three parts in base64url, of which the first is a JSON object (RFC 7515, section 7.1).
_TOKEN = re.compile(r"ey[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*")


class CredentialState(StrEnum):
    PRESENTED = "presented"
    MISSING = "missing"
    MALFORMED = "malformed"


@quick
@dataclass(frozen=True, slots=True)
class Credential:
    """What the caller proved itself with. Only its digest is kept, never the secret, unless that is a token."""

    state: CredentialState
    digest: str = ""
    """`sha256:` and the hexadecimal digest of the API key, as the accounts file writes it."""
    certificate: str = ""
    """Under which digest a directory finds the certificate that came beside the API key; empty without one."""
    token: str = field(default="", repr=False, compare=False)
    """The whole of what has the form of a signed token, to be verified. Nobody may write it anywhere."""
    account: str = ""
    """The id of the account whose token it was, as a recording says. A live call never says whose it is."""

    @classmethod
    def of(cls, secret: str) -> "Credential":
        """Return the credential of an API key or a token."""
        token = secret if _TOKEN.fullmatch(secret) else ""
        return cls(CredentialState.PRESENTED, key_digest(secret), token=token)


def key_digest(secret: str) -> str:
    """Return how the accounts file names an API key: `sha256:` and the digest of its UTF-8 bytes."""
    return "sha256:" + hashlib.sha256(secret.encode()).hexdigest()


@quick
@dataclass(frozen=True, slots=True)
class Reading:
    """What a dialect read in a request. None is unknown; empty, zero or false where it makes no sense."""

    operation: str
    model: str | None = ""
    stream: bool | None = False
    logprobs: bool | None = False
    logit_bias: int | None = 0
    choices: int | None = 1
    tools: int | None = 0
    reasoning: bool | None = False
    input_tokens: int | None = 0
    output_tokens: int | None = None
    """The most tokens the call says it may be answered with, over all its choices; None where it sets no limit."""
    prompt: Prompt = field(default=Prompt(), repr=False, compare=False)
    seen_input_tokens: int = field(default=0, repr=False, compare=False)
    """Where the input is unknown, for the model reads what is stored elsewhere: that of what stands in the call."""

    @property
    def least_input_tokens(self) -> int:
        """Return the input that is sure, to be charged while nothing is reported."""
        return self.seen_input_tokens if self.input_tokens is None else self.input_tokens


@quick
@dataclass(frozen=True, slots=True)
class Call:
    """A request on its way in. Times are microseconds since the epoch."""

    id: str
    at_us: int
    client_ip: str
    credential: Credential
    provider: str
    method: str
    path: str
    bytes: int
    reading: Reading
    max_output_tokens: int | None = None
    """The upstream's own limit for each choice, for calls that set none."""
    fingerprint: Fingerprint | None = None
    """That of the prompt where the prompt itself is not there: in a recording without prompts."""
    body: object = field(default=None, repr=False, compare=False)
    """The request's JSON, for a recording that keeps prompts."""


@quick
@dataclass(frozen=True, slots=True)
class Usage:
    """What an answer cost, in tokens."""

    input_tokens: int = 0
    output_tokens: int = 0
    """All tokens generated, reasoning included."""
    cached_tokens: int = 0
    """The part of the input that the provider read from its cache."""
    reasoning_tokens: int = 0
    """The part of the output that was reasoning."""
    estimated: bool = False
    """Counted by the fence from what passed, because the provider reported nothing."""

    def demand(self) -> Demand:
        """Return the usage in the form that charges settle to."""
        return Demand(self.input_tokens, self.output_tokens)

    def by_direction(self) -> Mapping[str, int]:
        """Return the tokens by the directions that metrics name."""
        return {
            "input": self.input_tokens,
            "output": self.output_tokens,
            "cached": self.cached_tokens,
            "reasoning": self.reasoning_tokens,
        }
