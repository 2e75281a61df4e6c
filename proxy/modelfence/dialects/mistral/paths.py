"""Mistral's paths. Rule: a path is known exactly or not at all."""

import re

CHAT = "/v1/chat/completions"
AGENTS = "/v1/agents/completions"
MODERATIONS = "/v1/moderations"
CHAT_MODERATIONS = "/v1/chat/moderations"
BATCHES = "/v1/batch/jobs"
TUNING = "/v1/fine_tuning/jobs"
LISTINGS = frozenset((("GET", BATCHES), ("GET", TUNING)))
"""Calls whose query may name a model: only jobs of that model are shown."""
_ID = r"(?!\.)[\w.:-]{1,128}"
MODEL_PATH = re.compile(rf"/v1/models/({_ID})", re.ASCII)
_OPERATIONS = {
    ("POST", CHAT): "chat",
    ("POST", AGENTS): "chat",
    ("POST", "/v1/fim/completions"): "completion",
    ("POST", "/v1/embeddings"): "embeddings",
    ("POST", MODERATIONS): "moderation",
    ("POST", CHAT_MODERATIONS): "moderation",
    ("GET", "/v1/models"): "models",
    ("GET", BATCHES): "batch",
    ("POST", BATCHES): "batch",
    ("GET", "/v1/files"): "files",
    ("POST", "/v1/files"): "files",
    ("GET", TUNING): "tuning",
    ("POST", TUNING): "tuning",
}
_OPERATIONS_OF_ONE = (
    ("models", ("GET",), MODEL_PATH),
    ("batch", ("GET", "DELETE"), re.compile(rf"/v1/batch/jobs/{_ID}", re.ASCII)),
    ("batch", ("POST",), re.compile(rf"/v1/batch/jobs/{_ID}/cancel", re.ASCII)),
    ("files", ("GET", "DELETE"), re.compile(rf"/v1/files/{_ID}", re.ASCII)),
    ("files", ("GET",), re.compile(rf"/v1/files/{_ID}/(?:content|url)", re.ASCII)),
    ("tuning", ("GET",), re.compile(rf"/v1/fine_tuning/jobs/{_ID}", re.ASCII)),
    ("tuning", ("POST",), re.compile(rf"/v1/fine_tuning/jobs/{_ID}/(?:cancel|start)", re.ASCII)),
)


def operation_of(method: str, path: str) -> str:
    """Return the operation a path stands for, `unknown` when it is none of those read here."""
    if known := _OPERATIONS.get((method, path)):
        return known
    for operation, methods, pattern in _OPERATIONS_OF_ONE:
        if method in methods and pattern.fullmatch(path):
            return operation
    return "unknown"


def begins_work(method: str, path: str) -> bool:
    """Say whether a call of a batch, of files or of tuning has something done that the call itself does not show."""
    return method == "POST" and not path.endswith("/cancel")
