"""Gemini's paths: which model they name, and what they do with it.

After the Gemini API's reference, versions v1, v1beta and v1alpha. Rule: a path is known exactly or not at all.

Why only the colon may stand escaped: some clients escape it, and it is read alike by all. An escaped letter of a
model's name may be another name to whoever looks first. Tuned models, caches, files, batches and answers that are
worked out in the background are not read here.
"""

import re
from dataclasses import dataclass

_OPERATIONS = {
    "generateContent": "chat",
    "streamGenerateContent": "chat",
    "countTokens": "tokens",
    "embedContent": "embeddings",
    "batchEmbedContents": "embeddings",
}
_MODELS = r"/v1(?:beta|alpha)?/models"
_ID = r"(?P<model>[A-Za-z0-9][\w.-]{0,127})"
_ACTION_PATH = re.compile(rf"{_MODELS}/{_ID}(?::|%3[Aa])(?P<action>{'|'.join(_OPERATIONS)})", re.ASCII)
_MODEL_PATH = re.compile(rf"{_MODELS}(?:/{_ID})?", re.ASCII)
_OPENAI_PATH = re.compile(r"/v1beta/openai(?P<path>/(?:chat/completions|embeddings|models|models/[^/]+))")


@dataclass(frozen=True, slots=True)
class Place:
    """What a path of Gemini's own API stands for."""

    operation: str
    model: str = ""
    """Empty where the path names none."""
    action: str = ""
    """What is done with the model, in the API's own word."""

    @property
    def is_streamed(self) -> bool:
        """Say whether the answer comes as a stream."""
        return self.action == "streamGenerateContent"


NOWHERE = Place("unknown")


def place_of(method: str, path: str) -> Place:
    """Return what a path stands for."""
    if method == "POST" and (found := _ACTION_PATH.fullmatch(path)):
        return Place(_OPERATIONS[found["action"]], found["model"], found["action"])
    if method == "GET" and (found := _MODEL_PATH.fullmatch(path)):
        return Place("models", found["model"] or "")
    return NOWHERE


def openai_path(path: str) -> str | None:
    """Return where OpenAI's own API has what Gemini serves in OpenAI's words at this path; None elsewhere."""
    found = _OPENAI_PATH.fullmatch(path)
    return f"/v1{found['path']}" if found else None
