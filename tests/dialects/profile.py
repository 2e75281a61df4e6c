"""What the contract test has to know of a dialect: `tests/dialects/NAME/profile.py` holds one as `PROFILE`."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from modelfence.core.dialect import Dialect

type Path_ = tuple[str, str]
"""A method and a path."""


def model_in_body(_path: str, raw: bytes) -> str:
    """Return the model that a plain reader finds in the body."""
    return str(json.loads(raw)["model"])


@dataclass(frozen=True)
class Profile:
    """One dialect."""

    dialect: Dialect
    calls: Sequence[Path_]
    """At least one of each operation, `unknown` included. Paths may take a model whose name is `m-1`."""
    bodies: st.SearchStrategy[dict[str, Any]]
    """Bodies that are likely, most of them right."""
    names: Sequence[str]
    """Of fields, in all places of a body."""
    model_of: Callable[[str, bytes], str] = model_in_body
    """Reads the model in path and body as a plain upstream would."""
    stream_type: str = "text/event-stream; charset=utf-8"
    stream_end: bytes = b"\n\n"
    """What every event ends with; empty where that can't be told."""
    arrays: frozenset[str] = frozenset()
    """Operations whose answer in plain JSON may turn out to be a stream, one array of events."""
    secret: str = "sk-1"
    """A credential of the fence's own, as settings hold it."""
    signs: bool = False
    """The fence's own credential is not sent, but signs the request."""

    def end_of(self, operation: str, content_type: str) -> bytes | None:
        """Return what a stream in answer to that ends with, None where there is none."""
        if content_type == self.stream_type:
            return self.stream_end
        return b"]" if content_type == "application/json" and operation in self.arrays else None

    def values(self) -> st.SearchStrategy[Any]:
        """Return any JSON, with names that the dialect may know."""
        return values(self.names)


def values(names: Sequence[str]) -> st.SearchStrategy[Any]:
    """Return any JSON with these names."""
    return st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-2, 10**18 - 1)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(names), inner, max_size=4),
        max_leaves=15,
    )


def profiles() -> dict[str, Profile]:
    """Return the profiles of all dialects, by name."""
    here = sorted(path.parent.name for path in Path(__file__).parent.glob("*/profile.py"))
    return {name: import_module(f"tests.dialects.{name}.profile").PROFILE for name in here}
