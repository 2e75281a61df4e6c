"""A small recording, and two policies to compare on it."""

import json
from pathlib import Path
from typing import Any

from modelfence.core.call import key_digest

AT_S = 1_772_409_600
COUNTRIES = {"US": "8.8.4.4", "CA": "24.48.0.1", "DE": "88.198.1.1"}
OLD = """\
version: 1
tiers: [none, basic, verified]
lists:
  closed_models: [o3-deep-research]
access:
  - {id: customers, allow: kyc.status == "active"}
  - {id: closed-models, deny: request.model in lists.closed_models && kyc.tier < tier.verified}
throttle:
  - {id: requests, key: account.id, rate: 60 per hour, burst: 3}
"""
NEW = """\
version: 1
tiers: [none, basic, verified]
lists:
  closed_models: [o4-deep-research]
access:
  - {id: customers, allow: kyc.status == "active"}
  - {id: closed-models, deny: request.model in lists.closed_models && kyc.tier < tier.verified}
  - {id: not-from-germany, deny: client.country == "DE", message: Not there yet.}
reshape:
  - {id: short, when: kyc.tier < tier.verified, cap: {output_tokens: 1000}}
throttle:
  - {id: requests, key: account.id, rate: 60 per hour, burst: 2}
  - {id: tokens, key: account.id, unit: output_tokens, rate: 1000 per hour, when: request.operation == "embeddings"}
"""


def line(at_s: float = 0.0, account: str = "acme", country: str = "US", **changes: Any) -> bytes:
    """Return the line of a chat completion so many seconds after the first."""
    fields: dict[str, object] = {
        "ts": AT_S + at_s,
        "client_ip": COUNTRIES[country],
        "method": "POST",
        "path": "/v1/chat/completions",
        "headers": {"authorization": f"Bearer sk-{account}"},
        "body": {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]},
        "usage": {"input_tokens": 9, "output_tokens": 10},
    }
    return json.dumps(fields | changes).encode()


def asking(model: str) -> dict[str, Any]:
    """Return the change of a line that asks for another model."""
    return {"body": {"model": model, "messages": [{"role": "user", "content": "Hi"}]}}


def redacted(whole: bytes) -> bytes:
    """Return a line as the fence writes it without prompts."""
    fields = json.loads(whole)
    key = fields.pop("headers")["authorization"].removeprefix("Bearer ")
    reading = {"operation": "chat", "model": fields.pop("body")["model"], "input_tokens": 9}
    return json.dumps(
        fields | {"credential": key_digest(key), "provider": "openai", "reading": reading, "fingerprint": {}}
    ).encode()


def recording() -> list[bytes]:
    """Return a few hours of two customers and a stranger, with something for each kind of change."""
    return [
        line(0, label="app"),
        line(1, label="app"),
        line(2, label="app"),  # the third at once: NEW throttles it
        line(60, "globex", "DE", label="chat"),
        line(3_600, "globex", "DE", label="chat"),
        line(3_700, "globex", "CA", **asking("o3-deep-research"), label="chat"),  # OLD refuses the model
        line(3_800, "globex", "CA", **asking("o4-deep-research"), label="chat"),  # NEW does
        line(7_200, "globex", "DE", **asking("o3-deep-research"), label="chat"),  # both, each by its own rule
        line(7_300, "nobody", "CA"),
        line(7_400, "initech", "CA"),  # verified: NEW leaves its answers as they are
        line(7_500, path="/v1/embeddings", body={"model": "text-embedding-3-small", "input": "Hi"}),
        line(7_600, body={"messages": []}),  # malformed
    ]


def write_accounts(folder: Path) -> Path:
    """Write who may call, and return where."""
    tiers = {"acme": "basic", "globex": "basic", "initech": "verified"}
    accounts = [
        {"id": name, "keys": [key_digest(f"sk-{name}")], "status": "active", "tier": tier, "country": "US"}
        for name, tier in tiers.items()
    ]
    path = folder / "accounts.yaml"
    path.write_text(json.dumps({"accounts": accounts}))
    return path
