"""OpenAI's paths and what is done there.

Rule: a path is known exactly or not at all. An upstream may be laxer, and what the fence can't read is judged as
operation `unknown`. So is what reads or deletes a stored answer: nothing ties it to the call that was judged.
"""

import re
from urllib.parse import unquote

_OPERATIONS = {
    ("POST", "/v1/chat/completions"): "chat",
    ("POST", "/v1/completions"): "completion",
    ("POST", "/v1/responses"): "responses",
    ("POST", "/v1/responses/input_tokens"): "tokens",
    ("POST", "/v1/embeddings"): "embeddings",
    ("POST", "/v1/moderations"): "moderation",
    ("POST", "/v1/images/generations"): "image",
    ("POST", "/v1/images/edits"): "image",
    ("POST", "/v1/images/variations"): "image",
    ("POST", "/v1/audio/speech"): "audio",
    ("POST", "/v1/audio/transcriptions"): "audio",
    ("POST", "/v1/audio/translations"): "audio",
    ("POST", "/v1/batches"): "batch",
    ("GET", "/v1/batches"): "batch",
    ("POST", "/v1/files"): "files",
    ("GET", "/v1/files"): "files",
    ("POST", "/v1/uploads"): "files",
    ("POST", "/v1/fine_tuning/jobs"): "tuning",
    ("GET", "/v1/fine_tuning/jobs"): "tuning",
    ("GET", "/v1/models"): "models",
}
_ID = r"[\w-]{1,128}"
_BELOW = tuple(
    (operation, methods, re.compile(path, re.ASCII))
    for operation, methods, path in (
        ("batch", ("GET",), rf"/v1/batches/{_ID}"),
        ("batch", ("POST",), rf"/v1/batches/{_ID}/cancel"),
        ("files", ("GET", "DELETE"), rf"/v1/files/{_ID}"),
        ("files", ("GET",), rf"/v1/files/{_ID}/content"),
        ("files", ("POST",), rf"/v1/uploads/{_ID}/(?:parts|complete|cancel)"),
        ("tuning", ("GET",), rf"/v1/fine_tuning/jobs/{_ID}(?:/events|/checkpoints)?"),
        ("tuning", ("POST",), rf"/v1/fine_tuning/jobs/{_ID}/(?:cancel|pause|resume)"),
    )
)
# Names such as `ft:gpt-4o:acme` and `org/name`, whose slash stands escaped; none begins with a dot, so none climbs.
_NAME = r"(?!\.)(?:[\w.:~@+-]|%3[Aa]|%40|%2[Bb])+"
_MODEL_PATH = re.compile(rf"/v1/models/({_NAME}(?:%2[Ff]{_NAME})*)", re.ASCII)
_STEERS = ("/cancel", "/pause", "/resume")


def operation_of(method: str, path: str) -> str:
    """Return the operation a path stands for, `unknown` when it is none of those read here."""
    if known := _OPERATIONS.get((method, path)):
        return known
    if method == "GET" and _MODEL_PATH.fullmatch(path):
        return "models"
    return next((one for one, methods, below in _BELOW if method in methods and below.fullmatch(path)), "unknown")


def model_of(path: str) -> str:
    """Return the model that the path of a listing names, empty when it names none."""
    named = _MODEL_PATH.fullmatch(path)
    return unquote(named[1]) if named else ""


def only_looks(method: str, path: str) -> bool:
    """Say whether a call to batches, files or tuning brings nothing that a model would work on."""
    return method != "POST" or path.endswith(_STEERS)
