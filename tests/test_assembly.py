"""Where what a fence is assembled from comes from."""

import pytest

from modelfence.adapters.memory.evidence import MemoryEvidence
from modelfence.adapters.redis.evidence import RedisEvidence
from modelfence.assembly import evidence_of
from modelfence.core.extraction import Fingerprint
from modelfence.extraction.evidence import Sighting
from modelfence.settings import CannotStartError, Settings

CALL = Sighting(0, "acme", "basic", is_verified=False, country="", fingerprint=Fingerprint(item=1))


async def test_evidence_is_where_the_buckets_are(redis_server):
    assert isinstance(evidence_of(Settings(), deadline_s=1), MemoryEvidence)
    workers = [evidence_of(Settings(store=redis_server.url, store_prefix="worker"), deadline_s=10) for _ in range(2)]
    for calls, worker in enumerate(workers, start=1):
        assert isinstance(worker, RedisEvidence)
        assert (await worker.see(CALL)).tally.calls == calls
        await worker.close()


def test_a_store_that_can_not_be_used_is_found_before_the_start():
    with pytest.raises(CannotStartError, match="can't be used"):
        evidence_of(Settings(store="memcached://127.0.0.1"), deadline_s=1)
