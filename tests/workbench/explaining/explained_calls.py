"""A folder with a policy, accounts, requests and a recording, as an author may have them, and calls to ask about."""

import json
import shutil
from pathlib import Path

from modelfence.core.call import key_digest
from modelfence.parts import shipped_policy

AT = "2026-03-02T12:00:00Z"
AT_S = 1772452800
KEYS = {name: f"sk-{name}-0123456789" for name in ("acme", "beta", "nobody")}
SECRET = "the seven blue herons"
ACCOUNTS = f"""\
accounts:
  - id: acme
    keys: ["{key_digest(KEYS["acme"])}"]
    status: active
    tier: verified
    country: US
    verified: 2026-01-10
    expires: 2027-01-10
    owners: [{{entity: holding, share: 0.5}}, {{country: US, share: 0.5}}]
    labels: {{plan: gold}}
  - id: beta
    keys: ["{key_digest(KEYS["beta"])}"]
    status: active
    tier: basic
entities:
  - {{id: holding, country: KP}}
"""


def request(key="acme", **changes) -> dict[str, object]:
    """Return a chat that asks for token probabilities."""
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": SECRET}], "logprobs": True, "max_tokens": 50}
    line = {
        "ts": AT_S, "client_ip": "8.8.8.8", "method": "POST", "path": "/v1/chat/completions",
        "headers": {"authorization": f"Bearer {KEYS[key]}", "content-type": "application/json"}, "body": body,
        "usage": {"input_tokens": 9, "output_tokens": 5},
    }  # fmt: skip
    return {name: value for name, value in (line | changes).items() if value is not ...}


def make(folder: Path) -> None:
    """Write everything."""
    shutil.copytree(shipped_policy().parent, folder / "policies")
    (folder / "shadow.yaml").write_text("version: 1\nmode: shadow\ninclude: [policies/default.yaml]\n")
    (folder / "accounts.yaml").write_text(ACCOUNTS)
    (folder / "request.json").write_text(json.dumps(request(), indent=2))
    (folder / "stranger.json").write_text(json.dumps(request("nobody")))
    (folder / "nowhere.json").write_text(json.dumps(request(client_ip=..., ts=...)))
    (folder / "day.jsonl").write_text((json.dumps(request()) + "\n") * 121)


ASKED = {
    "let_in": ("request.json",),
    "refused_by_country": ("request.json", "--client-ip", "175.45.176.1"),
    "unknown_account": ("stranger.json",),
    "unknown_fact": ("nowhere.json", "--at", AT),
    "throttled": ("day.jsonl", "--line", "121"),
    "shadow": ("request.json", "--policy", "shadow.yaml", "--country", "KP"),
}
"""What is asked of the command, beside policy and accounts."""
