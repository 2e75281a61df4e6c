"""A chain of lines: each has a number, the seal of the line before it, and a seal of its own over both and the rest.

    {"seq":8,"prev":"sha256:…", … ,"hash":"sha256:…"}

The seal is the SHA-256 of the line's bytes before `,"hash":`, or with a key their HMAC-SHA256 (RFC 2104). It is made
over bytes as they are written, not over what they mean: whoever checks it needs no canonical form of JSON.

What a chain can't show: without a key, whoever may write the file can make all seals anew from a line that he changed
to the end; with or without, he can remove the newest lines, along with the note of how many there were.
"""

import hashlib
import hmac
import re
from dataclasses import dataclass

_SEAL = r"(?:hmac-)?sha256:[0-9a-f]{64}"
_LINE = re.compile(
    rf'\{{"seq":([1-9][0-9]{{0,17}}),"prev":(?:null|"({_SEAL})"),[^\n]*,"hash":"({_SEAL})"\}}\n'.encode()
)
_HASH = b',"hash":"'
KEYED = "hmac-sha256:"
"""What the seal of a chain with a key begins with."""


@dataclass(frozen=True, slots=True)
class Link:
    """A line's number and seal: all that the next line needs of it. Number 0 is no line, before the first."""

    seq: int = 0
    seal: str | None = None


@dataclass(frozen=True, slots=True)
class Sealed:
    """A line that has the form of one: whether its seal fits is still to be seen."""

    link: Link
    prev: str | None
    text: bytes
    """What the seal is made over."""


@dataclass(frozen=True, slots=True)
class Seals:
    """What makes seals; with a key nobody else can."""

    key: bytes | None = None

    def of(self, text: bytes) -> str:
        """Return the seal over a text."""
        if self.key is None:
            return f"sha256:{hashlib.sha256(text).hexdigest()}"
        return f"{KEYED}{hmac.digest(self.key, text, 'sha256').hex()}"

    def next_line(self, after: Link, fields: bytes) -> tuple[bytes, Link]:
        """Return the line after another, with its end; `fields` are the members of a JSON object without its braces."""
        prev = "null" if after.seal is None else f'"{after.seal}"'
        text = b'{"seq":%d,"prev":%b,%b' % (after.seq + 1, prev.encode(), fields)
        seal = self.of(text)
        return b'%b,"hash":"%b"}\n' % (text, seal.encode()), Link(after.seq + 1, seal)

    def fit(self, line: Sealed) -> bool:
        """Say whether a line is as it was sealed."""
        return hmac.compare_digest(self.of(line.text), line.link.seal or "")


def read_line(line: bytes) -> Sealed | None:
    """Return a line, given with its end, or None for what does not have the form of one."""
    found = _LINE.fullmatch(line)
    if found is None:
        return None
    seq, prev, seal = found.groups()
    text = line[: found.start(3) - len(_HASH)]
    return Sealed(Link(int(seq), seal.decode()), None if prev is None else prev.decode(), text)
