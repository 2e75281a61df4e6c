"""The fields of a recording's line, each read with its type: what is wrong is one sentence that names the field.

A line is taken apart by hand, name by name, because two of its values are read in other ways than the rest: of `body`
the text counts, which is judged as the live fence judges a request's, and of `headers` every one that is given.
"""

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence

MOST = 10**15
"""No count of tokens or bytes is larger: above any call's, and exact in every reader's numbers."""
_BLANK = re.compile(r"[ \t\r\n]*")
_PLAIN_NAME = re.compile(r'"([^"\\\x00-\x1f]*)"[ \t\r\n]*:[ \t\r\n]*')
_COLON = re.compile(r"[ \t\r\n]*:[ \t\r\n]*")
_COMMA = re.compile(r"[ \t\r\n]*,[ \t\r\n]*")
_DECODER = json.JSONDecoder()
_PAIRS = json.JSONDecoder(object_pairs_hook=tuple)


class BrokenLineError(Exception):
    """The line of a recording says nothing that could be judged. The text says why, in a sentence."""


type Reader = Callable[[str, object], object]
"""Returns a value that has its type; it is told the field's name. Raises BrokenLineError."""
type Values = Mapping[str, tuple[object, str]]
"""Each value of a line by its name, and its text."""


def values_in(line: bytes) -> Values:
    """Return the values of a line, a JSON object. Raises BrokenLineError."""
    try:
        text = line.rstrip(b"\r\n").decode()
    except UnicodeDecodeError as error:
        raise BrokenLineError(f"it is not UTF-8: byte {error.start + 1} can't be decoded") from None
    try:
        return _values_in(text)
    except json.JSONDecodeError as error:
        raise BrokenLineError(f"it is not JSON: {error.msg.removesuffix(' at')} at column {error.colno}") from None
    except RecursionError:
        raise BrokenLineError("it is nested too deeply") from None
    except ValueError:  # Python reads no numbers of thousands of digits
        raise BrokenLineError("it holds a number that is too long") from None


def _values_in(text: str) -> Values:
    at = _after_blanks(text, 0)
    if at == len(text):
        raise BrokenLineError("it is empty")
    if text[at] != "{":
        raise BrokenLineError("it is no JSON object")
    found: dict[str, tuple[object, str]] = {}
    at = _after_blanks(text, at + 1)
    while found or not text.startswith("}", at):
        name, at = _name_in(text, at)
        if name in found:
            raise BrokenLineError(f"it gives `{name}` twice")
        value, end = (_PAIRS if name == "headers" else _DECODER).raw_decode(text, at)
        found[name] = (value, text[at:end])
        comma = _COMMA.match(text, end)
        if comma is None:
            at = _after_blanks(text, end)
            break
        at = comma.end()
    if not text.startswith("}", at):
        raise json.JSONDecodeError("Expecting ',' delimiter", text, at)
    if _after_blanks(text, at + 1) != len(text):
        raise json.JSONDecodeError("Extra data", text, at + 1)
    return found


def _name_in(text: str, at: int) -> tuple[str, int]:
    """Return a name, and where its value begins."""
    if plain := _PLAIN_NAME.match(text, at):
        return plain[1], plain.end()
    if not text.startswith('"', at):
        raise json.JSONDecodeError("Expecting property name enclosed in double quotes", text, at)
    name, end = _DECODER.raw_decode(text, at)
    colon = _COLON.match(text, end)
    if colon is None:
        raise json.JSONDecodeError("Expecting ':' delimiter", text, _after_blanks(text, end))
    return name, colon.end()


def _after_blanks(text: str, at: int) -> int:
    blank = _BLANK.match(text, at)
    return blank.end() if blank else at


def text_of(name: str, value: object) -> str:
    """Return a text. Raises BrokenLineError."""
    if not isinstance(value, str):
        raise _wrong(name, "a text", value)
    return value


def whole(name: str, value: object, *, most: int = MOST) -> int:
    """Return a whole number from 0 to `most`. Raises BrokenLineError."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise _wrong(name, f"a whole number from 0 to {most}", value)
    return value


def flag(name: str, value: object) -> bool:
    """Return true or false. Raises BrokenLineError."""
    if not isinstance(value, bool):
        raise _wrong(name, "true or false", value)
    return value


def unless_null(read: Reader) -> Reader:
    """Return what reads the same, or null."""
    return lambda name, value: None if value is None else read(name, value)


def each(read: Reader) -> Reader:
    """Return what reads a list of such values, as a tuple."""

    def read_each(name: str, value: object) -> tuple[object, ...]:
        if not isinstance(value, list):
            raise _wrong(name, "a list", value)
        return tuple(read(name, one) for one in value)

    return read_each


def fields_of(name: str, value: object, readers: Mapping[str, Reader]) -> dict[str, object]:
    """Return those fields of an object that are given; others are passed over. Raises BrokenLineError."""
    if not isinstance(value, dict):
        raise _wrong(name, "an object", value)
    return {field: read(f"{name}.{field}", value[field]) for field, read in readers.items() if field in value}


def seconds(name: str, value: object, *, before: int) -> float:
    """Return a time in seconds since 1970 that lies before another. Raises BrokenLineError."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise _wrong(name, "a number", value)
    if not 0 <= value < before:
        raise BrokenLineError(f"`{name}` is in seconds since 1970, and {_shown(value)} is none of this century's")
    return value


def headers_of(name: str, value: object) -> Sequence[tuple[str, str]]:
    """Return headers in the order given, their names in lower case. Raises BrokenLineError."""
    # Read in pairs, an object is a tuple of them, and an array still a list.
    if not isinstance(value, tuple):
        raise _wrong(name, "an object", value)
    return [(header.lower(), text_of(f"{name}.{header}", content)) for header, content in value]


def _wrong(name: str, expected: str, value: object) -> BrokenLineError:
    return BrokenLineError(f"`{name}` should be {expected}, not {_shown(value)}")


def _shown(value: object) -> str:
    """Return a value in few words, without the contents of a text: it may be a prompt, or a secret."""
    match value:
        case str():
            return "a text"
        case list():
            return "a list"
        case dict() | tuple():
            return "an object"
        case _:
            return json.dumps(value)[:40]
