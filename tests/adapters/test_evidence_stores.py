"""What every store of evidence does. A new store is one more name in STORES and one more fixture."""

import itertools
import uuid
from dataclasses import replace

import pytest

from modelfence.adapters.memory.evidence import MemoryEvidence
from modelfence.adapters.redis.evidence import RedisEvidence
from modelfence.core.extraction import Fingerprint
from modelfence.extraction import score
from modelfence.extraction.evidence import (
    ACCOUNTS,
    COHORTS_OF_AN_ACCOUNT,
    CONTROLS,
    COUNTRIES,
    DAY_S,
    HEARD,
    HOUR_S,
    LEARNED,
    LEARNS,
    MATCHES,
    RECENT_COUNTRIES,
    RECENT_ITEMS,
    RECENT_SHINGLES,
    TEMPLATE,
    Bounds,
    Sighting,
    Tally,
)

SERVERS = {"redis": "redis_server", "redis_cluster": "redis_cluster"}
STORES = ["memory", *SERVERS]
MONDAY_S = 20_520 * DAY_S
A, B, C, D, E = (tuple(range(n, n + 6)) for n in (100, 200, 300, 400, 500))
"""Templates, as the shingles they are told by."""
TOO_MANY = [tuple(range(n, n + 6)) for n in range(600, 600 + 100 * (COHORTS_OF_AN_ACCOUNT + 1), 100)]
"""One more than an account has cohorts."""
FIVE = [f"account-{number}" for number in range(ACCOUNTS)]
numbers = itertools.count(1 << 20)


@pytest.fixture(params=STORES)
async def start(request):
    """A function that returns an empty store with these bounds."""
    opened = []

    def started(**bounds: int):
        if request.param == "memory":
            return MemoryEvidence(Bounds(**bounds))
        url = request.getfixturevalue(SERVERS[request.param]).url
        opened.append(RedisEvidence(url, prefix=f"test-{uuid.uuid4()}", deadline_s=10, bounds=Bounds(**bounds)))
        return opened[-1]

    yield started
    for store in opened:
        await store.close()


@pytest.fixture
def store(start):
    return start()


def call(caller: str, *templates: tuple[int, ...], at_s: int = MONDAY_S, **of_fingerprint) -> Sighting:
    """Return a call with these templates in its message, beside words of its own; what it asks is new."""
    words = tuple(next(numbers) for _ in range(3))
    last = tuple(shingle for template in templates for shingle in template)
    fields = {"last": (*last, *words), "item": next(numbers), **of_fingerprint}
    return Sighting(at_s, caller, "basic", is_verified=False, country="NO", fingerprint=Fingerprint(**fields))


async def send(store, callers, *templates: tuple[int, ...], at_s: int = MONDAY_S, **of_fingerprint):
    """Let each of them call once; return what is known after the last."""
    for caller in callers:
        seen = await store.see(call(caller, *templates, at_s=at_s, **of_fingerprint))
    return seen


def others(count: int, kind: str = "other") -> list[str]:
    return [f"{kind}-{number}" for number in range(count)]


def cohort_of(template: tuple[int, ...]) -> str:
    return f"{template[0]:012x}"


async def accounts_by_cohort(store) -> dict[str, int]:
    return {cohort.id: cohort.accounts for cohort in await store.cohorts()}


async def test_a_template_that_five_accounts_sent_is_a_cohort(store):
    seen = await send(store, FIVE, A)
    assert seen.matched == (cohort_of(A),)
    record, calls = seen.cohorts[0]
    assert calls == 1
    assert (record.accounts, record.calls, record.in_message, record.template) == (5, 5, 5, A)
    assert await store.cohorts() == [record]


async def test_one_that_four_accounts_sent_is_none_however_often(store):
    for _ in range(10):
        seen = await send(store, FIVE[1:], A)
    assert seen.matched == ()
    assert await store.cohorts() == []


async def test_a_phrase_of_two_shingles_is_no_template(store):
    seen = await send(store, others(40), A[:2])
    assert seen.matched == ()
    assert await store.cohorts() == []


async def test_three_shingles_are_one(store):
    assert (await send(store, FIVE, A[:3])).matched == (cohort_of(A),)


async def test_accounts_that_call_only_once_count(store):
    await send(store, [*FIVE, *others(30)], A)
    record = (await store.cohorts())[0]
    assert (record.accounts, record.calls, record.pairs) == (35, 35, 0)


async def test_those_who_began_it_are_not_counted_again_when_they_call_again(store):
    for _ in range(3):
        await send(store, FIVE, A)
    record = (await store.cohorts())[0]
    assert (record.accounts, record.calls) == (5, 15)
    assert record.tiers == {"basic": 5}
    assert record.countries == {"NO": 5}


async def test_only_so_many_are_remembered_who_were_counted_before_they_were_known_by_name(store):
    members, founders = others(100), [others(5, f"founder-{number}") for number in range(20)]
    await send(store, members * 2, A)
    for number, five in enumerate(founders):
        template = tuple(range(1_000 * (number + 1), 1_000 * (number + 1) + 3))
        await send(store, [*five, *members], template, at_s=MONDAY_S + 1)
    before = await accounts_by_cohort(store)
    assert list(before) == [cohort_of(A)]
    await send(store, founders[0][:4], A)
    assert await accounts_by_cohort(store) == before
    await send(store, founders[-1][:4], A)
    assert await accounts_by_cohort(store) == {cohort_of(A): before[cohort_of(A)] + 4}


async def test_pairs_of_calls_tell_how_unevenly_accounts_call(store):
    await send(store, [*FIVE, *["often"] * 7], A)
    assert (await store.cohorts())[0].pairs == 7 * 6


async def test_accounts_are_counted_by_tier_country_and_verification(store):
    await send(store, FIVE, A)
    seen = await store.see(replace(call("other", A), tier="verified", is_verified=True, country=""))
    record = seen.cohorts[0][0]
    assert record.tiers == {"basic": 1, "verified": 1}  # of those who began it one is known by name
    assert record.countries == {"NO": 1, "": 1}
    assert record.verified == 1


async def test_countries_beyond_the_bound_count_as_unknown(store):
    await send(store, FIVE, A)
    for number in range(COUNTRIES + 4):
        await store.see(replace(call(f"from-{number}", A), country=f"C{number}"))
    await store.see(replace(call("one more", A), country="NO"))
    countries = (await store.cohorts())[0].countries
    assert countries[""] == 5
    assert countries["NO"] == 2
    assert len(countries) == COUNTRIES + 1


async def controlled(store, *controls: tuple[str, ...], template: tuple[int, ...] = A) -> int:
    """Let an account call twice for each of these; return of how many the cohort knows the commonest."""
    for _ in range(2):
        for number, control in enumerate(controls):
            seen = await store.see(replace(call(f"account-{number}", template), control=control))
    return seen.cohorts[-1][0].controlled


@pytest.mark.parametrize(
    ("controls", "most"),
    [
        ([()] * 6, 0),
        ([("payer acme",)] * 6, 6),
        ([("payer acme", f"domain {number}.example", "batch 1") for number in range(6)], 6),
        ([("payer acme",)] * 3 + [("payer other",)] * 4 + [()], 4),
        # Each that finds no room takes one from all, and those of whom none is left give theirs up.
        ([(f"payer {number}",) for number in range(2 * CONTROLS + 2)], 0),
        # Another kind of the same name is another.
        ([("payer acme",)] * 4 + [("batch acme",)] * 4, 4),
    ],
)
async def test_accounts_of_a_cohort_are_counted_by_what_they_share(store, controls, most):
    assert await controlled(store, *controls) == most


async def test_what_is_commonest_is_found_among_more_than_are_counted(store):
    others = [(f"payer {number}",) for number in range(2 * CONTROLS)]
    mixed = [*others[:CONTROLS], *[("payer acme",)] * 20, *others[CONTROLS:]]
    assert 20 - len(mixed) // CONTROLS <= await controlled(store, *mixed) <= 20


async def test_a_cohort_that_takes_another_in_counts_all_less_where_there_is_no_room(store):
    pairs = [(f"payer {number // 2}",) for number in range(2 * CONTROLS)]
    assert await controlled(store, *pairs) == 2
    for caller in others(30):
        await store.see(replace(call(caller, B, at_s=MONDAY_S + 1), control=("payer acme",)))
    before = (await store.cohorts())[1]
    assert before.controlled == 26  # four of those who began it are not known by name
    for number in range(2 * CONTROLS):
        await store.see(call(f"account-{number}", B, at_s=MONDAY_S + 2))
    [cohort] = await store.cohorts()
    # Of the 77 accounts that the second had then, 30 were new to the first: so many of 26 are 10. Two went for room.
    assert cohort.controlled == 8


async def test_accounts_of_two_cohorts_that_become_one_are_not_counted_by_payer_twice(store):
    for template in (A, B):
        await controlled(store, *[("payer acme",)] * 6, template=template)
    [cohort] = await store.cohorts()
    assert cohort.controlled == 6


async def from_countries(store, *visits: tuple[str, int], caller: str = "acme") -> tuple[str, ...]:
    """Let one account call from each country so many seconds on; return the countries known after the last call."""
    for country, after_s in visits:
        seen = await store.see(replace(call(caller, at_s=MONDAY_S + after_s), country=country))
    return seen.countries


@pytest.mark.parametrize(
    ("visits", "countries"),
    [
        ([("NO", 0)], ("NO",)),
        ([("US", 0), ("NO", 1), ("US", 2)], ("NO", "US")),
        ([("US", 0), ("NO", HOUR_S - 1)], ("NO", "US")),
        ([("US", 0), ("NO", HOUR_S)], ("NO",)),
        ([("US", 0), ("US", HOUR_S - 1), ("NO", HOUR_S + 5)], ("NO", "US")),
        ([("US", 0), ("", 5)], ("US",)),
        ([("", 0)], ()),
        ([("US", 0), ("", HOUR_S)], ()),
        ([("US", 60), ("NO", 0)], ("NO", "US")),  # a worker that was slow to tell
        ([("US", 60), ("US", 0), ("NO", HOUR_S + 59)], ("NO", "US")),
        ([("US", 0), ("NO", 8 * DAY_S)], ("NO",)),
    ],
)
async def test_the_countries_an_account_called_from_are_known_for_an_hour(store, visits, countries):
    assert await from_countries(store, *visits) == countries


async def test_the_countries_of_one_account_are_not_anothers(store):
    await from_countries(store, ("US", 0))
    assert await from_countries(store, ("NO", 1), caller="other") == ("NO",)


async def test_of_too_many_countries_the_latest_are_known(store):
    visits = [(f"C{number}", number) for number in range(RECENT_COUNTRIES)]
    latest = await from_countries(store, *visits, ("C0", 20), ("NO", 21))
    assert latest == ("C0", *(f"C{number}" for number in range(2, RECENT_COUNTRIES)), "NO")


async def test_a_call_without_text_tells_its_country_and_nothing_else(store):
    before = await send(store, FIVE, A)
    silent = replace(call(FIVE[-1], last=(), item=0), country="US")
    after = await store.see(silent)
    assert after.countries == ("NO", "US")
    assert (after.tally, after.matched, after.cohorts) == (before.tally, (), before.cohorts)
    assert (await store.see(replace(silent, caller="new"))).tally == Tally()


async def test_a_template_outside_the_message_is_not_counted_as_in_it(store):
    seen = await send(store, FIVE, system=A)
    assert seen.matched == (cohort_of(A),)
    assert (seen.cohorts[0][0].calls, seen.cohorts[0][0].in_message) == (5, 0)
    await send(store, FIVE, A[:2], system=A[2:])
    assert (await store.cohorts())[0].in_message == 0


async def test_a_cohort_goes_on_learning_its_template_for_a_while(store):
    later = tuple(range(150, 150 + TEMPLATE))
    await send(store, FIVE, A)
    await send(store, others(5), A, later)
    assert (await store.cohorts())[0].template == (A + later)[:TEMPLATE]
    assert (await store.see(call("new", later))).matched == (cohort_of(A),)


async def test_a_campaign_on_a_frameworks_scaffold_is_a_cohort_of_its_own(store):
    users = others(LEARNS)
    await send(store, users, C)
    seen = await send(store, FIVE, C, A)
    assert seen.matched == (cohort_of(C), cohort_of(A))
    assert await accounts_by_cohort(store) == {cohort_of(A): 5, cohort_of(C): LEARNS + 5}
    assert (await send(store, users, C)).matched == (cohort_of(C),)


async def test_variants_of_which_the_same_accounts_have_both_are_one_cohort_the_older(store):
    for _ in range(2):
        await send(store, FIVE, B)
    for _ in range(2):
        seen = await send(store, FIVE, A, at_s=MONDAY_S + 60)
    assert seen.matched == (cohort_of(B),)
    record, calls = seen.cohorts[0]
    assert await store.cohorts() == [record]
    assert (record.accounts, record.calls, calls) == (5, 20, 4)
    assert record.template == (*A, *B)
    assert (record.first_at_s, record.last_at_s) == (MONDAY_S, MONDAY_S + 60)
    assert record.tiers["basic"] >= 5
    assert (await store.see(call("new", A))).matched == (cohort_of(B),)


async def test_what_one_has_taken_in_is_taken_in_by_a_third_with_it(store):
    for template, at_s in ((C, 0), (B, 1), (A, 2)):
        for _ in range(2):
            await send(store, FIVE, template, at_s=MONDAY_S + at_s)
    assert await accounts_by_cohort(store) == {cohort_of(C): 5}
    assert (await store.see(call("new", A, B, C))).matched == (cohort_of(C),)


async def test_accounts_of_two_cohorts_that_become_one_are_not_counted_by_tier_twice(store):
    for template in (A, B):
        for name in FIVE * 2:
            is_first = name == FIVE[0]
            tier = "verified" if is_first else "basic"
            await store.see(replace(call(name, template), tier=tier, is_verified=is_first))
    [cohort] = await store.cohorts()
    assert (cohort.accounts, cohort.verified) == (5, 1)
    assert sum(cohort.tiers.values()) == sum(cohort.countries.values()) == 5


async def test_only_the_wish_for_training_data_is_counted_of_phrases(store):
    seen = await send(store, FIVE, A, phrases=("judge_rubric", "reasoning_elicitation", "training_schema"))
    assert (seen.tally.phrased, seen.cohorts[0][0].phrased) == (0, 0)
    seen = await send(store, FIVE, A, phrases=("generator_phrasing",))
    assert (seen.tally.phrased, seen.cohorts[0][0].phrased) == (1, 5)


async def test_templates_that_calls_have_together_stay_two_cohorts(store):
    users, campaign = others(10, "users"), others(30, "campaign")
    await send(store, users, A)
    for _ in range(3):
        seen = await send(store, campaign, A, B)
    assert seen.matched == (cohort_of(A), cohort_of(B))
    assert await accounts_by_cohort(store) == {cohort_of(A): 40, cohort_of(B): 30}
    assert [calls for _, calls in seen.cohorts] == [3, 3]


async def test_of_too_many_that_were_taken_in_the_first_is_forgotten(start):
    store = start(cohorts=2)
    for number, template in enumerate((D, A, B, C)):
        await send(store, [*FIVE, *FIVE[:4]], template, at_s=MONDAY_S + number)
    assert list(await accounts_by_cohort(store)) == [cohort_of(D)]
    assert (await store.see(call("new", B))).matched == (cohort_of(D),)
    assert (await store.see(call("new", A))).matched == ()


async def test_one_that_was_taken_in_may_begin_again_when_the_other_is_gone(start):
    store = start(cohorts=2, expires_s=DAY_S)
    for number, template in enumerate((D, A)):
        await send(store, FIVE * 2, template, at_s=MONDAY_S + number)
    assert list(await accounts_by_cohort(store)) == [cohort_of(D)]
    for number, template in enumerate((A, B, C, E)):
        await send(store, FIVE * 2, template, at_s=MONDAY_S + 2 * DAY_S + number)
    assert await accounts_by_cohort(store) == {cohort_of(A): 5}


async def test_cohorts_with_few_accounts_in_common_stay_two(store):
    await send(store, others(20, "one"), A)
    await send(store, others(20, "two"), B)
    await send(store, FIVE, A, B)
    assert await accounts_by_cohort(store) == {cohort_of(A): 25, cohort_of(B): 25}


async def test_a_cohort_that_overlaps_with_very_many_is_counted_on_their_side(store):
    templates = [tuple(range(1_000 * n, 1_000 * n + 3)) for n in range(1, 20)]
    hubs = others(len(templates), "hub")
    await send(store, [*FIVE, *hubs], A)
    for template, hub in zip(templates, hubs, strict=True):
        await send(store, [*others(5, f"of-{template[0]}"), hub], template)
    assert len(await store.cohorts()) == 1 + len(templates)
    await send(store, hubs[:-1], templates[-1])
    assert cohort_of(templates[-1]) not in await accounts_by_cohort(store)


async def test_a_call_matches_the_three_cohorts_that_are_most_like_it(store):
    for template in (A, B, C, D):
        await send(store, others(5, str(template)), template)
    seen = await store.see(call("new", A[:3], D, C[:4], B[:3]))
    assert seen.matched == (cohort_of(D), cohort_of(C), cohort_of(A))
    assert len(seen.matched) == MATCHES


async def test_of_the_cohorts_of_an_account_the_new_one_and_those_it_calls_for_most_are_known(store):
    *many, last = TOO_MANY
    for template in TOO_MANY:
        await send(store, others(20, str(template)), template)
    for template in many:
        await send(store, ["one"] * (1 if template is many[1] else 2), template)
    seen = await send(store, ["one"], last)
    assert {cohort.id: calls for cohort, calls in seen.cohorts} == {
        **{cohort_of(template): 2 for template in many if template is not many[1]},
        cohort_of(last): 1,
    }


async def test_an_account_that_leaves_the_template_stays_in_its_cohort(store):
    await send(store, FIVE, A)
    seen = await send(store, FIVE[4:])
    assert seen.matched == ()
    assert [(cohort.id, calls) for cohort, calls in seen.cohorts] == [(cohort_of(A), 1)]


async def test_a_tally_counts_what_an_account_does(store):
    first = call("one", history=7, phrases=("generator_phrasing",))
    await store.see(replace(first, is_probe=True))
    seen = await store.see(replace(first, is_probe=True, at_s=MONDAY_S + 5 * HOUR_S))
    assert seen.tally == Tally(
        calls=2, deep=2, repeated=1, phrased=2, probes=2, repeated_probes=1, hours=1 << 0 | 1 << 5
    )


async def test_each_day_that_begins_halves_a_tally(store):
    for _ in range(9):
        await store.see(call("one", history=3, at_s=MONDAY_S + 23 * HOUR_S))
    tally = (await store.see(call("one", at_s=MONDAY_S + DAY_S))).tally
    assert (tally.calls, tally.deep, tally.hours, tally.hours_before) == (5, 4, 1, 1 << 23)
    tally = (await store.see(call("one", at_s=MONDAY_S + 3 * DAY_S))).tally
    assert (tally.calls, tally.deep, tally.hours, tally.hours_before) == (2, 1, 1, 0)


async def test_each_day_that_begins_halves_the_calls_in_a_cohort(store):
    await send(store, [*FIVE, *FIVE[:1] * 3], A)
    seen = await send(store, FIVE[:1], at_s=MONDAY_S + DAY_S)
    assert [calls for _, calls in seen.cohorts] == [1]
    seen = await send(store, FIVE[:1], at_s=MONDAY_S + 2 * DAY_S)
    assert [calls for _, calls in seen.cohorts] == [0]


async def test_an_account_whose_calls_came_to_nothing_is_no_new_one_when_it_comes_back(store):
    for day in range(4):
        seen = await send(store, FIVE, A, at_s=MONDAY_S + day * DAY_S)
    assert await accounts_by_cohort(store) == {cohort_of(A): 5}
    assert [calls for _, calls in seen.cohorts] == [1]


async def test_a_call_that_comes_out_of_order_counts_in_the_day_that_has_begun(store):
    await store.see(call("one", at_s=MONDAY_S))
    assert (await store.see(call("one", at_s=MONDAY_S - 10))).tally.calls == 2


async def test_an_item_that_was_asked_lately_is_repeated(store):
    items = list(range(1, RECENT_ITEMS + 2))
    for item in items:
        assert (await store.see(call("one", item=item))).tally.repeated == 0
    assert (await store.see(call("one", item=items[1]))).tally.repeated == 1
    assert (await store.see(call("one", item=items[0]))).tally.repeated == 1


async def test_a_template_of_an_account_is_known_by_what_recurs_in_its_messages(store):
    templated = [(await store.see(call("one", A))).tally.templated for _ in range(5)]
    assert templated == [0, 0, 0, 1, 2]
    assert (await store.see(call("one", A[:1]))).tally.templated == 2
    assert (await store.see(call("one", system=A))).tally.templated == 2


async def test_what_recurs_but_now_and_then_is_forgotten_before_it_is_a_template(store):
    for _ in range(4):
        await store.see(call("one", A))
        for _ in range(RECENT_SHINGLES // 3 + 1):
            await store.see(call("one"))
    assert (await store.see(call("one", A))).tally.templated == 0


async def test_of_much_that_recurs_the_least_is_worn_down(store):
    mine = [tuple(range(n, n + 16)) for n in (1_000, 2_000)]
    for template in (mine[0], mine[0], mine[0], mine[1], mine[1], mine[1], mine[1]):
        seen = await store.see(call("one", last=template))
    assert seen.tally.templated == 0
    for _ in range(6):
        seen = await store.see(call("one", last=mine[1]))
    assert seen.tally.templated > 0


async def test_a_history_that_is_new_to_the_cohort_is_conversation(store):
    await send(store, FIVE, system=A)
    for number, history in enumerate((1, 2, 2, 1, 3)):
        seen = await store.see(call(f"tenant-{number}", system=A, history=history))
    assert seen.cohorts[0][0].deep == 3


async def test_a_history_before_the_template_itself_is_none(store):
    await send(store, FIVE, A)
    assert (await store.see(call("one", A, history=1))).cohorts[0][0].deep == 0


async def test_no_account_says_more_of_a_cohort_than_others_do(store):
    await send(store, FIVE, A)
    before = (await store.cohorts())[0]
    loud = call("loud", (), system=A, item=1 << 40, phrases=("generator_phrasing",))
    for number in range(50):
        seen = await store.see(replace(loud, fingerprint=replace(loud.fingerprint, history=number + 1)))
    record = seen.cohorts[0][0]
    assert record.calls == before.calls + 50
    assert (record.heard, record.deep, record.phrased) == (before.heard + 3, 3, 3)
    assert (record.checked, record.repeated) == (before.checked + 3, 2)


async def test_an_account_is_heard_twice_as_often_as_the_others_are_and_not_without_end(store):
    for _ in range(8):
        await send(store, FIVE, A)
    before = (await store.cohorts())[0].heard
    usual = before // ACCOUNTS
    seen = await send(store, ["loud"] * 50, A)
    assert usual < seen.cohorts[0][0].heard - before <= 3 * usual
    for _ in range(50):
        seen = await send(store, [*FIVE, "loud"], A)
    assert seen.cohorts[0][0].heard <= HEARD * 6 + ACCOUNTS


async def test_a_new_day_lets_an_account_be_heard_again(store):
    await send(store, FIVE, A)
    await send(store, ["loud"] * 4, A)
    before = (await store.cohorts())[0].heard
    seen = await send(store, ["loud"], A, at_s=MONDAY_S + DAY_S)
    assert seen.cohorts[0][0].heard == before + 1


async def test_the_answers_of_an_account_are_heard_as_long_as_its_calls(store):
    await send(store, FIVE, A)
    for _ in range(30):
        await store.see(call("loud", A))
        await store.answered("loud", cohort_of(A), 10)
    record = (await store.cohorts())[0]
    assert (record.answers, record.answer_tokens, record.output_tokens) == (3, 30, 300)


async def test_who_calls_how_often_is_counted_over_all_days(store):
    await send(store, FIVE, A)
    for day in range(6):
        for number in range(10):
            seen = await send(store, [f"tenant-{number}"] * (number + 1), A, at_s=MONDAY_S + day * DAY_S)
    record, ever = seen.cohorts[0][0], [6 * (number + 1) for number in range(10)]
    assert record.pairs == sum(n * (n - 1) for n in ever)
    assert score.unevenness(record) > 5


async def test_who_comes_and_goes_counts_once_and_is_heard_no_longer_than_others(store):
    for template in TOO_MANY:
        await send(store, others(20, str(template)), template)
    before = {cohort.id: cohort for cohort in await store.cohorts()}
    for _ in range(2 * HEARD):
        for template in TOO_MANY:
            await send(store, ["restless"], template)
    after = await store.cohorts()
    assert [one.id for one in after] == list(before)
    assert max(one.accounts - before[one.id].accounts for one in after) == 1
    assert max(one.heard - before[one.id].heard for one in after) <= HEARD


async def test_cohorts_that_one_account_uses_in_turn_do_not_become_one(store):
    for template in TOO_MANY:
        await send(store, others(6, str(template)), template)
    for _ in range(10):
        for template in TOO_MANY:
            await send(store, ["restless"], template)
    assert len(await store.cohorts()) == len(TOO_MANY)


async def test_where_another_takes_the_place_of_a_cohort_not_used_for_days_the_account_is_new_to_it(store):
    *many, last = TOO_MANY
    for template in TOO_MANY:
        await send(store, others(20, str(template)), template)
    for template in many:
        await send(store, ["one"], template)
    await send(store, ["one"], last, at_s=MONDAY_S + DAY_S)
    assert (await accounts_by_cohort(store))[cohort_of(last)] == 21


async def test_a_few_accounts_can_not_teach_a_cohort_without_end(store):
    said = [tuple(range(start, start + 60)) for start in range(1_000, 1_600, 60)]
    await send(store, FIVE, A)
    for phrases in said:
        await send(store, FIVE, A, phrases)
    taught = [phrases for phrases in said if cohort_of(A) in (await send(store, ["somebody"], phrases)).matched]
    assert len(taught) == LEARNED // 60


async def test_what_was_heard_long_ago_gives_way_to_what_is_heard_now(start):
    store = start(worn=400)
    await send(store, FIVE, A)
    for number in range(200):
        await store.see(call(f"first-{number}", A, item=1))
    assert score.repeated_share((await store.cohorts())[0]) > 0.9
    shares = []
    for number in range(1_500):
        seen = await store.see(call(f"then-{number}", A))
        shares.append(score.repeated_share(seen.cohorts[0][0]))
    assert shares[300] > 0.2
    assert shares[-1] < 0.1


async def test_conversation_counts_however_many_there_have_been(start):
    store = start(worn=400)
    await send(store, FIVE, system=A)
    for number in range(2_000):
        seen = await store.see(
            call(f"tenant-{number % 200}", system=A, at_s=MONDAY_S + 600 * number, history=next(numbers))
        )
    record = seen.cohorts[0][0]
    assert record.deep > 0.7 * record.heard


async def test_work_is_disjoint_or_repeated_over_all_accounts(store):
    await send(store, FIVE, A)
    for number in range(10):
        await store.see(call(f"other-{number}", A, item=number % 5 + 1, phrases=("generator_phrasing",)))
    seen = await store.see(call("other", A, item=0))
    record = seen.cohorts[0][0]
    assert (record.checked, record.repeated, record.phrased) == (11, 5, 10)


async def test_those_who_are_taken_in_bring_their_work(store):
    for template, first in ((A, 1), (B, 11)):
        for _ in range(2):
            for number, caller in enumerate(FIVE):
                await store.see(call(caller, template, item=first + number))
    assert list(await accounts_by_cohort(store)) == [cohort_of(A)]
    before = (await store.cohorts())[0].repeated
    for item in (1, 12):
        await store.see(call("new", B, item=item))
    assert (await store.cohorts())[0].repeated == before + 2


async def test_answers_count_for_the_account_and_for_the_cohort(store):
    await send(store, FIVE, A)
    await store.answered(FIVE[0], cohort_of(A), 300)
    await store.answered(FIVE[0], "", 1 << 40)
    record = (await store.cohorts())[0]
    assert (record.answers, record.output_tokens) == (1, 300)
    tally = (await send(store, FIVE[:1])).tally
    assert (tally.answers, tally.output_tokens) == (2, 300 + (1 << 40))


async def test_answers_for_a_cohort_that_was_taken_in_count_for_the_other(store):
    for template in (B, A):
        for _ in range(2):
            await send(store, FIVE, template, at_s=MONDAY_S + (template is A))
    await store.answered("nobody", cohort_of(A), 300)
    assert [(one.id, one.answers, one.output_tokens) for one in await store.cohorts()] == [(cohort_of(B), 1, 300)]


@pytest.mark.parametrize("cohort", ["", "000000000063", "none", "ff", "00" * 7])
async def test_answers_of_the_unknown_are_left_out(store, cohort):
    await send(store, FIVE, A)
    await store.answered("nobody", cohort, 300)
    assert [one.answers for one in await store.cohorts()] == [0]
    assert (await send(store, ["nobody"])).tally == Tally(calls=1, hours=1)


async def test_cohorts_are_listed_by_id(store):
    for template in (C, A, B):
        await send(store, others(5, str(template)), template)
    assert [one.id for one in await store.cohorts()] == [cohort_of(A), cohort_of(B), cohort_of(C)]


@pytest.mark.parametrize(
    "caller", ["", "a}b", "{", "\udcff", "\0\n", "x" * 100_000, "é:*"], ids=lambda name: f"{name[:3]!a}"
)
async def test_any_name_is_an_account_of_its_own(store, caller):
    assert (await store.see(call(caller))).tally.calls == 1
    assert (await store.see(call(caller + "x"))).tally.calls == 1
    assert (await store.see(call(caller))).tally.calls == 2


async def test_accounts_that_have_not_called_for_long_begin_again(start):
    store = start(expires_s=DAY_S)
    await store.see(call("one"))
    assert (await store.see(call("one", at_s=MONDAY_S + DAY_S))).tally.calls == 1
    assert (await store.see(call("one", at_s=MONDAY_S + 2 * DAY_S))).tally.calls == 1
    assert (await store.see(call("two"))).tally.calls == 1
    assert (await store.see(call("two", at_s=MONDAY_S + 2 * DAY_S, item=1))).tally.hours_before == 0


async def test_shingles_that_were_not_met_for_long_begin_again(start):
    store = start(expires_s=2 * DAY_S)
    await send(store, FIVE[:4], A)
    await send(store, FIVE[:4], B)
    assert (await send(store, FIVE[4:], B, at_s=MONDAY_S + 2 * DAY_S)).matched == (cohort_of(B),)
    assert (await send(store, FIVE[4:], A, at_s=MONDAY_S + 3 * DAY_S)).matched == ()


@pytest.mark.parametrize("flooding", [1, 4])
async def test_who_sends_nothing_but_new_words_pushes_out_his_own(start, flooding):
    store = start(shingles=640)
    await send(store, FIVE[:4], A)
    for number in range(200):
        await store.see(call(f"flood-{number % flooding}", tuple(next(numbers) for _ in range(40))))
    assert (await send(store, FIVE[4:], A)).matched == (cohort_of(A),)


async def test_what_several_noisy_accounts_sent_is_theirs_alone(start):
    store = start(shingles=640)
    await send(store, FIVE[:4], A)
    for _ in range(200):
        noise = tuple(next(numbers) for _ in range(40))
        await send(store, ["flood-0", "flood-1"], noise)
    assert (await send(store, FIVE[4:], A)).matched == (cohort_of(A),)


async def test_what_nobody_met_for_longest_goes_where_nobody_is_noisy(start):
    store = start(shingles=640)
    await send(store, FIVE[:4], A)
    for number in range(400):
        await store.see(call(f"visitor-{number}", tuple(next(numbers) for _ in range(10))))
    assert (await send(store, FIVE[4:], A)).matched == ()


async def test_a_few_accounts_that_begin_cohorts_do_not_push_out_those_of_many(start):
    store = start(cohorts=20)
    await send(store, others(8), A)
    for start_at in range(10_000, 10_000 + 60 * 6, 6):
        await send(store, FIVE, tuple(range(start_at, start_at + 6)))
    assert (await send(store, ["one more"], A)).matched == (cohort_of(A),)
    assert len(await store.cohorts()) == 20


async def test_cohorts_that_nobody_calls_for_are_forgotten(start):
    store = start(expires_s=2 * DAY_S)
    await send(store, [*FIVE, *FIVE[4:] * 9], A)
    await send(store, [*others(5), FIVE[4]], B, at_s=MONDAY_S + DAY_S)
    seen = await send(store, FIVE[4:], at_s=MONDAY_S + 2 * DAY_S + 1)
    assert [cohort.id for cohort, _ in seen.cohorts] == [cohort_of(B)]
    assert list(await accounts_by_cohort(store)) == [cohort_of(B)]


async def test_a_template_of_a_forgotten_cohort_may_begin_another(start):
    store = start(cohorts=1)
    await send(store, FIVE, A)
    await send(store, others(5), B)
    assert list(await accounts_by_cohort(store)) == [cohort_of(B)]
    seen = await send(store, FIVE, A)
    assert seen.matched == (cohort_of(A),)
    assert await accounts_by_cohort(store) == {cohort_of(A): 5}
    assert seen.cohorts[0][0].checked == 1


async def test_of_too_many_accounts_those_that_called_first_of_a_day_go(start):
    store = start(accounts=3)
    await send(store, ["one", "two", "three"])
    await send(store, ["one", "one"], at_s=MONDAY_S + DAY_S)
    await send(store, ["four"], at_s=MONDAY_S + DAY_S)
    tallies = {name: (await send(store, [name], at_s=MONDAY_S + DAY_S)).tally for name in ("one", "three", "two")}
    assert {name: tally.calls for name, tally in tallies.items()} == {"one": 3, "three": 1, "two": 1}


async def test_of_too_many_shingles_the_third_that_was_met_longest_ago_goes(start):
    store = start(shingles=60)
    await send(store, FIVE[:4], A)
    for _ in range(19):
        await send(store, ["one"])
    assert (await send(store, FIVE[4:], A)).matched == ()


async def test_shingles_of_a_cohort_that_is_kept_stay(start):
    store = start(shingles=60)
    await send(store, FIVE, A)
    for _ in range(100):
        await send(store, ["one"])
    assert (await send(store, ["new"], A)).matched == (cohort_of(A),)


async def test_shingles_of_cohorts_go_when_there_are_no_others(start):
    store = start(shingles=10)
    for template in (A[:3], B[:4], C[:3]):
        await send(store, others(5, str(template)), last=template)
    await send(store, ["one"], last=(1,))
    assert (await send(store, ["new"], last=A[:3])).matched == ()
    assert (await send(store, ["new"], last=B[:4])).matched == (cohort_of(B),)
    assert len(await store.cohorts()) == 3


async def test_a_cohort_whose_shingles_were_forgotten_goes_on_when_they_are_met_again(start):
    store = start(shingles=10)
    for template in (A[:3], B[:4], C[:3]):
        await send(store, others(5, str(template)), last=template)
    await send(store, ["one"], last=(1,))
    seen = await send(store, FIVE, last=A[:3])
    assert seen.matched == (cohort_of(A),)
    assert (seen.cohorts[0][0].calls, seen.cohorts[0][0].accounts) == (6, 6)


async def test_a_store_that_has_seen_much_answers_as_before(start):
    store = start(accounts=10, shingles=100, cohorts=3)
    for number in range(300):
        base = number // 10 * 1_000
        await send(store, [f"account-{number % 30}"], tuple(range(base, base + 6)))
    assert len(await store.cohorts()) <= 3
    assert (await send(store, ["new"])).tally.calls == 1
