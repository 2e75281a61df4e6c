"""A call as one line of a recording and back: the one place that knows the names of the fields.

There are three forms of line. One that was composed has the call's `headers` and `body` as a client sends them. The
live fence writes either the `body` with a `credential` in place of headers, or neither body nor headers but what was
read in them: `reading`, and the `fingerprint` of the prompt. Its paths are those that upstreams receive, and `provider`
says which one.

Rule: no API key and no token is ever written, only its digest, beside a token's the account that it was found to be of;
and no word of a prompt unless prompts are asked for.

Why bytes and not a mapping: a body is written as it came, not encoded anew, which takes half a second for one of 20 MB.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import lru_cache, partial

from modelfence.core.call import Call, Credential, CredentialState, Reading, Usage
from modelfence.core.client_address import parse_address
from modelfence.core.dialect import Headers
from modelfence.core.extraction import HASH_BITS, Fingerprint
from modelfence.core.facts import OPERATIONS
from modelfence.core.quick import quick
from modelfence.recording.fields import (
    BrokenLineError,
    Reader,
    Values,
    each,
    fields_of,
    flag,
    headers_of,
    seconds,
    text_of,
    unless_null,
    values_in,
    whole,
)

END = b"}\n"
"""What closes a line."""
BEFORE_S = 4_102_444_800
"""The year 2100: a time beyond it is one in other units than seconds."""
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_MALFORMED = "malformed"
_COSTS_NOTHING = 300
_ADDRESSES = 10_000
"""So many of those met last need not be read again."""
_LINE_ENDS = bytes.maketrans(b"\r\n", b"  ")


@quick
@dataclass(frozen=True, slots=True)
class Line:
    """What a line says, before anything has judged the request in it."""

    at_us: int
    client_ip: str
    method: str
    path: str
    headers: Headers = ()
    credential: Credential | None = None
    """None where it is to be read from the headers."""
    body: bytes = b""
    bytes: int = 0
    provider: str | None = None
    reading: Reading | None = None
    fingerprint: Fingerprint | None = None
    max_output_tokens: int | None = None
    usage: Usage | None = None
    """What the answer cost; None where nobody knows."""
    was_served: bool = True
    """False where it is known that the upstream answered with an error or with nothing."""
    status: int | None = None
    label: str = ""
    """What kind of traffic whoever composed the recording says it is; the fence never looks at it."""


def beginning_of(call: Call, fingerprint: Fingerprint | None, *, prompts: bool) -> bytes:
    """Return the line of a call up to where `end_of` goes, or else END.

    With prompts it holds the body of the call. Without, or where none was kept, because it was a form or the call was a
    part of a realtime session, the fingerprint and what was read.
    """
    said: dict[str, object] = {
        "ts": call.at_us / 1_000_000,
        "client_ip": call.client_ip,
        "method": call.method,
        "path": call.path,
        "provider": call.provider,
        "credential": _credential_as_written(call.credential),
        "bytes": call.bytes,
    }
    if call.credential.certificate:
        said["certificate"] = call.credential.certificate
    if call.credential.account:
        said["account"] = call.credential.account
    if call.max_output_tokens is not None:
        said["max_output_tokens"] = call.max_output_tokens
    if not prompts or call.body is None:
        said["reading"] = {name: getattr(call.reading, name) for name in _READING}
        said["fingerprint"] = asdict(fingerprint or call.fingerprint or Fingerprint())
        return _encoded(said)[:-1]
    # Inside of its texts strict JSON has no line ends; between its tokens they are blanks.
    body = call.body.translate(_LINE_ENDS) if isinstance(call.body, bytes) else _encoded(call.body)
    return b"".join((_encoded(said)[:-1], b', "body": ', body))


def end_of(usage: Usage | None, status: int | None) -> bytes:
    """Return what is added to the line of an admitted call once it has ended; END goes after it.

    `usage` is None when nothing was served, `status` when the upstream was not reached.
    """
    used = None
    if usage is not None:
        used = {name: value for name, value in asdict(usage).items() if value or name in _ALWAYS_USED}
    return b", " + _encoded({"usage": used, "status": status})[1:-1]


def line_of(call: Call, usage: Usage | None, *, prompts: bool, status: int | None = None) -> bytes:
    """Return the whole line of a call that was served, or of which nobody knows what it cost."""
    end = end_of(usage, status) if usage is not None or status is not None else b""
    return b"".join((beginning_of(call, call.fingerprint, prompts=prompts), end, END))


def read_line(line: bytes) -> Line:
    """Return what a line says. Raises BrokenLineError."""
    values = values_in(line)
    given = {name: value for name, (value, _) in values.items() if value is not None}
    for name in ("ts", "client_ip", "method", "path"):
        if name not in given:
            raise BrokenLineError(f"`{name}` is missing")
    if "body" in given and "reading" in given:
        raise BrokenLineError("it gives both `body` and `reading`")
    body = values["body"][1].encode() if "body" in given else b""
    usage = Usage(**fields_of("usage", given["usage"], _USAGE)) if "usage" in given else None  # type: ignore[arg-type]
    status = whole("status", given["status"], most=999) if "status" in given else None
    return Line(
        at_us=round(seconds("ts", given["ts"], before=BEFORE_S) * 1_000_000),
        client_ip=_address("client_ip", given["client_ip"]),
        method=text_of("method", given["method"]),
        path=text_of("path", given["path"]),
        headers=headers_of("headers", given["headers"]) if "headers" in given else (),
        credential=_credential(values) if "credential" in values else None,
        body=body,
        bytes=whole("bytes", given["bytes"]) if "bytes" in given else len(body),
        provider=text_of("provider", given["provider"]) if "provider" in given else None,
        reading=_reading(given["reading"]) if "reading" in given else None,
        fingerprint=_fingerprint(given["fingerprint"]) if "fingerprint" in given else None,
        max_output_tokens=_limit(given.get("max_output_tokens")),
        usage=usage,
        was_served=(status or 0) < _COSTS_NOTHING and not (usage is None and "status" in values),
        status=status,
        label=label if isinstance(label := given.get("label"), str) else "",
    )


def _encoded(value: object) -> bytes:
    return json.dumps(value).encode()


def _credential_as_written(credential: Credential) -> str | None:
    match credential.state:
        case CredentialState.PRESENTED:
            return credential.digest
        case CredentialState.MALFORMED:
            return _MALFORMED
        case CredentialState.MISSING:
            return None


def _credential(values: Values) -> Credential:
    written, _ = values["credential"]
    if written is None:
        return Credential(CredentialState.MISSING)
    if written == _MALFORMED:
        return Credential(CredentialState.MALFORMED)
    if not isinstance(written, str) or not _DIGEST.fullmatch(written):
        raise BrokenLineError("`credential` should be `sha256:` and 64 hexadecimal digits, `malformed` or null")
    certificate, account = (values.get(name, (None, ""))[0] for name in ("certificate", "account"))
    if certificate is not None and (not isinstance(certificate, str) or not _DIGEST.fullmatch(certificate)):
        raise BrokenLineError("`certificate` should be `sha256:` and 64 hexadecimal digits")
    account = "" if account is None else text_of("account", account)
    return Credential(CredentialState.PRESENTED, written, certificate or "", account=account)


def _address(name: str, value: object) -> str:
    try:
        return _canonical(text_of(name, value))
    except ValueError:
        raise BrokenLineError(f"`{name}` is no address") from None


@lru_cache(_ADDRESSES)
def _canonical(address: str) -> str:
    """Return an address as it is written everywhere. Raises ValueError."""
    return str(parse_address(address))


def _limit(value: object) -> int | None:
    return None if value is None else whole("max_output_tokens", value)


def _reading(value: object) -> Reading:
    read = fields_of("reading", value, _READING)
    if read.get("operation") not in OPERATIONS:
        raise BrokenLineError("`reading.operation` is none that a policy knows")
    return Reading(**read)  # type: ignore[arg-type]


def _fingerprint(value: object) -> Fingerprint:
    return Fingerprint(**fields_of("fingerprint", value, _FINGERPRINT))  # type: ignore[arg-type]


_hash = partial(whole, most=(1 << HASH_BITS) - 1)
_hashes = each(_hash)
_BY_TYPE: Mapping[object, Reader] = {
    int: whole,
    bool: flag,
    str: text_of,
    int | None: unless_null(whole),
    bool | None: unless_null(flag),
    str | None: unless_null(text_of),
}
_USAGE: Mapping[str, Reader] = {one.name: _BY_TYPE[one.type] for one in fields(Usage)}
_ALWAYS_USED = ("input_tokens", "output_tokens")
_NOT_RECORDED = ("prompt", "seen_input_tokens")
_READING: Mapping[str, Reader] = {
    one.name: _BY_TYPE[one.type] for one in fields(Reading) if one.name not in _NOT_RECORDED
}
_FINGERPRINT: Mapping[str, Reader] = {
    "system": _hashes,
    "earlier": _hashes,
    "last": _hashes,
    "item": _hash,
    "history": _hash,
    "phrases": each(text_of),
}
