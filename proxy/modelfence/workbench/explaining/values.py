"""Values of facts and conditions as people read them: short, in the words of the policy, and harmless to a terminal."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from modelfence.core.policy import Unknown

UNKNOWN = "unknown"
NOT_LOGGED = "not in the log"
"""The reason of an `Unknown` of which an audit log does not even say that it was unknown."""
ITEMS_SHOWN = 8
TIER = "kyc.tier"


def shown(value: object, *, longest: int = 60) -> str:
    """Return a value in at most so many characters."""
    return cut(_words(value), longest)


def of_fact(name: str, value: object, tiers: Sequence[str] = (), *, longest: int = 60) -> str:
    """Return the value of a name that conditions use, with the name of the tier that a number stands for."""
    words = shown(value, longest=longest)
    is_tier = name == TIER and isinstance(value, int) and 0 <= value < len(tiers)
    return f"{words} ({tiers[value]})" if is_tier and isinstance(value, int) else words


def cut(text: str, longest: int) -> str:
    """Return a text that fits, without what would steer a terminal."""
    plain = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
    return plain if len(plain) <= longest else plain[: longest - 1] + "…"


def _words(value: object) -> str:  # noqa: PLR0911 - one for each type
    match value:
        case Unknown() | None:
            return NOT_LOGGED if isinstance(value, Unknown) and value.reason == NOT_LOGGED else UNKNOWN
        case bool():
            return "true" if value else "false"
        case float():
            return f"{value:.6g}"
        case str():
            return json.dumps(value, ensure_ascii=False)
        case datetime():
            return f"{value:%Y-%m-%d %H:%M:%S} UTC"
        case timedelta():
            return f"{value.total_seconds():g} s"
        case Mapping():
            return "{" + ", ".join(_some([f"{name}: {_item(one)}" for name, one in value.items()])) + "}"
        case Sequence():
            return "[" + ", ".join(_some([_item(one) for one in value])) + "]"
        case _:
            return str(value)


def _item(value: object) -> str:
    """Return a value inside a list or a map, where a text goes without quotes as it does in YAML."""
    return value if isinstance(value, str) and value else _words(value)


def _some(words: Sequence[str]) -> Sequence[str]:
    if len(words) <= ITEMS_SHOWN:
        return words
    return [*words[: ITEMS_SHOWN - 1], f"… {len(words)} in all"]
