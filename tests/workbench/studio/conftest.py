"""A policy of a few rules in a folder of its own, and a studio for it."""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from tornado.httpclient import AsyncHTTPClient, HTTPRequest, HTTPResponse

from modelfence.listening import listen
from modelfence.settings import Settings
from modelfence.workbench.studio.protection import Identity
from modelfence.workbench.studio.questions import Named, Questions
from modelfence.workbench.studio.server import Studio
from modelfence.workbench.studio.workspace import Workspace

POLICY = """\
version: 1
include: [packs/regions.yaml]
tiers: [none, basic, verified]
access:
  - id: blocked-region
    deny: client.country in lists.blocked
    message: Not available in your region.
  - id: customers
    allow: kyc.tier >= tier.basic
reshape:
  - id: no-logits
    when: kyc.tier < tier.verified
    remove: [logprobs]
throttle:
  - id: per-account
    key: account.id
    rate: 60 per minute
"""
PACK = """\
version: 1
lists:
  blocked: [KP, IR]
"""


@dataclass
class Asking:
    """Asks a studio as its page does, or in other ways."""

    identity: Identity
    workspace: Workspace

    async def fetch(self, path: str, *, method: str = "GET", body: bytes | None = None, **headers: str) -> HTTPResponse:
        url = f"http://127.0.0.1:{self.identity.port}{path}"
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = HTTPRequest(url, method, named, body, allow_nonstandard_methods=True, follow_redirects=False)
        return await AsyncHTTPClient(force_instance=True).fetch(request, raise_error=False)

    async def ask(self, question: str, asked: object = None, **headers: str) -> tuple[int, Mapping[str, object]]:
        known = {"X_Studio_Token": self.identity.token, "Content_Type": "application/json"}
        body = json.dumps({} if asked is None else asked).encode()
        response = await self.fetch(f"/api/{question}", method="POST", body=body, **(known | headers))
        return response.code, json.loads(response.body)


@pytest.fixture
def policy(tmp_path) -> Path:
    (tmp_path / "packs").mkdir()
    (tmp_path / "policy.yaml").write_text(POLICY)
    (tmp_path / "packs" / "regions.yaml").write_text(PACK)
    return tmp_path / "policy.yaml"


@pytest.fixture
async def studio(policy) -> AsyncIterator[Asking]:
    """A studio that serves meanwhile."""
    listening = listen("127.0.0.1", 0)
    identity = Identity.at(listening.getsockname()[1])
    workspace = Workspace(policy)
    questions = Questions(Named(workspace, Settings()))
    server = Studio(listening, identity, questions)
    server.start()
    yield Asking(identity, workspace)
    questions.stop()
    await server.stop()
