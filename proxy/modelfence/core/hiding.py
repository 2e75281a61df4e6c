"""Taking what is not to be seen out of an answer, and leaving its shape, so that clients read it as before."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from modelfence.core.dialect import Json

_MOST_LEVELS = 64
_NOT_THE_MODELS_WORDS = frozenset(("arguments", "args", "input"))
"""What a tool is called with is the answer, whatever its names are."""


@dataclass(frozen=True, slots=True)
class Hidden:
    """Where an API shows what is to be hidden. Texts and lists become empty ones; nothing else changes."""

    fields: frozenset[str] = frozenset()
    """By these names anywhere."""
    of_type: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By these names in an object whose `type` is this."""
    flagged: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By these names in an object in which this is true."""
    events: tuple[str, ...] = ()
    """Events whose `type` begins so are left out."""


def without(value: Json, hidden: Hidden, levels: int = _MOST_LEVELS) -> Json:
    """Return a value with nothing of it to be seen. Raises RecursionError for one that is nested too deeply."""
    if not levels:
        raise RecursionError
    if isinstance(value, list):
        return [without(one, hidden, levels - 1) for one in value]
    if not isinstance(value, dict):
        return value
    kind = value.get("type")
    names = set(hidden.fields)
    if isinstance(kind, str):
        names.update(hidden.of_type.get(kind, ()))
    names.update(name for flag, flagged in hidden.flagged.items() if value.get(flag) is True for name in flagged)
    shown: dict[str, Json] = {}
    for name, one in value.items():
        if name in names and isinstance(one, str | list):
            shown[name] = type(one)()
        else:
            shown[name] = one if name in _NOT_THE_MODELS_WORDS else without(one, hidden, levels - 1)
    return shown


def is_left_out(value: Json, hidden: Hidden) -> bool:
    """Say whether an event shows nothing else."""
    kind = value.get("type") if isinstance(value, dict) else None
    return isinstance(kind, str) and bool(hidden.events) and kind.startswith(hidden.events)
