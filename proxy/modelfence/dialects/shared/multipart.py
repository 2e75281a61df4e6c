"""Forms with files (`multipart/form-data`) that can be read in one way only.

After RFC 7578 and RFC 2046, section 5.1. A fence and the API behind it must see the same fields. Readers differ in
what they make of line ends that are no CRLF, of text before the first part, of blanks after a boundary, of escapes in
names, of folded, repeated and unknown headers, of parts inside of parts. Rule: all of that is refused, and what is
accepted is written as the common clients write it: browsers, curl, httpx, requests, undici, OkHttp.

Why the boundary may stand nowhere else: some readers look for it after any line end, others only after CRLF, and some
take one with more behind it for the same. A boundary is made up to occur nowhere in the body.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from modelfence.core.dialect import Headers, MalformedRequestError, Request

MAX_PARTS = 256
MAX_HEAD_BYTES = 2048
"""Of one part: its headers, in which a file has its name."""
_FORM = "multipart/form-data"
_CONTENT_TYPE = re.compile(
    r'multipart/form-data[ \t]*;[ \t]*boundary=(?:([\w.+-]{1,70})|"([\w.+-]{1,70})")', re.ASCII | re.IGNORECASE
)
_HEAD_LINE = re.compile(rb"([A-Za-z-]+): ?([\x21-\x7e\x80-\xff](?:[\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)")
_DISPOSITION = re.compile(r'form-data; ?name="([\w.\[\]-]{1,128})"(?:; ?filename="([^"\\;\x00-\x1f\x7f]+)")?', re.ASCII)
_WORD = r"[\w.+-]+"
_PART_TYPE = re.compile(rf'({_WORD}/{_WORD})((?:; ?{_WORD}=(?:{_WORD}|"{_WORD}"))*)', re.ASCII)
_TEXT_TYPES = ("text/plain", "application/json")
_CHARSET = re.compile(r'; ?charset="?([\w.+-]+)', re.ASCII | re.IGNORECASE)
_HEADERS = frozenset(("content-disposition", "content-type", "content-length"))
_NESTED = ("multipart/", "message/")
_CHARSET_FIELD = "_charset_"
"""A field that some readers take for the encoding of all others."""


@dataclass(frozen=True, slots=True)
class Form:
    """What a form holds, in order; a name may stand more than once."""

    texts: Mapping[str, Sequence[str]] = field(repr=False)
    files: Mapping[str, Sequence[int]]
    """Bytes of each file."""


def form(request: Request) -> Form:
    """Return the form that a body must be and say so. Raises MalformedRequestError when it has no single meaning."""
    texts: dict[str, list[str]] = {}
    files: dict[str, list[int]] = {}
    for head, content in _parts(request.body, _boundary(request.headers)):
        name, is_file = _read_head(head, len(content))
        if is_file:
            files.setdefault(name, []).append(len(content))
        else:
            texts.setdefault(name, []).append(_decoded(name, content))
    return Form(texts, files)


def _boundary(headers: Headers) -> bytes:
    declared = [value.strip(" \t") for name, value in headers if name == "content-type"]
    found = _CONTENT_TYPE.fullmatch(declared[0]) if len(declared) == 1 else None
    if found is None:
        message = f"The Content-Type of this request must be {_FORM} with a boundary of letters, digits and .+_-."
        raise MalformedRequestError(message, status=415)
    return (found[1] or found[2]).encode()


def _parts(body: bytes, boundary: bytes) -> list[tuple[bytes, bytes]]:
    """Return head and content of each part."""
    mark = b"--" + boundary
    first, between, last = mark + b"\r\n", b"\r\n" + mark + b"\r\n", b"\r\n" + mark + b"--"
    whole = body.removesuffix(b"\r\n")
    if not (whole.startswith(first) and whole.endswith(last)) or len(whole) < len(first) + len(last):
        raise _malformed("it must begin with its boundary and end with it")
    parts = whole[len(first) : -len(last)].split(between, MAX_PARTS)
    if len(parts) > MAX_PARTS:
        raise _malformed(f"it has more than {MAX_PARTS} parts")
    if body.count(mark) != len(parts) + 1:
        raise _malformed("its boundary stands where no part begins")
    return [_head_and_content(part) for part in parts]


def _head_and_content(part: bytes) -> tuple[bytes, bytes]:
    end = part.find(b"\r\n\r\n", 0, MAX_HEAD_BYTES)
    if end < 0:
        raise _malformed(f"a part has no headers, or more than {MAX_HEAD_BYTES} bytes of them")
    return part[:end], part[end + 4 :]


def _read_head(head: bytes, size: int) -> tuple[str, bool]:
    """Return the name of a part, and whether it is a file."""
    headers: dict[str, str] = {}
    for line in head.split(b"\r\n"):
        found = _HEAD_LINE.fullmatch(line)
        known = found[1].decode().lower() if found else ""
        if found is None or known not in _HEADERS or known in headers:
            raise _malformed("a part may have one Content-Disposition, Content-Type and Content-Length, and no other")
        try:
            headers[known] = found[2].decode()
        except UnicodeDecodeError:
            raise _malformed("a header of a part is not UTF-8") from None
    disposition = _DISPOSITION.fullmatch(headers.get("content-disposition", ""))
    if disposition is None:
        raise _malformed('a part must say `Content-Disposition: form-data; name="…"`, without escapes')
    name, is_file = disposition[1], disposition[2] is not None
    if name == _CHARSET_FIELD:
        raise _malformed(f"a field may not be called '{name}'")
    if headers.get("content-length", str(size)) != str(size):
        raise _malformed(f"the Content-Length of '{name}' is not its length")
    if (declared := headers.get("content-type")) is not None:
        _check_type(name, declared, is_file=is_file)
    return name, is_file


def _check_type(name: str, declared: str, *, is_file: bool) -> None:
    found = _PART_TYPE.fullmatch(declared)
    kind = found[1].lower() if found else ""
    if found is None or kind.startswith(_NESTED):
        raise _malformed(f"the Content-Type of '{name}' can't be read, or has parts of its own")
    charsets = {charset.lower() for charset in _CHARSET.findall(found[2])}
    if not is_file and (kind not in _TEXT_TYPES or charsets - {"utf-8"}):
        raise _malformed(f"'{name}' must be plain text in UTF-8, or have a filename")


def _decoded(name: str, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise _malformed(f"'{name}' is not UTF-8") from None


def _malformed(why: str) -> MalformedRequestError:
    return MalformedRequestError(f"The form of this request can't be read without doubt: {why}.")
