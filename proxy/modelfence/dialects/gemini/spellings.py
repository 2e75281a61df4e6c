"""The names of Gemini's fields, each of which Google's servers read in two spellings.

After Protocol Buffers' JSON mapping: `maxOutputTokens` and `max_output_tokens` are one field. Where an API takes
several of something, its servers also take a single one without the brackets. Rule: a field that is given twice, or
spelt in a third way, is refused.
"""

import re
from collections.abc import Iterable, Mapping

from modelfence.core.dialect import Json, MalformedRequestError
from modelfence.dialects.shared.fields import Body, wrong_type

_CAPITAL = re.compile(r"(?=[A-Z])")


class Names:
    """The fields that are read in one kind of object, named as the reference does."""

    def __init__(self, *names: str) -> None:
        self._by_plain = {_plain(name): name for name in names}

    def read(self, body: Body) -> Body:
        """Return the object with these fields named as the reference does. Raises MalformedRequestError."""
        found: Body = {}
        for given, value in body.items():
            name = self._by_plain.get(_plain(given), given)
            if given not in spellings(name):
                raise MalformedRequestError(f"Unknown name '{given}'. Did you mean '{name}'?")
            if name in found:
                raise MalformedRequestError(f"The field '{name}' is given twice, in two spellings.")
            found[name] = value
        return found


def spellings(name: str) -> tuple[str, str]:
    """Return both spellings of a field, that of the reference first."""
    return name, _CAPITAL.sub("_", name).lower()


def given_name(body: Mapping[str, Json], name: str) -> str:
    """Return how a field is spelt in an object; as the reference does when it is not there."""
    return next((spelt for spelt in spellings(name) if spelt in body), name)


def several(body: Body, name: str) -> list[Body]:
    """Return one or several objects, none when absent."""
    value = body.get(name)
    if value is None:
        return []
    entries: Iterable[Json] = value if isinstance(value, list) else [value]
    found: list[Body] = []
    for place, entry in enumerate(entries):
        if not isinstance(entry, dict):
            where = f"{name}[{place}]" if isinstance(value, list) else name
            raise wrong_type(where, "an object", entry)
        found.append(entry)
    return found


def _plain(name: str) -> str:
    return name.replace("_", "").lower()
