import pytest
from tests.enforcement.outside import ACME, Clock, Directory, Nowhere, Unwary, Watcher

from modelfence.adapters.memory.buckets import MemoryBuckets
from modelfence.enforcement.fence import Fence, InForce, Patience
from modelfence.policy.compile import compile_text


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watcher() -> Watcher:
    return Watcher()


@pytest.fixture
def fence(clock, watcher):
    def make(
        policy: str, *, accounts=None, buckets=None, workers=1, jitter=0.0, patience=None, detector=None, **others
    ) -> Fence:
        compiled = compile_text(policy)
        assert compiled.policy, [problem.render() for problem in compiled.problems]
        local = MemoryBuckets(clock)
        return Fence(
            InForce(compiled.policy, accounts or Directory(ACME), Nowhere()),
            buckets=buckets or local,
            local_buckets=local,
            detector=detector or Unwary(),
            observers=[watcher],
            clock_us=clock,
            jitter=lambda: jitter,
            workers=workers,
            patience=patience or Patience(),
            **others,
        )

    return make
