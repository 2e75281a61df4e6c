"""Two policies asked about a call: one acts, and the other one only says what it would have done."""

import asyncio
import logging
from dataclasses import replace

import pytest
from tests.enforcement.outside import ACME, CUSTOMERS, OPEN, Directory, Store, Unwary, call

from modelfence.core.account import Account
from modelfence.core.bucket import PERIODS_US, Rate
from modelfence.core.call import Reading, Usage
from modelfence.core.canary import Canary
from modelfence.core.charge import Charge
from modelfence.core.decision import Effect
from modelfence.enforcement.in_force import Candidate, Side
from modelfence.enforcement.ports import UnavailableError
from modelfence.enforcement.probing import Probing

NOBODY_FROM_THE_US = OPEN + "  - {id: no-us, deny: client.country == 'US', message: Not here.}\n"
PER_DAY = Rate(100, PERIODS_US["day"], 100)
STREAM = Reading("chat", "gpt-4o", stream=True, input_tokens=25)


def throttles(*lines: str, access: str = OPEN) -> str:
    return access + "throttle:\n" + "".join(f"  - {{{line}}}\n" for line in lines)


def calls(burst: int, *, name: str = "calls", key: str = "account.id") -> str:
    return throttles(f"id: {name}, key: {key}, rate: {burst} per day")


def tokens(burst: int, more: str = "") -> str:
    return throttles(f"id: tokens, key: account.id, unit: total_tokens, rate: {burst} per day{more}")


async def effects(made, times: int, **changes) -> list[tuple[Effect, Effect]]:
    """Return what the live policy and the candidate said of so many calls, each answered before the next."""
    said = []
    for _ in range(times):
        judged = await made.judge(call(**changes))
        if judged.decision.admitted:
            await made.settle(judged, Usage(10, 10), status=200)
        live, candidate = judged.live_and_candidate
        said.append((live.effect, candidate.effect))
    return said


async def left(store, throttle: str, *, key: str = "acme", watching: bool = False) -> int:
    """Return the whole units that a bucket of a hundred a day holds."""
    charge = Charge(throttle, key, PER_DAY, 0.0, shadow=True, watching=watching)
    return (await store.take([charge])).balances[0].left


async def test_the_live_policy_acts_and_the_candidate_only_says_what_it_would_have_done(fence, watcher):
    made = fence(OPEN, candidate=NOBODY_FROM_THE_US)
    judged = await made.judge(call())
    assert (judged.decision.effect, judged.decision.rules) == (Effect.ALLOW, ("everyone",))
    assert (judged.watched.effect, judged.watched.rules) == (Effect.DENY, ("no-us",))
    assert judged.watched.policy_hash != judged.decision.policy_hash
    assert not judged.candidate_acted
    assert judged.live_and_candidate == (judged.decision, judged.watched)
    assert watcher.seen == [judged]


async def test_for_accounts_in_the_canary_the_candidate_acts_and_the_live_policy_watches(fence):
    made = fence(OPEN, candidate=NOBODY_FROM_THE_US, canary=100.0)
    judged = await made.judge(call())
    assert (judged.decision.effect, judged.decision.rules) == (Effect.DENY, ("no-us",))
    assert made.refusal(judged).message == "Not here."
    assert (judged.watched.effect, judged.candidate_acted) == (Effect.ALLOW, True)
    assert judged.live_and_candidate == (judged.watched, judged.decision)


@pytest.mark.parametrize("key", ["sk-nobody", None])
async def test_a_stranger_is_never_in_the_canary(fence, key):
    judged = await fence(CUSTOMERS, candidate=OPEN, canary=100.0).judge(call(key))
    assert (judged.decision.effect, judged.watched.effect) == (Effect.DENY, Effect.ALLOW)
    assert not judged.candidate_acted


async def test_without_a_candidate_nothing_is_said_of_one(fence):
    judged = await fence(OPEN).judge(call())
    assert (judged.watched, judged.candidate_acted, judged.live_and_candidate) == (None, False, None)


async def test_a_call_about_which_no_rule_is_asked_has_nothing_to_compare(fence):
    made = fence(CUSTOMERS, candidate=OPEN, probing=Probing(1))
    assert (await made.judge(call("sk-nobody"))).watched is not None
    held_off = await made.judge(call("sk-somebody"))
    assert (held_off.decision.effect, held_off.live_and_candidate) == (Effect.THROTTLE, None)


async def test_facts_are_gathered_once_for_both(fence):
    detector = Unwary()
    await fence(OPEN, candidate=OPEN, detector=detector).judge(call())
    assert len(detector.callers) == 1


async def test_each_policy_reads_tiers_and_lists_as_its_own(fence):
    owned = replace(ACME, tier="verified", ownership={"IR": 0.6, "US": 0.4})
    reads = "  - {{id: own, deny: kyc.owned_by.far > 0.5 && kyc.tier == tier.verified}}\n"
    live = OPEN + reads.format() + "lists: {far: [SY]}\ntiers: [none, verified]\n"
    candidate = OPEN + reads.format() + "lists: {far: [IR]}\ntiers: [none, basic, verified]\n"
    made = fence(live, candidate=candidate, accounts=Directory(owned))
    judged = await made.judge(call())
    assert (judged.decision.effect, judged.watched.rules) == (Effect.ALLOW, ("own",))


async def test_what_the_candidate_would_take_out_of_a_call_stays_in_it(fence):
    reshape = "reshape: [{id: short, cap: {output_tokens: 5}}]\n"
    judged = await fence(OPEN, candidate=OPEN + reshape).judge(call())
    assert (dict(judged.decision.reshaping.cap), dict(judged.watched.reshaping.cap)) == ({}, {"output_tokens": 5})


async def test_a_throttle_of_the_candidate_refuses_nobody_and_says_whom_it_would(fence):
    made = fence(OPEN, candidate=calls(2))
    assert await effects(made, 3) == [
        (Effect.ALLOW, Effect.ALLOW),
        (Effect.ALLOW, Effect.ALLOW),
        (Effect.ALLOW, Effect.THROTTLE),
    ]
    judged = await made.judge(call())
    assert (judged.watched.rules, judged.watched.retry_after > 0) == (("calls",), True)
    assert (judged.taken.shadow_refused, judged.reservation.charges, judged.decision.would) == ((), (), None)


async def test_two_equal_policies_never_differ(fence):
    same = calls(2)
    assert await effects(fence(same, candidate=same), 4) == [(Effect.ALLOW,) * 2] * 2 + [(Effect.THROTTLE,) * 2] * 2


async def test_a_looser_candidate_is_charged_for_what_the_live_policy_refuses(fence):
    """Else it would seem to let in everything that is refused now."""
    assert await effects(fence(calls(1), candidate=calls(3)), 5) == [
        (Effect.ALLOW, Effect.ALLOW),
        (Effect.THROTTLE, Effect.ALLOW),
        (Effect.THROTTLE, Effect.ALLOW),
        (Effect.THROTTLE, Effect.THROTTLE),
        (Effect.THROTTLE, Effect.THROTTLE),
    ]


async def test_it_is_charged_for_what_a_live_rule_denies_too(fence):
    said = await effects(fence(NOBODY_FROM_THE_US, candidate=calls(1)), 2)
    assert said == [(Effect.DENY, Effect.ALLOW), (Effect.DENY, Effect.THROTTLE)]


async def test_a_rule_in_shadow_charges_nothing_while_its_policy_only_watches(fence, clock):
    store = Store(clock)
    made = fence(
        OPEN, candidate=throttles("id: calls, key: account.id, rate: 100 per day, mode: shadow"), buckets=store
    )
    await made.judge(call())
    assert await left(store, "calls", watching=True) == 100


@pytest.mark.parametrize("answered", [True, False])
async def test_where_one_throttle_would_refuse_the_others_are_not_charged(fence, clock, answered):
    """Neither for a call that the live policy lets in nor for one that it refuses."""
    store = Store(clock)
    candidate = throttles(
        "id: small, key: account.id, rate: 1 per day",
        "id: calls, key: account.id, rate: 100 per day",
        "id: tokens, key: account.id, unit: input_tokens, rate: 100 per day",
    )
    made = fence(OPEN if answered else NOBODY_FROM_THE_US, candidate=candidate, buckets=store)
    await effects(made, 3)
    assert await left(store, "calls", watching=True) == 99
    assert await left(store, "tokens", watching=True) == (
        90 if answered else 75
    )  # what was used, or what was asked for


# One budget, whoever acts.


async def test_an_account_that_comes_into_the_canary_goes_on_with_the_budget_it_had(fence):
    made = fence(calls(3), candidate=calls(3))
    assert [one for one, _ in await effects(made, 2)] == [Effect.ALLOW] * 2
    made.in_force = replace(
        made.in_force, candidate=Candidate(made.in_force.candidate.side, Canary(100.0, "next.yaml"))
    )
    judged = [await made.judge(call()) for _ in range(2)]
    assert [(one.decision.effect, one.candidate_acted) for one in judged] == [
        (Effect.ALLOW, True),
        (Effect.THROTTLE, True),
    ]


async def test_a_campaign_on_both_sides_of_the_canary_has_one_budget(fence, watcher):
    """Forty accounts with one key, twenty calls of each at once."""
    accounts = [Account(f"account-{number}", "active", "basic") for number in range(40)]
    policy = throttles(
        "id: campaign, key: request.provider, rate: 300 per day",
        "id: tokens, key: request.provider, unit: total_tokens, rate: 4000 per day, burst: 4000",
    )
    made = fence(policy, candidate=policy, canary=50.0, accounts=Directory(*accounts))

    async def one(account: Account) -> int:
        judged = await made.judge(call(f"sk-{account.id}", reading=Reading("chat", output_tokens=15)))
        if not judged.decision.admitted:
            return 0
        await asyncio.sleep(0)
        await made.settle(judged, Usage(0, 15), status=200)
        return 15

    served = await asyncio.gather(*(one(account) for account in accounts for _ in range(20)))
    assert {judged.candidate_acted for judged in watcher.seen if judged.decision.admitted} == {True, False}
    assert sum(served) == 15 * (4000 // 15)
    said = {tuple(decision.effect for decision in judged.live_and_candidate) for judged in watcher.seen}
    assert said == {(Effect.ALLOW,) * 2, (Effect.THROTTLE,) * 2}


@pytest.mark.parametrize(("live", "candidate"), [(10, 4), (4, 10)])
async def test_with_two_rates_both_sides_together_get_no_more_than_the_higher_one(fence, live, candidate):
    accounts = [Account(f"account-{number}", "active", "basic") for number in range(40)]
    key = "request.provider"
    policies = (calls(live, key=key), calls(candidate, key=key))
    made = fence(policies[0], candidate=policies[1], canary=50.0, accounts=Directory(*accounts))
    judged = [await made.judge(call(f"sk-{account.id}")) for account in accounts]
    assert 4 <= sum(one.decision.admitted for one in judged) <= 10


async def test_what_is_watched_of_both_sides_is_one_budget_too(fence):
    """Its bucket sees the calls of all accounts, as the real one does: else a canary of equal policies would differ."""
    accounts = [Account(f"account-{number}", "active", "basic") for number in range(10)]
    policy = calls(5, key="request.provider")
    made = fence(policy, candidate=policy, canary=50.0, accounts=Directory(*accounts))
    judged = [await made.judge(call(f"sk-{account.id}")) for account in accounts]
    assert len({one.candidate_acted for one in judged}) == 2
    assert [tuple(side.effect for side in one.live_and_candidate) for one in judged] == [
        *[(Effect.ALLOW, Effect.ALLOW)] * 5,
        *[(Effect.THROTTLE, Effect.THROTTLE)] * 5,
    ]


# Tokens and streams.


@pytest.mark.parametrize(("usage", "left_over"), [(Usage(25, 40), 35), (None, 100), (Usage(25, 200), 0)])
async def test_what_was_watched_is_settled_to_what_was_used(fence, clock, usage, left_over):
    store = Store(clock)
    made = fence(OPEN, candidate=tokens(100), buckets=store)
    judged = await made.judge(call(reading=Reading("chat", input_tokens=25, output_tokens=60)))
    assert await left(store, "tokens", watching=True) == 15
    await made.settle(judged, usage, status=200)
    assert await left(store, "tokens", watching=True) == left_over
    assert await left(store, "tokens") == 100


class Counting(Store):
    """Counts how often it is asked."""

    asked = 0

    async def take(self, charges, *, lease=None, after=()):
        self.asked += 1
        return await super().take(charges, lease=lease, after=after)

    async def settle(self, adjustments):
        self.asked += 1
        return await super().settle(adjustments)


@pytest.mark.parametrize("input_tokens", [25, 250])
async def test_a_policy_that_only_watches_asks_the_store_as_a_call_begins_and_as_it_ends(fence, clock, input_tokens):
    """Neither for the steps of a stream nor for what its input owes beyond a burst."""
    store = Counting(clock)
    made = fence(OPEN, candidate=tokens(100), buckets=store)
    judged = await made.judge(call(reading=Reading("chat", stream=True, input_tokens=input_tokens)))
    assert await made.extend(judged, 5_000)
    assert store.asked == 1
    await made.settle(judged, Usage(input_tokens, 5_000), status=200)
    assert store.asked == 2
    assert (await made.judge(call())).watched.effect is Effect.THROTTLE


async def test_a_stream_pays_the_throttles_of_the_policy_that_acts_and_no_others(fence, watcher):
    made = fence(tokens(5_000), candidate=tokens(300), patience=None)
    judged = await made.judge(call(reading=STREAM))
    assert await made.extend(judged, 4_000)
    assert not await made.extend(judged, 5_000)
    assert watcher.cuts == ["tokens"]


async def test_the_lease_of_what_is_watched_is_renewed_while_the_call_goes_on(fence, clock):
    store = Store(clock)
    made = fence(OPEN, candidate=tokens(100), buckets=store)
    judged = await made.judge(call(reading=Reading("chat", input_tokens=25, output_tokens=60)))
    await made.charging.renew()
    assert [hold.charge.watching for hold in store.renewed] == [True]
    del judged


# What fails.


@pytest.mark.parametrize(("then", "effect"), [("deny", Effect.ERROR), ("allow", Effect.ALLOW), ("local", Effect.ALLOW)])
async def test_a_store_that_does_not_answer_is_what_it_would_be_to_the_candidate(fence, clock, then, effect):
    made = fence(OPEN, candidate=tokens(100, f", on_store_failure: {then}"), buckets=Store(clock, away=True))
    judged = await made.judge(call())
    assert (judged.decision.effect, judged.watched.effect) == (Effect.ALLOW, effect)
    assert judged.watched.rules == (("tokens",) if effect is Effect.ERROR else ("everyone",))


async def test_a_store_that_does_not_answer_refuses_as_the_policy_that_acts_says(fence, clock, watcher):
    made = fence(tokens(100), candidate=OPEN, buckets=Store(clock, away=True))
    judged = await made.judge(call())
    assert (judged.decision.effect, judged.watched.effect) == (Effect.ERROR, Effect.ALLOW)
    assert watcher.failures == [("tokens", "deny")]


async def test_the_store_is_asked_in_vain_about_a_refused_call_and_nobody_minds(fence, clock):
    made = fence(NOBODY_FROM_THE_US, candidate=tokens(100), buckets=Store(clock, away=True))
    judged = await made.judge(call())
    assert (judged.decision.effect, judged.watched.effect) == (Effect.DENY, Effect.ERROR)


async def test_a_settlement_that_is_late_is_counted_for_the_throttles_of_who_acted(fence, clock, watcher):
    store = Store(clock)
    made = fence(OPEN, candidate=tokens(100), buckets=store)
    judged = await made.judge(call())
    store.away = True
    await made.settle(judged, Usage(10, 10), status=200)
    assert watcher.failures == []
    store.away = False
    await made.charging.settle_late()
    assert await left(store, "tokens", watching=True) == 80


def faulty(side: Side) -> Side:
    def bind(_: object) -> object:
        raise ZeroDivisionError

    broken = replace(side)  # of which it is known already whom it refuses
    object.__setattr__(broken, "policy", replace(side.policy, bind=bind))
    return broken


async def test_a_fault_of_the_policy_that_only_watches_is_logged_and_harms_nobody(fence, caplog):
    made = fence(OPEN, candidate=OPEN)
    beside = made.in_force.candidate
    made.in_force = replace(made.in_force, candidate=replace(beside, side=faulty(beside.side)))
    with caplog.at_level(logging.ERROR):
        judged = [await made.judge(call()) for _ in range(3)]
    assert [(one.decision.effect, one.watched.effect) for one in judged] == [(Effect.ALLOW, Effect.ERROR)] * 3
    [record] = caplog.records
    assert beside.side.policy.hash in record.getMessage()


async def test_a_fault_of_the_policy_that_acts_is_a_fault(fence):
    made = fence(OPEN, candidate=OPEN, canary=100.0)
    beside = made.in_force.candidate
    made.in_force = replace(made.in_force, candidate=replace(beside, side=faulty(beside.side)))
    with pytest.raises(ZeroDivisionError):
        await made.judge(call())


async def test_what_no_policy_can_answer_for_neither_answers_for(fence):
    made = fence(OPEN, candidate=calls(3), evidence_is_kept=lambda: False)
    judged = await made.judge(call())
    assert (judged.decision.effect, judged.watched.effect) == (Effect.ERROR, Effect.ERROR)
    unanswered = fence(CUSTOMERS, candidate=OPEN, accounts=Directory(fails=UnavailableError()))
    judged = await unanswered.judge(call())
    assert (judged.decision.effect, judged.watched.effect) == (Effect.ERROR, Effect.ALLOW)


async def test_who_can_only_be_let_in_by_the_candidate_is_watched_where_it_acts(fence):
    closed = Account("acme", "closed", "basic")
    for canary, is_watched in ((0.0, False), (100.0, True)):
        detector = Unwary()
        made = fence(CUSTOMERS, candidate=OPEN, canary=canary, accounts=Directory(closed), detector=detector)
        await made.judge(call())
        assert [caller is not None for caller in detector.callers] == [is_watched]
