"""Which fields of a body a dialect's reading comes from, found out by leaving each away and reading again.

So the dialect itself is what answers, and nothing here has to know the fields of eight APIs.
"""

import json
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from modelfence.core.call import Reading
from modelfence.core.dialect import MalformedRequestError
from modelfence.recording.lines import Line
from modelfence.replay.requests import Requests

MOST_FIELDS = 64
"""So many are left away, one at a time."""
LARGEST_BODY_BYTES = 256 << 10
"""A larger body is not read again."""
_READ = tuple(one.name for one in fields(Reading) if one.compare)


def fields_behind(line: Line, requests: Requests) -> Mapping[str, tuple[str, ...]]:
    """Return for each name of a reading the fields without which it would be another, dotted where they are nested."""
    body = _object_in(line)
    if body is None:
        return {}
    whole = requests.reading_of(line)
    found: dict[str, list[str]] = {}
    for path in _paths(body):
        reading = _reading(_without(body, path), line, requests) or _reading(_with_another(body, path), line, requests)
        for name in _READ if reading else ():
            if getattr(reading, name) != getattr(whole, name):
                found.setdefault(name, []).append(".".join(path))
    return {name: (name,) if name in paths else _innermost(paths) for name, paths in found.items()}


def _reading(body: dict[str, Any], line: Line, requests: Requests) -> Reading | None:
    """Return what is read in another body, None where it is none."""
    text = json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass")
    try:
        return requests.reading_of(replace(line, body=text, bytes=len(text)))
    except MalformedRequestError:
        return None


def _object_in(line: Line) -> dict[str, Any] | None:
    if line.reading is not None or not line.body or len(line.body) > LARGEST_BODY_BYTES:
        return None
    try:
        body = json.loads(line.body)
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _paths(body: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return each field, and each field of those that are objects."""
    nested = [(name, inner) for name, value in body.items() if isinstance(value, dict) for inner in value]
    return [*((name,) for name in body), *nested][:MOST_FIELDS]


def _without(body: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    first, *rest = path
    others = {name: value for name, value in body.items() if name != first}
    return {**others, first: _without(body[first], tuple(rest))} if rest else others


def _with_another(body: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    """Return the body with another text in a field, for one that can't be left away: a model, mostly."""
    first, *rest = path
    value = body[first]
    other = _with_another(value, tuple(rest)) if rest else f"{value}-" if isinstance(value, str) else value
    return {**body, first: other}


def _innermost(paths: list[str]) -> tuple[str, ...]:
    """Leave out an object where one of its own fields is named."""
    return tuple(path for path in paths if not any(other.startswith(f"{path}.") for other in paths))
