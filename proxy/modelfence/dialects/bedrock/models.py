"""Which model a path of Bedrock's names, and what is asked of it: `/model/{id}/{action}`.

After the API reference of the Bedrock runtime. A path is known exactly or not at all. Bodies of `invoke` are the
model's own, so a family whose bodies are not read here is operation `unknown` there; `converse` is the same for all.

Why no ARNs: they hold a slash, and what an encoded slash is taken for differs. Such a path is refused on the way in.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import unquote

# Ids such as `us.anthropic.claude-sonnet-4-20250514-v1:0`; none begins with a dot, so none climbs.
_PATH = re.compile(r"/model/((?!\.)(?:[\w.:-]|%3[Aa])+)/([a-z-]+)", re.ASCII)
_ANYWHERE = r"(?:(?:us|eu|apac|jp|au|ca|sa|me|af|in|global)(?:-gov|-iso[a-z]*)?\.)?"
"""What the id of an inference profile over several regions begins with."""


class Action(StrEnum):
    CONVERSE = "converse"
    CONVERSE_STREAM = "converse-stream"
    INVOKE = "invoke"
    INVOKE_STREAM = "invoke-with-response-stream"
    COUNT = "count-tokens"


class Family(StrEnum):
    """Models whose bodies are alike."""

    ANTHROPIC = "anthropic"
    NOVA = "nova"
    TITAN = "titan"
    LLAMA = "llama"
    MISTRAL = "mistral"
    COHERE = "cohere"
    TITAN_EMBED = "titan-embed"
    COHERE_EMBED = "cohere-embed"


EMBEDDINGS = (Family.TITAN_EMBED, Family.COHERE_EMBED)
STREAMS = (Action.CONVERSE_STREAM, Action.INVOKE_STREAM)
_CONVERSE = (Action.CONVERSE, Action.CONVERSE_STREAM)
_FAMILIES: Mapping[Family, re.Pattern[str]] = {
    family: re.compile(_ANYWHERE + ids, re.ASCII)
    for family, ids in {
        Family.ANTHROPIC: r"anthropic\..+",
        # The other models of this name make pictures, films and speech.
        Family.NOVA: r"amazon\.nova-(?:2-)?(?:micro|lite|pro|premier)\b.*",
        Family.TITAN: r"amazon\.titan-t(?:ext|g1)-.+",
        Family.LLAMA: r"meta\.llama.+",
        Family.MISTRAL: r"mistral\..+",
        Family.COHERE: r"cohere\.command.+",
        Family.TITAN_EMBED: r"amazon\.titan-embed-.+",
        Family.COHERE_EMBED: r"cohere\.embed-.+",
    }.items()
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What a path asks for."""

    operation: str
    model: str
    action: Action
    family: Family | None
    """None of a model whose own bodies are not read here."""


def asked(method: str, path: str) -> Asked | None:
    """Return what a path asks for, None when it is none of those read here."""
    found = _PATH.fullmatch(path) if method == "POST" else None
    if found is None or found[2] not in Action:
        return None
    model, action = unquote(found[1]), Action(found[2])
    family = next((one for one, ids in _FAMILIES.items() if ids.fullmatch(model)), None)
    operation = _operation(action, family)
    return Asked(operation, model, action, family) if operation else None


def _operation(action: Action, family: Family | None) -> str:
    """Return the operation, empty when it is none that is read here."""
    if action is Action.COUNT:
        return "tokens"
    if action in _CONVERSE:
        return "chat"
    if family in EMBEDDINGS:
        return "embeddings" if action is Action.INVOKE else ""
    return "chat" if family is not None else ""
