"""A `curl` command line, as documentation shows it and browsers copy it, read as the request that it would send.

Rule: no file is read, whatever the command asks for: it may have been pasted into a page.
"""

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from modelfence.recording.lines import Line
from modelfence.workbench.explaining.inquiry import NOWHERE, Inquiry, InquiryError
from modelfence.workbench.explaining.shell import ShellError, split

_JSON = "application/json"
_FORM = "application/x-www-form-urlencoded"
_FOR_WINDOWS = re.compile(r"\^\s*$|\^\"", re.MULTILINE)
_FLAGS = frozenset(
    (
        "-s", "--silent", "-S", "--show-error", "-v", "--verbose", "-i", "--include", "-k", "--insecure", "-L",
        "--location", "-N", "--no-buffer", "-f", "--fail", "--fail-with-body", "-4", "-6", "-#", "--progress-bar",
        "--compressed", "--http1.0", "--http1.1", "--http2", "--http2-prior-knowledge", "--http3", "-g", "--globoff",
        "--path-as-is", "--tr-encoding", "--tlsv1.2", "--tlsv1.3", "-q", "-j", "--no-progress-meter",
    )
)  # fmt: skip
"""What says nothing of the request that a fence would see."""
_PASSED_OVER = frozenset(
    (
        "-o", "--output", "-w", "--write-out", "-m", "--max-time", "--connect-timeout", "--retry", "--retry-delay",
        "-x", "--proxy", "--cacert", "--resolve", "--connect-to", "-c", "--cookie-jar", "-D", "--dump-header",
        "--interface", "--limit-rate", "--max-redirs", "--stderr",
    )
)  # fmt: skip
"""Likewise, each with a value."""


@dataclass(slots=True)
class _Command:
    """What the options have said so far."""

    method: str | None = None
    url: str | None = None
    headers: list[tuple[str, str]] = field(default_factory=list)
    data: list[str] = field(default_factory=list)
    is_json: bool = False
    in_query: bool = False

    def state_url(self, url: str) -> None:
        if self.url is not None:
            raise InquiryError("the curl command has two URLs; ask about one request at a time")
        self.url = url

    def add_header(self, text: str) -> None:
        _refuse_file(text, "-H")
        name, colon, value = text.partition(":")
        if colon and value.strip():
            self.headers.append((name.strip().lower(), value.strip()))

    def add_data(self, text: str) -> None:
        _refuse_file(text, "-d")
        self.data.append(text)

    def add_raw(self, text: str) -> None:
        self.data.append(text)

    def add_json(self, text: str) -> None:
        self.is_json = True
        self.add_data(text)

    def add_user(self, text: str) -> None:
        user = text if ":" in text else f"{text}:"
        self.headers.append(("authorization", "Basic " + base64.b64encode(user.encode()).decode()))

    def set_method(self, text: str) -> None:
        self.method = text

    def header(self, name: str) -> Callable[[str], None]:
        return lambda value: self.headers.append((name, value))

    def options(self) -> Mapping[str, Callable[[str], None]]:
        """Return what is done with the value of each option."""
        return {
            "-X": self.set_method, "--request": self.set_method, "--url": self.state_url, "-H": self.add_header,
            "--header": self.add_header, "-d": self.add_data, "--data": self.add_data, "--data-ascii": self.add_data,
            "--data-binary": self.add_data, "--data-raw": self.add_raw, "--json": self.add_json, "-u": self.add_user,
            "--user": self.add_user, "-A": self.header("user-agent"), "--user-agent": self.header("user-agent"),
            "-e": self.header("referer"), "--referer": self.header("referer"), "-b": self.header("cookie"),
            "--cookie": self.header("cookie"), "--oauth2-bearer": lambda token: self.headers.append(
                ("authorization", f"Bearer {token}")
            ),
        }  # fmt: skip


def from_curl(text: str) -> Inquiry:
    """Return the request that a command line would send. Raises InquiryError."""
    if _FOR_WINDOWS.search(text):
        raise InquiryError("the command was copied for the command prompt of Windows; copy it for bash")
    try:
        command = split(text)
    except ShellError as error:
        raise InquiryError(f"the curl command can't be read: {error}") from None
    words = command.words
    if not words or words[0].rpartition("/")[2] not in ("curl", "curl.exe"):
        raise InquiryError("a command that begins with `curl` is expected here")
    said = _read(words[1:])
    notes = tuple(
        f"`{one}` stands for something that only your shell knows, and is taken as it is written"
        for one in command.variables
    )
    return _inquiry(said, notes)


def _read(words: tuple[str, ...]) -> _Command:
    said = _Command()
    options = said.options()
    rest = list(reversed(words))
    while rest:
        word = rest.pop()
        if word in _FLAGS:
            continue
        if word in ("-G", "--get"):
            said.in_query = True
        elif word in ("-I", "--head"):
            said.method = "HEAD"
        elif word in options or word in _PASSED_OVER:
            if not rest:
                raise InquiryError(f"the option `{word}` of curl lacks its value")
            value = rest.pop()
            if word in options:
                options[word](value)
        elif word.startswith("--") or not word.startswith("-"):
            _long_or_url(word, said, rest)
        else:
            rest.extend(reversed(_short(word, options)))
    return said


def _long_or_url(word: str, said: _Command, rest: list[str]) -> None:
    name, equals, value = word.partition("=")
    if not word.startswith("-"):
        said.state_url(word)
    elif equals and name in (*said.options(), *_PASSED_OVER):
        rest.extend((value, name))
    else:
        raise _unknown(name)


def _short(word: str, options: Mapping[str, object]) -> list[str]:
    """Return short options that were written together, one by one: `-sSXPOST` is `-s -S -X POST`."""
    first, rest = word[:2], word[2:]
    if first in (*_FLAGS, "-G", "-I") and rest:
        return [first, f"-{rest}"]
    if (first in options or first in _PASSED_OVER) and rest:
        return [first, rest]
    raise _unknown(word)


def _unknown(option: str) -> InquiryError:
    if option in ("-F", "--form", "--form-string", "-T", "--upload-file"):
        return InquiryError(f"the option `{option}` of curl sends files, which are not read here; ask with a recording")
    return InquiryError(f"the option `{option}` of curl is not known here; leave it out if it does not matter")


def _refuse_file(text: str, option: str) -> None:
    if text.startswith("@"):
        raise InquiryError(f"`{option} {text}` reads a file, which is not done here; put the file's text in its place")


def _inquiry(said: _Command, notes: tuple[str, ...]) -> Inquiry:
    if said.url is None:
        raise InquiryError("the curl command has no URL")
    address = said.url if "://" in said.url else f"http://{said.url}"
    try:
        url = urlsplit(address)
        host = url.hostname
    except ValueError:
        raise InquiryError(f"`{said.url}` is no URL") from None
    query = url.query
    body = ("" if said.is_json else "&").join(said.data)
    if said.in_query:
        query, body = "&".join(part for part in (query, body) if part), ""
    has_body = bool(said.data) and not said.in_query
    headers = list(said.headers)
    names = {name for name, _ in headers}
    if has_body and "content-type" not in names:
        headers.append(("content-type", _JSON if said.is_json else _FORM))
        if not said.is_json:
            notes += (f"curl says of `-d` that it is {_FORM}: for JSON add -H 'Content-Type: {_JSON}', or use --json",)
    data = body.encode("utf-8", "surrogatepass")
    line = Line(
        at_us=0,
        client_ip=NOWHERE,
        method=(said.method or ("POST" if has_body else "GET")).upper(),
        path=(url.path or "/") + (f"?{query}" if query else ""),
        headers=tuple(headers),
        body=data,
        bytes=len(data),
    )
    return Inquiry(line, host=host, notes=notes)
