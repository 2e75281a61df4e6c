"""Who calls in a simulated recording, and how: scenarios as values. README.md describes the file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import yaml

OWN = Path(__file__).parent / "scenario.yaml"


@dataclass(frozen=True, slots=True)
class Frame:
    """A text that stands around what is asked."""

    of: str
    """A file of prompts."""
    name: str = ""
    """The text of that name; the first when it is left out."""
    place: Literal["system", "before", "after", "first", "last"] = "system"
    """Before or after what is asked, in the same message; or in a message of its own, before it or after."""
    per: Literal["class", "account", "call", "time"] = "class"
    """Who has one: the whole class, each account its own, each call one of `variants`, or each call a new one."""
    variants: int = 0
    """So many texts of the file are chosen from; all when it is left out."""
    times: int = 1
    """So many texts in a row; of use for padding."""


@dataclass(frozen=True, slots=True)
class Mix:
    """What else the accounts of a class ask, without its frames."""

    share: float
    asks: str
    continues: float = 0.0


@dataclass(frozen=True, slots=True)
class CallerClass:
    """Accounts that call alike. Its label begins with `benign:` or `attack:`."""

    label: str
    accounts: int
    calls: int | Sequence[int]
    """Of each account; between two numbers, small ones are more likely."""
    asks: str
    """A file of prompts."""
    arrival: Literal["person", "even", "burst"] = "person"
    begins: float = 0.0
    """Hours after the recording's start."""
    tier: str = "basic"
    frames: Sequence[Frame] = ()
    continues: float = 0.0
    """How likely a call goes on in the conversation of the one before."""
    made_up_turns: Sequence[int] = (0, 0)
    """Between so many and so many turns are made up before each question."""
    distinct: int = 0
    """So many different things are asked; without it, whatever the texts allow, and by a campaign nothing twice."""
    mix: Mix | None = None
    answer: int = 140
    """Tokens: half of the answers are longer."""
    addresses: int = 1
    model: str = "large"
    body: Mapping[str, Any] | None = None

    @property
    def is_attack(self) -> bool:
        """Say whether it is a campaign."""
        return self.label.startswith("attack:")


@dataclass(frozen=True, slots=True)
class Scenario:
    """A recording in the making."""

    seed: int
    start: datetime
    hours: int
    classes: Sequence[CallerClass]


def read_scenario(path: Path = OWN) -> Scenario:
    """Read a scenario file: YAML, of which JSON is a part. A key that nobody knows is a TypeError."""
    given = yaml.safe_load(path.read_text(encoding="utf8"))
    classes = [_caller_class(one) for one in given["classes"]]
    return Scenario(given["seed"], datetime.fromisoformat(given["start"]), given["hours"], classes)


def _caller_class(given: Mapping[str, Any]) -> CallerClass:
    parts = dict(given)
    frames = tuple(Frame(**frame) for frame in parts.pop("frames", ()))
    mix = parts.pop("mix", None)
    return CallerClass(**parts, frames=frames, mix=Mix(**mix) if mix else None)
