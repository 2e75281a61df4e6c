"""The demo's callers: who they are, what they ask for, and what the shipped policy makes of it."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass

from tornado.httpclient import AsyncHTTPClient, HTTPRequest

from modelfence.core.call import key_digest
from modelfence.core.decision import Effect

DEADLINE_S = 20.0
AT_ONCE = 8
"""Calls one caller has under way at a time."""
_TEMPLATE = (
    "You are a patient teacher. Solve the task that follows in numbered steps, name the rule that each of them uses, "
    "and close with three more tasks of the same kind, each a little harder than the last. Task {n}: {n} wagons"
)
"""What one program asks for all accounts of a campaign, each time of something else."""


@dataclass(frozen=True, slots=True)
class Caller:
    """One sample caller. The address is one that the bundled database places in the country."""

    name: str
    wants: str
    address: str
    country: str
    tier: str | None
    """None has no account."""
    model: str = "gpt-4o"
    stream: bool = False
    calls: int = 6
    fate: Effect = Effect.ALLOW
    """What the policy makes of at least one of its calls, and of all of them unless it is over its rate."""
    rule: str = "active-customers"
    status: str = "active"
    accounts: int = 1
    """Over how many its calls are spread, one after the other."""
    asks: str = "Hello from {name}"
    """With `{n}` for the number of the call."""
    max_tokens: int | None = None

    @property
    def key(self) -> str:
        """Return the API key the caller sends first."""
        return f"sk-demo-{self.name}"

    @property
    def names(self) -> Sequence[str]:
        """Return the names of its accounts."""
        return [self.name, *(f"{self.name}-{n}" for n in range(2, self.accounts + 1))]

    def body(self, n: int) -> str:
        """Return its call of that number."""
        asked = {"role": "user", "content": self.asks.format(name=self.name, n=n)}
        limit = {} if self.max_tokens is None else {"max_tokens": self.max_tokens}
        return json.dumps({"model": self.model, "messages": [asked], "stream": self.stream, **limit})


CALLERS: Sequence[Caller] = (
    Caller("acme", "chats", "8.8.8.8", "US", "verified"),
    Caller("berlin-labs", "streams answers", "91.0.0.7", "DE", "basic", stream=True),
    Caller("sakura", "does research", "133.20.1.9", "JP", "enhanced", model="o3-deep-research"),
    Caller(
        "newcomer", "wants a reserved model", "86.128.3.4", "GB", "basic", model="o3-deep-research",
        fate=Effect.DENY, rule="deep-research-needs-verification",
    ),
    Caller(
        "traveller", "is in an embargoed land", "175.45.176.1", "KP", "verified",
        fate=Effect.DENY, rule="embargoed-region",
    ),
    Caller(
        "paused", "account is suspended", "81.128.9.9", "GB", "verified", status="suspended",
        fate=Effect.DENY, rule="",
    ),
    Caller("stranger", "has no account", "12.5.6.7", "US", None, fate=Effect.DENY, rule=""),
    Caller(
        "hasty", "calls without a pause", "177.8.1.2", "BR", "basic", calls=150,
        fate=Effect.THROTTLE, rule="requests-per-account",
    ),
    Caller(
        "hydra", "copies by 12 accounts", "49.32.7.7", "IN", "basic", calls=180, accounts=12, max_tokens=400,
        asks=_TEMPLATE, fate=Effect.THROTTLE, rule="output-tokens-per-campaign",
    ),
)  # fmt: skip


def accounts_yaml(callers: Sequence[Caller]) -> str:
    """Return the accounts file of the callers that have an account."""
    lines = ["accounts:"]
    for caller in callers:
        for name in caller.names if caller.tier is not None else ():
            lines += [
                f"  - id: {name}",
                f'    keys: ["{key_digest(f"sk-demo-{name}")}"]',
                f"    status: {caller.status}",
                f"    tier: {caller.tier}",
                "    owners: [{country: US, share: 1.0}]",
            ]
    return "\n".join(lines) + "\n"


async def call_all(callers: Sequence[Caller], url: str) -> None:
    """Send every caller's calls through the fence at `url`. Raises TimeoutError."""
    client = AsyncHTTPClient(max_clients=AT_ONCE * len(callers), force_instance=True)
    try:
        async with asyncio.timeout(DEADLINE_S):
            await asyncio.gather(*(_call(client, caller, url) for caller in callers))
    finally:
        client.close()


async def _call(client: AsyncHTTPClient, caller: Caller, url: str) -> None:
    left = list(range(caller.calls))

    async def one_after_the_other() -> None:
        while left:
            n = left.pop()
            headers = {
                "Authorization": f"Bearer sk-demo-{caller.names[n % caller.accounts]}",
                "Content-Type": "application/json",
                "X-Forwarded-For": caller.address,
            }
            path = f"{url}/v1/chat/completions"
            await client.fetch(
                HTTPRequest(path, method="POST", headers=headers, body=caller.body(n)), raise_error=False
            )

    await asyncio.gather(*(one_after_the_other() for _ in range(AT_ONCE)))
