"""JSON that can be read in one way only.

A fence and the API behind it must see the same request. Readers of JSON differ in what they make of repeated keys
(first or last), of keys that differ only in case (Go's folds them), of numbers beyond 64 bits, of lone surrogates
and of deep nesting. Rule: whatever two common readers could read differently is refused, with a sentence its sender
can act on; what is accepted equals what `json.loads` reads.
"""

import json
import math
import re
from collections.abc import Sequence
from typing import Never

from modelfence.core.dialect import Json, MalformedRequestError

MAX_DEPTH = 128
MAX_VALUES = 100_000
"""Objects and arrays. A body of 20 MB has room for millions, and reading them would hold up every other call."""
MAX_NAMES = 2 * MAX_VALUES
"""Of all objects together, for the same reason."""
MAX_DIGITS = 18
"""An integer of so many digits fits into 64 bits, signed."""
_BOM = b"\xef\xbb\xbf"
_DIGITS_ALIKE = bytes.maketrans(b"123456789", b"000000000")
_TEXT = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
"""One that nobody has ended goes on to the end of the body, so that none is looked at twice."""
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def parse(body: bytes) -> Json:
    """Return the value of a body, or raise MalformedRequestError saying what is ambiguous or wrong in it."""
    if body.startswith(_BOM):
        message = "The request body begins with a byte order mark; send plain UTF-8."
        raise MalformedRequestError(message)
    brackets = _brackets_in(body)
    if brackets > MAX_VALUES or body.count(b":") > MAX_NAMES:
        _refuse_too_many(_TEXT.sub(b"", body))
    try:
        value: Json = _decoder_for(body).decode(body.decode())
    except UnicodeDecodeError as error:
        message = f"The request body is not UTF-8: byte {error.start + 1} can't be decoded."
        raise MalformedRequestError(message) from None
    except json.JSONDecodeError as error:
        what = error.msg.removesuffix(" at")
        message = f"The request body is not valid JSON: {what} at line {error.lineno}, column {error.colno}."
        raise MalformedRequestError(message) from None
    except RecursionError:
        raise _too_deep() from None
    # Fewer brackets than levels can't be too deep, whatever they enclose.
    if brackets > MAX_DEPTH and _deeper_than(MAX_DEPTH, value):
        raise _too_deep()
    if _SURROGATE.search(body):
        _refuse_lone_surrogates(value)
    return value


def _brackets_in(body: bytes) -> int:
    return body.count(b"[") + body.count(b"{")


def _refuse_too_many(body: bytes) -> None:
    """Refuse a body, given without its texts, that would take too long to read."""
    for count, most, what in (
        (_brackets_in(body), MAX_VALUES, "objects and arrays"),
        (body.count(b":"), MAX_NAMES, "names in objects"),
    ):
        if count > most:
            raise MalformedRequestError(f"The request body holds more than {most} JSON {what}.", status=413)


def _object(pairs: Sequence[tuple[str, Json]]) -> dict[str, Json]:
    entries = dict(pairs)
    if len(entries) != len(pairs):
        raise _given_twice([key for key, _ in pairs])
    names = "".join(entries)
    # Lower case ASCII, as almost every object's names are, can't differ in case only.
    if not (names.isascii() and names.islower()) and len({key.casefold() for key in entries}) != len(entries):
        raise _differ_in_case(list(entries))
    return entries


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS and len(digits.lstrip("-")) > MAX_DIGITS:
        message = f"The request body holds a number that is too large: {_shown(digits)}."
        raise MalformedRequestError(message)
    return int(digits)


def _number(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        message = f"The request body holds a number that is too large: {_shown(digits)}."
        raise MalformedRequestError(message)
    return value


def _constant(name: str) -> Never:
    message = f"The request body is not valid JSON: {name} is no JSON number."
    raise MalformedRequestError(message)


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_float=_number, parse_constant=_constant)
_DECODER_OF_LARGE = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_number, parse_constant=_constant
)


def _decoder_for(body: bytes) -> json.JSONDecoder:
    """Return the decoder for a body; looking at each integer makes an array of token ids three times as dear."""
    has_large = b"0" * (MAX_DIGITS + 1) in body.translate(_DIGITS_ALIKE)
    return _DECODER_OF_LARGE if has_large else _DECODER


def _deeper_than(levels: int, value: Json) -> bool:
    nested = [value]
    for _ in range(levels):
        nested = [
            child
            for parent in nested
            if isinstance(parent, list | dict)
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, list | dict)
        ]
        if not nested:
            return False
    return True


def _refuse_lone_surrogates(value: Json) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        message = "The request body holds half of a surrogate pair (\\ud800 to \\udfff), which is no character."
        raise MalformedRequestError(message) from None


def _too_deep() -> MalformedRequestError:
    return MalformedRequestError(f"The request body is nested more than {MAX_DEPTH} levels deep.")


def _given_twice(keys: Sequence[str]) -> MalformedRequestError:
    seen: set[str] = set()
    for key in keys:
        if key in seen:
            break
        seen.add(key)
    return MalformedRequestError(f"The request body gives {_quoted(key)} twice in one object.")


def _differ_in_case(keys: Sequence[str]) -> MalformedRequestError:
    first_by_folded: dict[str, str] = {}
    for key in keys:
        first = first_by_folded.setdefault(key.casefold(), key)
        if first != key:
            break
    return MalformedRequestError(
        f"The request body gives {_quoted(first)} and {_quoted(key)} in one object, which differ only in case."
    )


def _quoted(name: str) -> str:
    # Escaped, so that a name never breaks the answer that tells of it.
    return "'" + json.dumps(name[:40])[1:-1] + "'"


def _shown(digits: str) -> str:
    return digits if len(digits) <= 2 * MAX_DIGITS else digits[:MAX_DIGITS] + "..."
