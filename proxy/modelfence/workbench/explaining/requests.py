"""A request as people have it: a line of a recording, a JSON object, HTTP as a tool shows it, or a curl command."""

import codecs
import json
import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from modelfence.recording.fields import BrokenLineError, values_in
from modelfence.recording.lines import Line, read_line
from modelfence.workbench.explaining.curl import from_curl
from modelfence.workbench.explaining.inquiry import NOWHERE, Inquiry, InquiryError

_REQUEST_LINE = re.compile(r"([A-Z]+) +(\S+)(?: +HTTP/[0-9.]+)?[ \t]*")
_BLANK_LINE = re.compile(rb"\r?\n\r?\n")
_PSEUDO = re.compile(r":([a-z]+): *(.*)")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\n]*)?\r?\n")
# What stands before a command on a page: comments, and the prompt of a shell.
_CURL = re.compile(r"(?:\s*#[^\n]*\n)*\s*(?:[$%>] +)?((?:\S*/)?curl(?:\.exe)?\s.*)", re.DOTALL)
_FORWARDED = frozenset(("x-forwarded-for", "forwarded"))
_LEFT_OUT = {"ts": 0, "client_ip": NOWHERE, "method": "POST"}
"""What stands for fields that a request leaves out."""


def read_request(text: bytes) -> Inquiry:
    """Return the request in a text, whichever way it is written. Raises InquiryError."""
    text = text.removeprefix(codecs.BOM_UTF8).lstrip()
    if text.startswith(b"{"):
        return _from_json(text)
    try:
        words = text.decode()
    except UnicodeDecodeError as error:
        raise InquiryError(f"it is not UTF-8: byte {error.start + 1} can't be decoded") from None
    if command := _CURL.match(words):
        return from_curl(command[1])
    return _from_http(text)


def _from_json(text: bytes) -> Inquiry:
    try:
        values = values_in(text)
    except BrokenLineError as error:
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) > 1 and _is_object(lines[0]):
            raise InquiryError(f"it holds {len(lines):,} requests; say which by --line") from None
        raise InquiryError(f"the request is broken: {error}") from None
    if "path" not in values:
        raise InquiryError(
            "the request lacks its `path`; it is written as "
            '{"method": "POST", "path": "/v1/chat/completions", "headers": {…}, "body": {…}}'
        )
    left_out = {name: value for name, value in _LEFT_OUT.items() if name not in values}
    more = json.dumps(left_out)[1:-1].encode()
    whole = text.replace(b"{", b"{" + more + b", ", 1) if left_out else text
    try:
        line = read_line(whole.strip())
    except BrokenLineError as error:
        raise InquiryError(f"the request is broken: {error}") from None
    return Inquiry(line, frozenset(("ts", "client_ip")) - left_out.keys())


def _is_object(line: bytes) -> bool:
    try:
        values_in(line)
    except BrokenLineError:
        return False
    return True


def _from_http(text: bytes) -> Inquiry:
    head, *bodies = _BLANK_LINE.split(text, maxsplit=1)
    first, *fields = _with_request_line(head.decode().replace("\r\n", "\n").split("\n"))
    request = _REQUEST_LINE.fullmatch(first)
    if request is None:
        raise InquiryError(
            "it is no request: a JSON object, a curl command, or HTTP that begins like `POST /v1/messages HTTP/1.1` "
            "is expected here"
        )
    headers = []
    for number, field in enumerate(fields, 2):
        name, colon, value = field.partition(":")
        if not colon or not name.strip():
            raise InquiryError(f"line {number} of the request is no header")
        headers.append((name.strip().lower(), value.strip()))
    # The last line end is the editor's, and none of a body that is JSON.
    data = b"".join(bodies).removesuffix(b"\n").removesuffix(b"\r")
    if any(name == "transfer-encoding" and "chunked" in value.lower() for name, value in headers):
        data = _joined(b"".join(bodies)) or data
    path, host = _target(request[2])
    line = Line(0, NOWHERE, request[1], path, tuple(headers), body=data, bytes=len(data))
    named = next((value.rpartition(":")[0] or value for name, value in headers if name == "host"), None)
    notes = tuple(
        f"`{name}` is believed of trusted proxies only, and nobody knows who sent this; give the caller's address"
        for name, _ in headers
        if name in _FORWARDED
    )
    return Inquiry(line, host=host or named, notes=notes)


def _with_request_line(lines: Sequence[str]) -> Sequence[str]:
    """Return the lines of a head; in place of what HTTP/2 has as `:method: POST`, a line that says so."""
    said = {found[1]: found[2].strip() for line in lines if (found := _PSEUDO.fullmatch(line))}
    if "method" not in said or "path" not in said:
        return lines
    host = [f"host: {said['authority']}"] if "authority" in said else []
    return [f"{said['method']} {said['path']}", *host, *(line for line in lines if not _PSEUDO.fullmatch(line))]


def _joined(chunks: bytes) -> bytes | None:
    """Return the body that was sent in chunks; None where it is shown as one, or cut short."""
    body = b""
    while size := _CHUNK.match(chunks):
        length = int(size[1], 16)
        if length == 0:
            return body
        body += chunks[size.end() : size.end() + length]
        chunks = chunks[size.end() + length :]
        end = re.match(rb"\r?\n", chunks)
        if end is None:
            return None
        chunks = chunks[end.end() :]
    return None


def _target(target: str) -> tuple[str, str | None]:
    """Return the path of a request's target with its query, and the host where it names one."""
    if target.startswith("/"):
        return target, None
    try:
        url = urlsplit(target)
        return (url.path or "/") + (f"?{url.query}" if url.query else ""), url.hostname
    except ValueError:
        raise InquiryError(f"`{target}` is no path and no URL") from None
