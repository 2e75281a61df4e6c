import pytest
from tests.enforcement.outside import ACME, Clock, Directory, Nowhere, Unwary, Watcher

from modelfence.adapters.memory.buckets import MemoryBuckets
from modelfence.core.canary import Canary
from modelfence.core.policy import Policy
from modelfence.enforcement.fence import Fence, Patience
from modelfence.enforcement.in_force import Candidate, InForce, Side
from modelfence.policy.compile import compile_text


def policy_of(text: str) -> Policy:
    compiled = compile_text(text)
    assert compiled.policy, [problem.render() for problem in compiled.problems]
    return compiled.policy


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watcher() -> Watcher:
    return Watcher()


@pytest.fixture
def fence(clock, watcher):
    def make(
        policy: str,
        *,
        candidate=None,
        canary=0.0,
        accounts=None,
        buckets=None,
        workers=1,
        jitter=0.0,
        patience=None,
        detector=None,
        **others,
    ) -> Fence:
        beside = candidate and Candidate(Side(policy_of(candidate)), Canary(canary, "next.yaml"))
        local = MemoryBuckets(clock)
        return Fence(
            InForce(policy_of(policy), accounts or Directory(ACME), Nowhere(), beside),
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
