"""A request somebody asks about: as a line of a recording, and what was said and what only stands for something."""

import time
from dataclasses import dataclass, replace

from modelfence.core.call import Credential, CredentialState
from modelfence.core.client_address import parse_address
from modelfence.recording.lines import Line

NOWHERE = "192.0.2.1"
"""Stands for an address that was not said: from TEST-NET-1, of RFC 5737, which is in no country."""


class InquiryError(ValueError):
    """What is asked about can't be understood. The message says why and what to do, in a sentence."""


@dataclass(frozen=True, slots=True)
class Inquiry:
    """One request."""

    line: Line
    says: frozenset[str] = frozenset()
    """Which of `ts` and `client_ip` it says itself."""
    host: str | None = None
    """Of its URL, by which its API may be known."""
    country: str | None = None
    """Where the caller is said to be, whatever the databases say."""
    account: str | None = None
    """Who the caller is said to be, whatever credential there is."""
    given: frozenset[str] = frozenset()
    """Which of `ts` and `client_ip` were said beside it."""
    notes: tuple[str, ...] = ()
    """Sentences on how it was read."""


def placed(  # noqa: PLR0913 - what may be said beside a request, by keyword
    inquiry: Inquiry,
    *,
    at_us: int | None = None,
    client_ip: str | None = None,
    country: str | None = None,
    account: str | None = None,
    now_us: int | None = None,
) -> Inquiry:
    """Return the request with what was said beside it. Raises InquiryError for what is no address."""
    line, given = inquiry.line, set(inquiry.given)
    if at_us is not None:
        line, given = replace(line, at_us=at_us), given | {"ts"}
    elif "ts" not in inquiry.says:
        line = replace(line, at_us=time.time_ns() // 1000 if now_us is None else now_us)
    if client_ip is not None:
        try:
            line, given = replace(line, client_ip=str(parse_address(client_ip))), given | {"client_ip"}
        except ValueError:
            raise InquiryError(f"`{client_ip}` is no address") from None
    if account is not None:
        line = replace(line, credential=_of_account(account))
    return replace(inquiry, line=line, given=frozenset(given), country=country, account=account)


def _of_account(account: str) -> Credential:
    """Return a credential whose account is known, so that nobody looks at its digest."""
    return Credential(CredentialState.PRESENTED, "sha256:" + "0" * 64, account=account)
