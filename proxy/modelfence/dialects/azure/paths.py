"""Azure's paths, and the path under which OpenAI's own API does the same.

After Azure OpenAI's REST reference: the dated API, in which a deployment stands in the path, and the v1 API, in which
the body names it. Rule: a path is known exactly or not at all.

Why no escapes in a deployment's name: it is made of letters, digits, `-`, `_` and `.`, none of which needs one. What
is escaped all the same may be another name to whoever looks first, so the operation is `unknown`.
"""

import re
from dataclasses import dataclass

_DEPLOYMENT_PATH = re.compile(
    r"/openai/deployments/(?P<deployment>(?!\.)[\w.-]{1,64})(?P<rest>/chat/completions|/completions|/embeddings)",
    re.ASCII,
)
_V1_PATH = re.compile(r"/openai(?P<path>/v1/(?:chat/completions|completions|responses|embeddings|models(?:/[^/]+)?))")
_DATED_PATH = re.compile(r"/openai(?P<rest>/responses|/models(?:/[^/]+)?)")
_DEPLOYMENTS = re.compile(r"/openai/deployments(?P<rest>/(?!\.)[\w.-]{1,64})?", re.ASCII)
_UNKNOWN = "/"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a path leads."""

    path: str
    """What OpenAI's API serves there; `/`, where it serves nothing, for a path that is not known."""
    deployment: str | None = None
    """The deployment that the path names; None where the body names it."""


def place_of(path: str) -> Place:
    """Return where a path leads."""
    if found := _DEPLOYMENT_PATH.fullmatch(path):
        return Place("/v1" + found["rest"], found["deployment"])
    if found := _V1_PATH.fullmatch(path):
        return Place(found["path"])
    if found := _DATED_PATH.fullmatch(path):
        return Place("/v1" + found["rest"])
    if found := _DEPLOYMENTS.fullmatch(path):
        return Place("/v1/models" + (found["rest"] or ""))
    return Place(_UNKNOWN)
