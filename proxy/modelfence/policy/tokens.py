"""Where the names of a CEL condition stand.

CEL says what is wrong at a column of its own choosing, often in the middle of a name or at a bracket. To point at the
beginning of the offending name, and to know which facts a condition reads, its text is cut into tokens here. The
grammar is that of the CEL specification, "Syntax", https://github.com/google/cel-spec/blob/master/doc/langdef.md.

Rule: nothing here judges; a text that CEL would refuse is cut up all the same.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""
      (?P<blank> [ \t\r\n\f]+ | //[^\n]* )
    | (?P<string> [bB]?[rR][bB]?(?: \"{3}.*?\"{3} | '{3}.*?'{3} | "[^"\n\r]*" | '[^'\n\r]*' )
                | [bB]?(?: \"{3}(?:\\.|.)*?\"{3} | '{3}(?:\\.|.)*?'{3}
                         | "(?:\\[^\n\r]|[^"\\\n\r])*" | '(?:\\[^\n\r]|[^'\\\n\r])*' ) )
    | (?P<name> [A-Za-z_][A-Za-z0-9_]* | `[^`\n]+` )
    | (?P<number> 0[xX][0-9a-fA-F]+[uU]? | (?: \d+(?:\.\d+)? | \.\d+ )(?:[eE][+-]?\d+)?[uU]? )
    | (?P<operator> [=!<>]= | && | \|\| | . )
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of a condition, and the offset it begins at."""

    kind: str
    """string, name, number or operator."""
    text: str
    start: int

    @property
    def end(self) -> int:
        """Return the offset after the token."""
        return self.start + len(self.text)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a name stands in a condition."""

    start: int
    end: int
    called: bool
    """An opening bracket follows: it is the name of a function."""

    def distance(self, offset: int) -> int:
        """Return how far an offset lies outside; 0 within, and right after the name."""
        return max(self.start - offset, offset - self.end, 0)


def tokens(source: str) -> tuple[Token, ...]:
    """Return the tokens of a condition without white space and comments."""
    return tuple(
        Token(match.lastgroup or "", match.group(), match.start())
        for match in _TOKEN.finditer(source)
        if match.lastgroup != "blank"
    )


def dotted_names(parts: Sequence[Token]) -> Iterator[tuple[str, ...]]:
    """Yield each name with what is selected from it: `a.b.c` of `a . b.c(1) + x[0].d`, and `x`."""
    at = 0
    while at < len(parts):
        if parts[at].kind != "name" or _is_selected(parts, at):
            at += 1
            continue
        found = [_bare(parts[at])]
        while at + 2 < len(parts) and parts[at + 1].text == "." and parts[at + 2].kind == "name":
            found.append(_bare(parts[at + 2]))
            at += 2
        yield tuple(found)
        at += 1


def place_of(name: str, parts: Sequence[Token], *, near: int) -> Place | None:
    """Return where a dotted name stands, the occurrence nearest to an offset; None when it is nowhere."""
    wanted = name.lstrip(".").split(".")
    span = 2 * len(wanted) - 1
    found = []
    for at in range(len(parts) - span + 1):
        piece = parts[at : at + span]
        if [_bare(token) for token in piece[::2]] == wanted and all(dot.text == "." for dot in piece[1::2]):
            called = at + span < len(parts) and parts[at + span].text == "("
            found.append(Place(piece[0].start, piece[-1].end, called))
    return min(found, key=lambda place: place.distance(near), default=None)


def _bare(token: Token) -> str:
    return token.text.strip("`")


def _is_selected(parts: Sequence[Token], at: int) -> bool:
    """Say whether a name is a field of what stands before it. A dot at the beginning of a name selects nothing."""
    if at < 2 or parts[at - 1].text != ".":  # noqa: PLR2004 - a value and a dot
        return False
    before = parts[at - 2]
    return before.kind in ("name", "string", "number") or before.text in (")", "]", "}")
