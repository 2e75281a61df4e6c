"""Azure OpenAI's API for the contract test."""

import json

from hypothesis import strategies as st
from tests.dialects.openai.profile import BODIES, NAMES
from tests.dialects.profile import Profile

from modelfence.dialects.azure.api import Azure

DEPLOYMENT = "/openai/deployments/m-1"


def model_in_path_or_body(path: str, raw: bytes) -> str:
    """Return the deployment that the path names, else the model that the body names."""
    segments = path.split("/")
    return segments[3] if segments[2] == "deployments" else str(json.loads(raw)["model"])


PROFILE = Profile(
    Azure(),
    [
        ("POST", f"{DEPLOYMENT}/chat/completions"),
        ("POST", f"{DEPLOYMENT}/completions"),
        ("POST", f"{DEPLOYMENT}/embeddings"),
        ("POST", "/openai/v1/chat/completions"),
        ("POST", "/openai/v1/responses"),
        ("POST", "/openai/v1/embeddings"),
        ("POST", "/openai/responses"),
        ("GET", "/openai/models"),
        ("GET", "/openai/deployments"),
        ("POST", "/openai/files"),
    ],
    # Half of the bodies name the deployment, as the SDK does; the others name another, as nobody should.
    st.builds(lambda body, is_deployment: body | ({"model": "m-1"} if is_deployment else {}), BODIES, st.booleans()),
    NAMES,
    model_of=model_in_path_or_body,
)
