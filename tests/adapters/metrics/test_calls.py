"""What is counted of the calls a fence judges. Names and labels of all metrics are held to docs/metrics.md elsewhere."""

from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.enforcement.outside import Unwary

from modelfence.adapters.memory.buckets import MemoryBuckets
from modelfence.adapters.metrics.calls import CUT_FOR, PrometheusMetrics
from modelfence.core.account import UNKNOWN, Account, Check, Found
from modelfence.core.call import Call, Credential, CredentialState, Reading, Usage
from modelfence.core.canary import Canary
from modelfence.core.decision import Effect
from modelfence.core.extraction import Extraction
from modelfence.enforcement.fence import Fence
from modelfence.enforcement.in_force import Candidate, InForce, Side
from modelfence.enforcement.ports import Location, Passing
from modelfence.policy import compile_text

NOON_US = 1_772_452_800_000_000
POLICY = """
version: 1
access:
  - {id: customers, allow: kyc.tier > 0}
  - {id: not-from-there, deny: client.country == "KP"}
  - {id: trial, deny: client.asn == 1, mode: shadow}
reshape:
  - {id: no-logits, remove: [logprobs]}
throttle:
  - {id: calls, key: account.id, rate: 5 per day, cost: '2'}
  - {id: words, key: account.id, rate: 9000 per day, unit: total_tokens, cost: '0.5'}
  - {id: tight, key: account.id, rate: 1 per day, mode: shadow}
"""


class Directory:
    async def find(self, digest: str, at_us: int) -> Found:
        return (
            Found(Check.VALID, Account("acme", "active", "basic"))
            if digest == Credential.of("sk-acme").digest
            else UNKNOWN
        )

    async def get(self, account_id: str) -> Account | None:
        return None


class Places:
    country_built_s = 0

    def locate(self, ip: str) -> Location:
        return {"8.8.8.8": Location("US", asn=15169), "175.45.176.1": Location("KP", asn=1)}.get(ip, Location())


@pytest.fixture
def metrics() -> PrometheusMetrics:
    return PrometheusMetrics()


@pytest.fixture
def detector() -> Unwary:
    return Unwary()


@pytest.fixture
def fence(metrics, detector) -> Fence:
    policy = compile_text(POLICY).policy
    metrics.in_force(policy)
    buckets = MemoryBuckets(lambda: NOON_US)
    return Fence(
        InForce(policy, Directory(), Places()),
        buckets=buckets,
        local_buckets=buckets,
        detector=detector,
        observers=[metrics],
        clock_us=lambda: NOON_US,
        jitter=lambda: 0.0,
    )


def call(ip: str = "8.8.8.8", key: str | None = "sk-acme") -> Call:
    credential = Credential.of(key) if key else Credential(CredentialState.MISSING)
    reading = Reading("chat", "a-model-of-the-callers", input_tokens=10, output_tokens=20)
    return Call("c1", NOON_US, ip, credential, "openai", "POST", "/v1/chat/completions", 9, reading)


def shown(metrics: PrometheusMetrics, name: str) -> dict[tuple[str, ...], float]:
    """Return the values of a metric by its labels, in the order of their names."""
    families = text_string_to_metric_families(metrics.render().decode())
    samples = [sample for family in families for sample in family.samples if sample.name == f"modelfence_{name}"]
    return {tuple(value for _, value in sorted(sample.labels.items())): sample.value for sample in samples}


def counted(metrics: PrometheusMetrics, name: str) -> dict[tuple[str, ...], float]:
    """Return what is not 0."""
    return {labels: value for labels, value in shown(metrics, name).items() if value}


async def test_a_call_is_counted_by_effect_country_tier_and_rule(fence, metrics):
    for each in (call(), call(), call(), call("175.45.176.1"), call("192.0.2.1"), call(key=None)):
        await fence.judge(each)
    assert counted(metrics, "requests_total") == {
        ("allow", "enforce", "chat", "openai"): 2,
        ("throttle", "enforce", "chat", "openai"): 1,
        ("deny", "enforce", "chat", "openai"): 3,
    }
    assert counted(metrics, "requests_by_country_total") == {
        ("US", "allow"): 2,
        ("US", "throttle"): 1,
        ("US", "deny"): 1,
        ("KP", "deny"): 1,
        ("unknown", "deny"): 1,
    }
    assert counted(metrics, "requests_by_tier_total") == {
        ("allow", "basic"): 2,
        ("throttle", "basic"): 1,
        ("deny", "basic"): 2,
        ("deny", "none"): 1,
    }
    assert counted(metrics, "rule_matches_total") == {
        ("allow", "enforce", "customers"): 5,
        ("deny", "enforce", "not-from-there"): 2,
        ("deny", "shadow", "trial"): 2,
        ("allow", "enforce", "no-logits"): 3,
        ("throttle", "enforce", "calls"): 1,
        ("throttle", "shadow", "tight"): 1,
    }
    assert counted(metrics, "unallowed_total") == {(): 1}, "the stranger, whom no rule refuses"
    assert counted(metrics, "unknown_facts_total") == {("client.country",): 1, ("client.asn",): 1}


async def test_what_calls_look_like_is_counted(fence, metrics, detector):
    detector.says = Extraction(0.55, (("shared_template", 0.35), ("disjoint_work", 0.2)), "c1", 9)
    await fence.judge(call())
    detector.says = Extraction(was_measured=False)
    await fence.judge(call())
    assert counted(metrics, "extraction_signals_total") == {("shared_template",): 1, ("disjoint_work",): 1}
    assert counted(metrics, "extraction_unmeasured_total") == {(): 1}
    assert counted(metrics, "extraction_score_sum") == {(): 0.55}


async def test_a_throttle_is_counted_by_whether_it_refused_and_what_it_charged(fence, metrics):
    judged = await fence.judge(call())
    assert counted(metrics, "charged_total") == {("calls", "requests"): 2, ("tight", "requests"): 1}
    await fence.settle(judged, Usage(10, 30, cached_tokens=4, reasoning_tokens=5), status=200)
    assert counted(metrics, "charged_total")["words", "total_tokens"] == 20
    assert counted(metrics, "tokens_total") == {
        ("input", "openai", "basic"): 10,
        ("output", "openai", "basic"): 30,
        ("cached", "openai", "basic"): 4,
        ("reasoning", "openai", "basic"): 5,
    }
    await fence.judge(call())
    assert counted(metrics, "throttled_total") == {("shadow", "tight"): 1}
    await fence.judge(call())
    assert counted(metrics, "throttled_total") == {("shadow", "tight"): 1, ("enforce", "calls"): 1}


async def test_what_a_throttle_kept_from_being_used_is_counted(fence, metrics):
    for _ in range(4):
        await fence.judge(call())
    assert counted(metrics, "withheld_total") == {("calls", "requests"): 4}


@pytest.mark.parametrize(
    ("status", "counts_as"),
    [(200, "2xx"), (101, "2xx"), (307, "3xx"), (429, "4xx"), (502, "5xx"), (999, "5xx"), (None, "none")],
)
async def test_answers_of_upstreams_are_counted_by_the_class_of_their_status(fence, metrics, status, counts_as):
    await fence.settle(await fence.judge(call()), None, status=status)
    assert counted(metrics, "upstream_answers_total") == {("openai", counts_as): 1}


def test_what_the_policy_names_is_counted_from_zero_on(fence, metrics):  # noqa: ARG001 - the policy is in force
    assert shown(metrics, "rule_matches_total") == {
        ("allow", "enforce", "customers"): 0,
        ("deny", "enforce", "not-from-there"): 0,
        ("deny", "shadow", "trial"): 0,
        ("allow", "enforce", "no-logits"): 0,
        ("throttle", "enforce", "calls"): 0,
        ("throttle", "enforce", "words"): 0,
        ("throttle", "shadow", "tight"): 0,
    }
    units = {("calls", "requests"): 0, ("words", "total_tokens"): 0, ("tight", "requests"): 0}
    assert shown(metrics, "charged_total") == shown(metrics, "withheld_total") == units
    assert shown(metrics, "throttled_total") == {
        ("enforce", "calls"): 0,
        ("enforce", "words"): 0,
        ("shadow", "tight"): 0,
    }
    assert shown(metrics, "streams_cut_total") == {("calls",): 0, ("words",): 0, ("tight",): 0}
    assert set(shown(metrics, "store_failures_total")) == {
        (outcome, throttle) for outcome in ("deny", "late", "unsettled") for throttle in ("calls", "words", "tight")
    }
    assert ("allow", "none") in shown(metrics, "requests_by_tier_total")
    assert ("shared_template",) in shown(metrics, "extraction_signals_total")
    assert set(shown(metrics, "connections_cut_total")) == {(reason,) for reason in CUT_FOR}
    assert shown(metrics, "recorded_total") == {("written",): 0, ("dropped",): 0, ("failed",): 0}
    assert shown(metrics, "audit_lines_total") == {("written",): 0, ("failed",): 0, ("lost",): 0}


async def test_what_may_become_of_a_providers_calls_is_counted_from_the_first_one_on(fence, metrics):
    """Else a store that fails for a moment, for the first time, would show in no rate of the calls it made fail."""
    await fence.settle(await fence.judge(call()), None, status=200)
    assert shown(metrics, "requests_total") == {
        (effect, "enforce", "chat", "openai"): int(effect == "allow") for effect in Effect
    }
    assert shown(metrics, "requests_by_country_total") == {
        ("US", "allow"): 1,
        ("US", "deny"): 0,
        ("US", "throttle"): 0,
        ("US", "error"): 0,
    }
    assert shown(metrics, "upstream_answers_total") == {
        ("openai", "2xx"): 1,
        ("openai", "3xx"): 0,
        ("openai", "4xx"): 0,
        ("openai", "5xx"): 0,
        ("openai", "none"): 0,
    }


async def test_nothing_served_counts_no_tokens(fence, metrics):
    await fence.settle(await fence.judge(call()), None, status=502)
    assert counted(metrics, "tokens_total") == {}
    assert ("words", "total_tokens") not in counted(metrics, "charged_total")


def test_what_was_never_judged_and_what_failed_is_counted(fence, metrics):  # noqa: ARG001 - the policy is in force
    metrics.unjudged("openai", "chat", Effect.REJECT)
    metrics.store_failed("calls", "unsettled")
    metrics.hook_failed()
    metrics.recorded("dropped")
    assert counted(metrics, "requests_total") == {("reject", "enforce", "chat", "openai"): 1}
    assert counted(metrics, "store_failures_total") == {("unsettled", "calls"): 1}
    assert counted(metrics, "hook_failures_total") == {(): 1}
    assert counted(metrics, "recorded_total") == {("dropped",): 1}


def test_how_long_things_take_is_in_seconds(fence, metrics):  # noqa: ARG001 - the policy is in force
    metrics.store_answered(2_000)
    metrics.answer_began()
    assert counted(metrics, "open_streams") == {(): 1}
    metrics.passed("openai", Passing(overhead_s=0.5, upstream_s=3.0, first_byte_s=1.0))
    metrics.passed("openai", Passing(overhead_s=0.5, upstream_s=3.0, first_byte_s=None))
    sums = {
        name: counted(metrics, f"{name}_seconds_sum")[()] for name in ("store", "overhead", "upstream", "first_byte")
    }
    assert sums == {"store": 0.002, "overhead": 1.0, "upstream": 6.0, "first_byte": 1.0}
    assert shown(metrics, "open_streams") == {(): 0}


NEXT = """
version: 1
access:
  - {id: customers, allow: kyc.tier > 0}
  - {id: not-in-the-us, deny: client.country == "US" && request.model == "secret"}
  - {id: trial, deny: 'true', mode: shadow}
reshape:
  - {id: short, cap: {choices: 1}}
throttle:
  - {id: calls, key: account.id, rate: 1 per day}
"""


def with_candidate(fence: Fence, metrics: PrometheusMetrics, percent: float) -> None:
    policy = compile_text(NEXT).policy
    assert policy is not None
    candidate = Candidate(Side(policy), Canary(percent, "next.yaml"))
    fence.in_force = replace(fence.in_force, candidate=candidate)
    metrics.in_force(fence.in_force.policy, candidate)


async def test_both_policies_are_counted_side_by_side_where_there_is_a_candidate(fence, metrics):
    with_candidate(fence, metrics, 0)
    for each in (call(), call(), call(), call("175.45.176.1"), call(key=None)):
        await fence.judge(each)
    assert counted(metrics, "candidate_requests_total") == {
        ("live", "allow", "allow"): 1,
        ("live", "throttle", "allow"): 1,
        ("live", "throttle", "deny"): 1,
        ("live", "throttle", "throttle"): 1,
        ("live", "deny", "deny"): 1,
    }
    assert counted(metrics, "candidate_rule_matches_total") == {
        ("allow", "live", "customers"): 4,
        ("deny", "live", "not-from-there"): 1,
        ("allow", "live", "no-logits"): 3,
        ("throttle", "live", "calls"): 1,
        ("allow", "candidate", "customers"): 4,
        ("allow", "candidate", "short"): 4,
        ("throttle", "candidate", "calls"): 3,
    }
    assert ("throttle", "enforce", "calls") in shown(metrics, "rule_matches_total")
    assert not any(rule == "short" for *_, rule in shown(metrics, "rule_matches_total")), "it acts on nobody"
    assert counted(metrics, "charged_total") == {("calls", "requests"): 4, ("tight", "requests"): 1}


async def test_a_candidate_that_acts_is_counted_as_what_acted(fence, metrics):
    with_candidate(fence, metrics, 100)
    await fence.judge(call())
    assert counted(metrics, "candidate_requests_total") == {("candidate", "allow", "allow"): 1}
    assert counted(metrics, "rule_matches_total") == {
        ("allow", "enforce", "customers"): 1,
        ("deny", "shadow", "trial"): 1,
        ("allow", "enforce", "short"): 1,
    }


async def test_the_mode_of_a_call_is_that_of_the_policy_that_acted(fence, metrics):
    metrics.in_force(compile_text(POLICY + "mode: shadow\n").policy, None)
    live = replace(fence.in_force, policy=compile_text(POLICY + "mode: shadow\n").policy)
    fence.in_force = live
    with_candidate(fence, metrics, 100)
    await fence.judge(call())
    await fence.judge(call(key=None))
    assert counted(metrics, "requests_total") == {
        ("allow", "enforce", "chat", "openai"): 1,
        ("allow", "shadow", "chat", "openai"): 1,
    }


def test_what_both_may_say_begins_at_zero(fence, metrics):
    assert shown(metrics, "candidate_requests_total") == {}
    with_candidate(fence, metrics, 0)
    assert len(shown(metrics, "candidate_requests_total")) == 32
    assert ("deny", "candidate", "not-in-the-us") in shown(metrics, "candidate_rule_matches_total")
