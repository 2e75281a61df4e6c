"""The loop over fakes of its ports: what it asks, what it decides, and what it does when a port fails."""

from dataclasses import replace

import pytest
from tests.enforcement.outside import (
    ACME,
    CUSTOMERS,
    NOON_US,
    OPEN,
    Clock,
    Directory,
    Nowhere,
    Store,
    Unwary,
    call,
    throttled,
)

from modelfence.core.account import Account, Check
from modelfence.core.call import Credential, Reading, Usage, key_digest
from modelfence.core.decision import Effect
from modelfence.core.extraction import Caller, Extraction
from modelfence.enforcement.fence import Patience
from modelfence.enforcement.in_force import InForce
from modelfence.enforcement.ports import UnavailableError
from modelfence.policy.compile import compile_text


async def test_an_allowed_call_is_let_in_and_seen(fence, watcher):
    judged = await fence(CUSTOMERS).judge(call())
    assert judged.decision.effect is Effect.ALLOW
    assert judged.decision.rules == ("customers",)
    assert watcher.seen == [judged]
    assert (judged.country, judged.tier, judged.account) == ("US", "basic", ACME)


@pytest.mark.parametrize(
    ("key", "status", "words"),
    [
        ("sk-closed", 403, "not allowed by the policy"),
        ("sk-nobody", 401, "API key"),
        (None, 401, "API key"),
    ],
)
async def test_without_an_account_a_refusal_is_about_the_key_and_else_about_the_policy(fence, key, status, words):
    closed = Account("closed", "closed", "basic")
    made = fence(CUSTOMERS, accounts=Directory(closed))
    refusal = made.refusal(await made.judge(call(key)))
    assert (refusal.effect, refusal.status) == (Effect.DENY, status)
    assert words in refusal.message


@pytest.mark.parametrize("policy", [CUSTOMERS, OPEN, OPEN + "mode: shadow\n"])
async def test_a_key_beside_the_certificate_of_another_account_is_refused_whatever_the_policy_says(fence, policy):
    other = Account("other", "active", "basic")
    made = fence(policy, accounts=Directory(ACME, other))
    pairs = {
        name: replace(Credential.of("sk-acme"), certificate=key_digest(f"sk-{name}")) for name in ("acme", "other")
    }
    assert (await made.judge(call(credential=pairs["acme"]))).account == ACME
    judged = await made.judge(call(credential=pairs["other"]))
    refusal = made.refusal(judged)
    assert (judged.found.check, judged.account) == (Check.MISMATCHED, None)
    assert (refusal.effect, refusal.status) == (Effect.DENY, 401)
    assert "do not belong to the same account" in refusal.message


async def test_the_refusal_says_what_the_rule_says(fence):
    policy = (
        CUSTOMERS
        + "  - {id: no-us, deny: client.country == \"US\", message: Not here., help_url: 'https://x.org/why'}\n"
    )
    made = fence(policy)
    refusal = made.refusal(await made.judge(call()))
    assert (refusal.status, refusal.message, refusal.help_url) == (403, "Not here.", "https://x.org/why")


async def test_an_expired_account_has_the_lowest_tier_from_that_moment_on(fence):
    policy = "version: 1\naccess:\n  - {id: verified, allow: kyc.tier >= tier.basic && !kyc.expired}\n"
    expiring = replace(ACME, expires_us=NOON_US)
    made = fence(policy, accounts=Directory(expiring))
    assert (await made.judge(call(at_us=NOON_US - 1))).decision.effect is Effect.ALLOW
    late = await made.judge(call(at_us=NOON_US))
    assert (late.decision.effect, late.tier) == (Effect.DENY, "none")


async def test_nobody_is_let_in_while_no_evidence_is_kept_and_nothing_is_charged(fence):
    kept = False
    policy = OPEN + "throttle: [{id: calls, key: request.method, rate: 1 per day}]\n"
    made = fence(policy, evidence_is_kept=lambda: kept)
    judged = await made.judge(call())
    assert (judged.decision.effect, judged.decision.rules) == (Effect.ERROR, ())
    assert (judged.decision.charges, judged.reservation.charges) == ((), ())
    refusal = made.refusal(judged)
    assert (refusal.status, refusal.message) == (
        503,
        "The service can't check this request right now; try again shortly.",
    )
    kept = True
    assert (await made.judge(call())).decision.admitted


async def test_whom_the_policy_refuses_is_told_so_also_while_no_evidence_is_kept(fence):
    made = fence(CUSTOMERS, evidence_is_kept=lambda: False)
    assert (await made.judge(call("sk-nobody"))).decision.effect is Effect.DENY


@pytest.mark.parametrize(
    ("directory", "waits_s"),
    [
        (Directory(fails=UnavailableError()), 0.01),
        (Directory(fails=UnavailableError()), None),
        (Directory(hangs=True), 0.01),
    ],
)
async def test_a_directory_that_does_not_answer_is_no_fault_of_the_callers(fence, directory, waits_s):
    made = fence(CUSTOMERS, accounts=directory, patience=Patience(directory_s=waits_s))
    judged = await made.judge(call())
    refusal = made.refusal(judged)
    assert (refusal.effect, refusal.status) == (Effect.ERROR, 503)
    assert "API key" not in refusal.message


async def test_a_directory_that_does_not_answer_keeps_nobody_out_whom_the_policy_lets_in_unknown(fence):
    judged = await fence(OPEN, accounts=Directory(fails=UnavailableError())).judge(call())
    assert judged.decision.effect is Effect.ALLOW


async def test_a_bug_in_a_port_is_not_swallowed(fence):
    with pytest.raises(ZeroDivisionError):
        await fence(OPEN, accounts=Directory(fails=ZeroDivisionError())).judge(call())


async def test_over_its_rate_a_caller_is_told_how_long_to_wait(fence, clock):
    made = fence(throttled(CUSTOMERS, rate="1 per minute"))
    assert (await made.judge(call())).decision.admitted
    clock.now_us += 15_000_000
    judged = await made.judge(call())
    assert (judged.decision.effect, judged.decision.rules) == (Effect.THROTTLE, ("t",))
    assert judged.decision.retry_after == 45.0
    refusal = made.refusal(judged)
    assert (refusal.status, refusal.retry_after_us) == (429, 45_000_000)
    assert refusal.balance.charge.throttle == "t"
    assert refusal.balance.left == 0


@pytest.mark.parametrize(("waited_s", "longest_s"), [(50, 11.0), (0, 62.0)])
async def test_the_wait_that_is_told_is_lengthened_by_a_tenth_and_two_seconds_at_most(
    fence, clock, waited_s, longest_s
):
    made = fence(throttled(CUSTOMERS, rate="1 per minute"), jitter=1.0)
    await made.judge(call())
    clock.now_us += waited_s * 1_000_000
    judged = await made.judge(call())
    assert made.refusal(judged).retry_after_us == longest_s * 1_000_000
    assert judged.decision.retry_after == 60 - waited_s


async def test_what_was_reserved_and_not_used_comes_back(fence):
    made = fence(throttled(CUSTOMERS, unit="output_tokens", rate="150 per day"))
    first = await made.judge(call())
    assert (await made.judge(call())).decision.effect is Effect.THROTTLE
    await made.settle(first, Usage(25, 10), status=200)
    second = await made.judge(call())
    assert second.decision.admitted
    assert second.taken.balances[0].left == 40


async def test_what_was_used_beyond_the_reservation_is_owed(fence, clock):
    made = fence(throttled(CUSTOMERS, unit="output_tokens", rate="100 per minute"))
    judged = await made.judge(call())
    await made.settle(judged, Usage(25, 250), status=200)
    clock.now_us += 60_000_000
    assert not (await made.judge(call())).decision.admitted
    clock.now_us += 90_000_000
    assert (await made.judge(call())).decision.admitted


async def test_an_answer_that_never_came_costs_no_tokens_but_was_a_request(fence):
    policy = (
        throttled(CUSTOMERS, unit="output_tokens", rate="100 per day")
        + "  - {id: r, key: account.id, rate: 2 per day}\n"
    )
    made = fence(policy)
    for _ in range(2):
        judged = await made.judge(call())
        await made.settle(judged, None, status=502)
    assert (await made.judge(call())).decision.rules == ("r",)


async def test_of_a_question_that_is_seen_in_part_that_part_is_charged(fence, watcher):
    made = fence(throttled(CUSTOMERS, unit="input_tokens", rate="100 per day"))
    asked = call(reading=Reading("chat", input_tokens=None, seen_input_tokens=40))
    judged = await made.judge(asked)
    assert judged.taken.balances[0].left == 60
    await made.settle(judged, Usage(output_tokens=9, estimated=True), status=200)
    assert watcher.ended[0].usage == Usage(40, 9, estimated=True)


async def test_an_estimated_answer_is_charged_with_the_estimated_question(fence, watcher):
    made = fence(throttled(CUSTOMERS, unit="input_tokens", rate="100 per day"))
    await made.settle(await made.judge(call()), Usage(output_tokens=9, estimated=True), status=200)
    assert watcher.ended[0].usage == Usage(25, 9, estimated=True)
    assert (await made.judge(call())).taken.balances[0].left == 50


@pytest.mark.parametrize(
    ("reading", "reserved"),
    [
        (Reading("chat", output_tokens=100), 100),
        (Reading("chat", output_tokens=None), 1024),
        (Reading("chat", stream=True, output_tokens=None), 256),
        (Reading("chat", stream=True, output_tokens=5000), 256),
        (Reading("chat", stream=True, output_tokens=10), 10),
        (Reading("chat", output_tokens=10**9), 2000),
    ],
)
async def test_a_call_reserves_what_it_may_use_and_a_stream_a_step(fence, reading, reserved):
    made = fence(throttled(CUSTOMERS, unit="output_tokens", rate="2000 per day"))
    judged = await made.judge(call(reading=reading))
    assert judged.taken.balances[0].left == 2000 - reserved


@pytest.mark.parametrize(
    ("on_store_failure", "effect"), [("deny", Effect.ERROR), ("allow", Effect.ALLOW), ("local", Effect.ALLOW)]
)
async def test_a_store_that_does_not_answer_does_what_the_throttle_says(fence, watcher, on_store_failure, effect):
    policy = throttled(CUSTOMERS, rate="4 per day", on_store_failure=on_store_failure)
    made = fence(policy, buckets=Store(Clock(), away=True))
    judged = await made.judge(call())
    assert judged.decision.effect is effect
    assert watcher.failures == [("t", on_store_failure)]
    if effect is Effect.ERROR:
        refusal = made.refusal(judged)
        assert (refusal.status, judged.decision.rules) == (503, ("t",))
        assert judged.reservation.charges == ()


async def test_a_local_bucket_is_this_workers_share_of_the_rate(fence):
    policy = throttled(CUSTOMERS, rate="4 per day", on_store_failure="local")
    made = fence(policy, buckets=Store(Clock(), away=True), workers=2)
    effects = [(await made.judge(call())).decision.effect for _ in range(3)]
    assert effects == [Effect.ALLOW, Effect.ALLOW, Effect.THROTTLE]


async def test_what_was_held_locally_is_settled_locally(fence, watcher):
    policy = throttled(CUSTOMERS, unit="output_tokens", rate="150 per day", on_store_failure="local")
    made = fence(policy, buckets=Store(Clock(), away=True))
    judged = await made.judge(call())
    await made.settle(judged, Usage(0, 50), status=200)
    assert (await made.judge(call())).taken.balances[0].left == 0
    assert ("t", "unsettled") not in watcher.failures


async def test_what_the_detector_says_is_what_the_policy_reads(fence, watcher):
    policy = """
version: 1
access:
  - {id: everyone, allow: "true"}
  - {id: probing, deny: '"logit_probing" in extraction.signals'}
throttle:
  - {id: campaign, key: extraction.cohort, rate: 10 per day, cost: 1.0 + 9.0 * extraction.score,
     when: extraction.score >= 0.5 && extraction.cohort_accounts > 5}
"""
    said = Extraction(0.5, (("shared_template", 0.5),), "c1", 6)
    made = fence(policy, detector=(detector := Unwary(said)))
    judged = await made.judge(call())
    assert [(c.throttle, c.key, c.amount) for c in judged.decision.charges] == [("campaign", "c1", 5.5)]
    assert watcher.seen[0].extraction == said
    detector.says = Extraction(1.0, (("logit_probing", 1.0),))
    assert (await made.judge(call())).decision.rules == ("probing",)


async def test_the_detector_is_told_who_calls_and_what_was_answered(fence):
    detector = Unwary(Extraction(cohort="c1"))
    made = fence(
        CUSTOMERS, accounts=Directory(Account("acme", "active", "verified", payer="card-7")), detector=detector
    )
    judged = await made.judge(call())
    await made.settle(judged, Usage(10, 20), status=200)
    await made.settle(judged, None, status=None)  # nothing was served
    assert detector.callers == [Caller("acme", "verified", is_verified=True, country="US", control=("payer card-7",))]
    assert detector.answers == [(detector.callers[0], detector.says, Usage(10, 20))]


async def test_an_account_that_can_only_be_refused_teaches_nothing(fence):
    accounts = Directory(ACME, Account("banned", "suspended", "basic"))
    made = fence(CUSTOMERS, accounts=accounts, detector=(detector := Unwary()))
    await made.judge(call("sk-banned"))
    await made.judge(call("sk-acme"))
    assert [caller and caller.id for caller in detector.callers] == [None, "acme"]
    lenient = fence(OPEN, accounts=accounts, detector=(watching := Unwary()))
    await lenient.judge(call("sk-banned"))
    assert [caller and caller.id for caller in watching.callers] == ["banned"]


@pytest.mark.parametrize(
    ("policy", "ip", "caller"),
    [
        (CUSTOMERS, "8.8.8.8", None),
        (OPEN, "8.8.8.8", Caller("(8.8.8.8)", "none", is_verified=False, country="US")),
        (OPEN, "2001:db8::7", Caller("(2001:db8::/64)", "none", is_verified=False, country="")),
    ],
)
async def test_a_stranger_is_watched_by_address_where_the_policy_may_let_strangers_in(fence, policy, ip, caller):
    made = fence(policy, detector=(detector := Unwary()))
    judged = await made.judge(call("sk-nobody", client_ip=ip))
    assert detector.callers == [caller]
    if judged.decision.admitted:
        await made.settle(judged, Usage(1, 1), status=200)


async def test_a_throttle_in_shadow_refuses_nothing_and_says_so(fence):
    made = fence(throttled(CUSTOMERS, rate="1 per day", mode="shadow"))
    await made.judge(call())
    judged = await made.judge(call())
    assert judged.decision.effect is Effect.ALLOW
    assert (judged.decision.would, judged.decision.shadow_rules) == (Effect.THROTTLE, ("t",))
    assert judged.reservation.charges == ()


async def test_a_policy_in_shadow_lets_everyone_through(fence):
    made = fence(throttled(CUSTOMERS.replace("version: 1", "version: 1\nmode: shadow"), rate="1 per day"))
    judged = await made.judge(call(key=None))
    assert judged.decision.effect is Effect.ALLOW
    assert judged.decision.would is Effect.DENY


async def test_a_call_is_judged_by_one_policy_from_its_beginning_to_its_end(fence):
    closed = compile_text("version: 1\naccess:\n  - {id: closed, deny: 'true'}\n").policy

    class Slow(Directory):
        async def find(self, digest, at_us):
            made.in_force = replace(made.in_force, policy=closed)
            return await super().find(digest, at_us)

    made = fence(CUSTOMERS, accounts=Slow(ACME))
    opened_hash = made.in_force.policy.hash
    first, second = await made.judge(call()), await made.judge(call())
    assert (first.decision.effect, first.decision.policy_hash) == (Effect.ALLOW, opened_hash)
    assert (second.decision.effect, second.decision.policy_hash) == (Effect.DENY, closed.hash)


async def test_who_may_teach_the_detector_is_for_the_policy_in_force_to_say(fence):
    detector = Unwary()
    made = fence(CUSTOMERS, detector=detector)
    await made.judge(call(None))
    made.in_force = InForce(compile_text(OPEN).policy, made.in_force.accounts, made.in_force.geo)
    await made.judge(call(None))
    assert [caller is None for caller in detector.callers] == [True, False]


async def test_the_age_that_a_policy_distrusts_is_that_of_the_database_in_force(fence):
    made = fence("version: 1\naccess:\n  - {id: all, allow: 'true'}\n  - {id: old, deny: geo.database_age_days > 60}\n")
    assert (await made.judge(call())).decision.rules == ("old",)
    renewed = Nowhere()
    renewed.country_built_s = call().at_us // 1_000_000 - 60 * 86_400
    made.in_force = replace(made.in_force, geo=renewed)
    assert (await made.judge(call())).decision.effect is Effect.ALLOW
