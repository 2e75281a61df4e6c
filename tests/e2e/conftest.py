"""The whole fence on loopback: a stand-in API, a gateway in front of it, and accounts of four kinds."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest

from modelfence.core.call import key_digest
from modelfence.core.upstream import Upstream
from modelfence.demo.standin_api import StandInApi
from modelfence.enforcement.ports import Observer
from modelfence.listening import bind
from modelfence.settings import Address, Limits, Settings
from modelfence.wiring import Gateway

OWN_DATABASE = 9
"""Of the Redis server that all tests share."""
PATIENT = Limits(store_ms=2_000, directory_ms=2_000)
"""What a store may take where that is not what is tested: the machine may have much else to do."""
ANY_PORT = Address("127.0.0.1", 0)

POLICY = """\
version: 1
lists:
  embargoed: [KP]
  reserved: [o3-deep-research]
access:
  - id: embargoed-region
    deny: client.country in lists.embargoed
    message: This service is not available in your region.
  - id: reserved-models
    deny: request.model in lists.reserved && kyc.tier < tier.verified
    message: Verify your organisation to use this model.
  - id: owned-from-embargoed
    deny: kyc.tier >= tier.verified && kyc.owned_by.embargoed > 0.5
    message: This service is not available to your organisation.
  - id: active-customers
    allow: kyc.status == "active" && kyc.tier >= tier.basic && request.operation != "unknown"
reshape:
  - id: no-logits
    when: kyc.tier < tier.enhanced
    remove: [logprobs, logit_bias]
throttle:
  - id: requests-per-account
    key: account.id
    rate: 6 per hour
    message: Six calls an hour, please.
  - id: tokens-per-account
    when: kyc.tier >= tier.verified
    key: account.id
    unit: output_tokens
    rate: 2000 per hour
"""

ACCOUNTS = f"""\
accounts:
  - id: acme
    keys: ["{key_digest("sk-acme")}"]
    status: active
    tier: verified
    owners: [{{country: US, share: 1.0}}]
  - id: newcomer
    keys: ["{key_digest("sk-newcomer")}"]
    status: active
    tier: basic
  - id: holding
    keys: ["{key_digest("sk-holding")}"]
    status: active
    tier: verified
    owners: [{{entity: front, share: 0.9}}]
  - id: undisclosed
    keys: ["{key_digest("sk-undisclosed")}"]
    status: active
    tier: verified
  - id: lapsed
    keys: ["{key_digest("sk-lapsed")}"]
    status: active
    tier: enhanced
    expires: 2020-01-01
entities:
  - {{id: front, country: SG, owners: [{{country: KP, share: 0.8}}]}}
"""

type StartGateway = Callable[..., Awaitable[Gateway]]


@pytest.fixture
async def api() -> AsyncIterator[StandInApi]:
    """The stand-in API, listening."""
    standing_in = StandInApi(bind("stand-in", ANY_PORT))
    standing_in.start()
    yield standing_in
    await standing_in.stop()


@pytest.fixture
async def start(api: StandInApi, tmp_path: Path) -> AsyncIterator[StartGateway]:
    """Starts a gateway in front of the stand-in API; every gateway is stopped at the end."""
    (tmp_path / "policy.yaml").write_text(POLICY)
    (tmp_path / "accounts.yaml").write_text(ACCOUNTS)
    host, port = api.url.removeprefix("http://").split(":")
    settings = Settings(
        listen=ANY_PORT,
        admin=ANY_PORT,
        policy=tmp_path / "policy.yaml",
        accounts=tmp_path / "accounts.yaml",
        trusted_proxies=(ip_network("127.0.0.0/8"),),
        upstreams=(Upstream("openai", "openai", "http", host, int(port), secret="sk-upstream"),),
        limits=PATIENT,
    )
    async with AsyncExitStack() as running:

        async def started(*observers: Observer, **changes: object) -> Gateway:
            gateway = Gateway(replace(settings, **changes), observers=observers)  # type: ignore[arg-type]
            await gateway.start()
            running.push_async_callback(gateway.stop)
            return gateway

        yield started


@pytest.fixture(params=["memory", "redis"])
def store(request: pytest.FixtureRequest) -> str:
    """Each store in turn, empty."""
    if request.param == "memory":
        return "memory"
    server = request.getfixturevalue("redis_server")
    with server.client() as client:
        client.select(OWN_DATABASE)
        client.flushdb()
    return f"{server.url}/{OWN_DATABASE}"
