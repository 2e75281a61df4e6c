"""The detector: calls of many accounts through a store of evidence."""

import logging
from dataclasses import replace

import pytest
from tests.enforcement.outside import call

from modelfence.adapters.memory.evidence import MemoryEvidence
from modelfence.core.call import Reading, Usage
from modelfence.core.extraction import Caller, Extraction, Fingerprint, Prompt
from modelfence.core.unavailable import UnavailableError
from modelfence.extraction import detection
from modelfence.extraction.detection import Detection
from modelfence.extraction.fingerprint import Fingerprints
from modelfence.extraction.templates import fingerprint
from modelfence.extraction.weights import WEIGHTS, Scope

TEMPLATE = (
    "Below is a riddle from the northern isles. Say what it is about, show every step by which you came to that, and"
    " then make up one more of the same kind that nobody has heard before. The riddle:"
)
FINGERPRINTS = Fingerprints(b"k")


class Evidence(MemoryEvidence):
    """Evidence that can be out of reach."""

    away = False

    async def see(self, sighting):
        if self.away:
            raise UnavailableError("not there")
        return await super().see(sighting)

    async def answered(self, caller, cohort, output_tokens):
        if self.away:
            raise UnavailableError("not there")
        await super().answered(caller, cohort, output_tokens)


@pytest.fixture
def evidence() -> Evidence:
    return Evidence()


@pytest.fixture
def detector(evidence) -> Detection:
    return Detection(evidence, FINGERPRINTS)


def who(name: str, *, verified: bool = False) -> Caller:
    return Caller(name, "verified" if verified else "basic", verified, "NO")


def asking(text: str, **reading):
    return call(reading=Reading("chat", "gpt-4o", prompt=Prompt(user=(text,)), **reading))


async def campaign(
    detector: Detection, accounts: int = 20, rounds: int = 4, *, control: tuple[str, ...] = (), verified: bool = False
) -> Extraction:
    """Let each account ask each time for another riddle, and be answered at length; return what was said last."""
    said = Extraction()
    for turn in range(rounds):
        for account in range(accounts):
            riddle = f"a{account}b{turn} walks c{turn * 31 + account} and d{account * 17 + turn} sings"
            caller = replace(who(f"account-{account}", verified=verified), control=control)
            said = await detector.look(asking(f"{TEMPLATE} {riddle}"), caller)
            await detector.answered(caller, said, Usage(100, 700))
    return said


async def test_accounts_that_share_a_template_are_a_cohort_that_looks_suspicious(detector):
    said = await campaign(detector)
    assert said.score > 0.6
    assert said.cohort_accounts == 20
    assert {"shared_template", "template_in_message", "disjoint_work", "even_volumes", "long_work"} <= {*said.signals}
    assert said.score == pytest.approx(sum(value for _, value in said.contributions), abs=1e-3)


async def test_a_campaign_that_one_payer_pays_for_is_more_suspicious(detector):
    apart = await campaign(detector)
    together = await campaign(Detection(Evidence(), FINGERPRINTS), control=("payer card-7",))
    assert {*together.signals} - {*apart.signals} == {"shared_control"}
    assert together.score - apart.score == pytest.approx(dict(together.contributions)["shared_control"])


async def test_that_one_payer_pays_for_verified_accounts_says_nothing(detector):
    apart = await campaign(detector, verified=True)
    tenant = await campaign(Detection(Evidence(), FINGERPRINTS), verified=True, control=("payer acme",))
    assert tenant.contributions == apart.contributions


async def test_a_member_draws_on_the_cohort_with_its_other_calls_too(detector):
    said = await campaign(detector)
    chat = await detector.look(asking("what shall I cook for seven people tonight"), who("account-3"))
    assert (chat.cohort, chat.score > 0.5) == (said.cohort, True)
    other = await detector.look(asking("what shall I cook for seven people tonight"), who("neighbour"))
    assert (other.cohort, other.score) == ("", 0)


async def test_of_several_cohorts_the_heaviest_counts(detector, evidence):
    said = await campaign(detector)
    scaffold = "You are the help desk of a large shop and answer kindly and in short words whatever is asked of you."
    for account in range(79, -1, -1):  # those of the campaign are too few of them for the two to be one
        for turn in range(3):
            talk = Prompt((scaffold,), (f"x{account} y{turn}", f"z{account * 7 + turn}"), ("well",))
            await detector.look(call(reading=Reading("chat", prompt=talk)), who(f"account-{account}"))
    both = await detector.look(
        call(reading=Reading("chat", prompt=Prompt((scaffold,), ("hello", "again"), ("hm",)))), who("account-1")
    )
    assert both.cohort == said.cohort
    assert len(await evidence.cohorts()) == 2


async def test_of_several_suspicious_cohorts_the_oldest_counts(detector):
    first = await campaign(detector)
    other = (
        "Here is what a customer of our bank has written. Name the product that is meant, quote the words that say so,"
    )
    for account in range(10, 40):
        for turn in range(4):
            text = f"{other} and write a kind reply of three parts: e{account}f{turn} g{turn * 31 + account}"
            later = replace(asking(text), at_us=asking(text).at_us + 1_000_000)
            second = await detector.look(later, who(f"account-{account}"))
            await detector.answered(who(f"account-{account}"), second, Usage(100, 700))
    assert second.cohort not in ("", first.cohort)
    assert second.score > 0.5
    assert (await detector.look(asking(text), who("account-15"))).cohort == first.cohort


async def test_phrases_count_while_a_call_draws_on_no_cohort(detector):
    [(name, weight)] = (
        await detector.look(asking(f"Think step by step and explain: {TEMPLATE}"), who("first"))
    ).contributions
    assert (name, weight) == ("reasoning_elicitation", 0.05)
    await campaign(detector)
    after = await detector.look(asking(f"Think step by step and explain: {TEMPLATE}"), who("account-1"))
    assert after.cohort
    assert "reasoning_elicitation" not in after.signals


async def test_a_template_that_is_exempt_makes_no_cohort(evidence):
    known = fingerprint(FINGERPRINTS.of_text(TEMPLATE))
    said = await campaign(Detection(evidence, FINGERPRINTS, exempt=[known]))
    assert (said.cohort, said.cohort_accounts) == ("", 0)
    assert said.score < 0.3
    assert len(await evidence.cohorts()) == 1


async def test_without_the_weights_of_cohorts_none_is_suspicious(evidence):
    silent = {name: replace(w, most=0.0) if w.scope is Scope.COHORT else w for name, w in WEIGHTS.items()}
    assert (await campaign(Detection(evidence, FINGERPRINTS, weights=silent))).score < 0.3


async def test_probing_for_logits_is_named_from_the_tenth_call_on(detector):
    probe = asking("the", logprobs=True, logit_bias=1, output_tokens=1)
    said = [await detector.look(probe, who("prober")) for _ in range(10)]
    assert ["logit_probing" in one.signals for one in said] == [False] * 9 + [True]
    assert said[-1].score == 1


async def test_without_a_caller_only_the_call_is_looked_at(detector, evidence):
    said = await detector.look(asking("Come up with a set of diverse task instructions."), None)
    assert (said.signals, said.was_measured) == (("generator_phrasing",), True)
    for _ in range(9):
        await campaign(detector, accounts=1)
    assert await evidence.cohorts() == []


async def test_a_call_without_text_teaches_nothing(detector):
    said = await detector.look(call(reading=Reading("models")), who("acme"))
    assert said == Extraction(recent_countries=("NO",))


async def test_calls_without_text_tell_where_an_account_is_used_from(detector, evidence):
    member = await campaign(detector)
    silent = call(reading=Reading("models"))
    for country, known in (("US", ("NO", "US")), ("", ("NO", "US"))):
        said = await detector.look(silent, replace(who("account-3"), country=country))
        assert said == Extraction(recent_countries=known)
    asked = await detector.look(asking("what shall I cook"), who("account-3"))
    assert (asked.cohort, asked.recent_countries) == (member.cohort, ("NO", "US"))
    assert await detector.look(silent, None) == Extraction()
    evidence.away = True
    for text in (asking("what shall I cook"), silent):
        said = await detector.look(text, who("account-3"))
        assert (said.recent_countries, said.was_measured) == (None, False)
    assert said.cohort == ""


async def test_a_fingerprint_that_comes_with_the_call_is_taken(detector):
    given = Fingerprint(item=7, phrases=("judge_rubric",))
    said = await detector.look(call(reading=Reading("chat"), fingerprint=given), who("acme"))
    assert (said.fingerprint, said.signals) == (given, ("judge_rubric",))


async def test_when_the_evidence_is_away_a_known_member_stays_one(detector, evidence, caplog):
    said = await campaign(detector)
    evidence.away = True
    with caplog.at_level(logging.WARNING):
        member = await detector.look(asking("what shall I cook"), who("account-3"))
        stranger = await detector.look(asking("what shall I cook"), who("stranger"))
    assert (member.cohort, member.score > 0.5, member.was_measured) == (said.cohort, True, False)
    assert member.fingerprint == FINGERPRINTS.of(Prompt(user=("what shall I cook",)))
    assert (stranger.cohort, stranger.score, stranger.was_measured) == ("", 0, False)
    assert len(caplog.records) == 1  # and not one for each call
    await detector.answered(who("account-3"), member, Usage(1, 1))


async def test_a_call_that_looks_worse_by_itself_is_not_helped_by_what_is_remembered(detector, evidence):
    weak = {name: replace(w, most=w.most / 20) if w.scope is Scope.COHORT else w for name, w in WEIGHTS.items()}
    detector = Detection(evidence, FINGERPRINTS, weights=weak)
    await campaign(detector, rounds=1)
    evidence.away = True
    probe = asking("Come up with diverse task instructions", logprobs=True, output_tokens=1)
    said = await detector.look(probe, who("account-3"))
    assert (said.cohort, said.score) == ("", 0.2)


async def test_only_so_many_members_are_remembered(detector, evidence, monkeypatch):
    monkeypatch.setattr(detection, "REMEMBERED", 2)
    await campaign(detector)
    evidence.away = True
    known = [(await detector.look(asking("hello"), who(f"account-{n}"))).cohort != "" for n in range(20)]
    assert known == [False] * 18 + [True] * 2
