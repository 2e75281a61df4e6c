"""A script for `mitmdump -s`: the fence's addon with fakes around it, and counts of what it saw on stderr."""

import os
import time

from modelfence.adapters.memory.buckets import MemoryBuckets
from modelfence.adapters.memory.evidence import MemoryEvidence
from modelfence.core.account import UNKNOWN, Account, Check, Found
from modelfence.core.call import key_digest
from modelfence.core.upstream import Upstream
from modelfence.dialects.openai.api import OpenAI
from modelfence.enforcement.fence import Fence
from modelfence.enforcement.in_force import InForce
from modelfence.enforcement.ports import Location
from modelfence.extraction.detection import Detection
from modelfence.extraction.fingerprint import Fingerprints
from modelfence.policy.compile import compile_text
from modelfence.wire.addon import FenceAddon
from modelfence.wire.apis import Apis
from modelfence.wire.stock import StockRunner


class Accounts:
    async def find(self, digest: str, at_us: int) -> Found:
        return Found(Check.VALID, Account("acme", "active", "basic")) if digest == key_digest("sk-acme") else UNKNOWN

    async def get(self, account_id: str) -> Account | None:
        return None


class Geo:
    country_built_s = 0

    def locate(self, ip: str) -> Location:
        return Location()


def now_us() -> int:
    return time.time_ns() // 1000


policy = compile_text("version: 1\naccess:\n  - {id: active, allow: kyc.status == 'active'}\n").policy
assert policy is not None
buckets = MemoryBuckets(now_us)
fence = Fence(
    InForce(policy, Accounts(), Geo()),
    buckets=buckets,
    local_buckets=buckets,
    detector=Detection(MemoryEvidence(), Fingerprints()),
    observers=[],
    clock_us=now_us,
    jitter=lambda: 0.0,
)
upstream = Upstream("openai", "openai", "http", "127.0.0.1", int(os.environ["UPSTREAM_PORT"]), secret="sk-real")
apis = Apis([upstream], {"openai": OpenAI()}, trusted_proxies=(), observers=[], clock_us=now_us)
addons = [
    FenceAddon(fence, apis, max_request_bytes=100_000),
    StockRunner(),
]
