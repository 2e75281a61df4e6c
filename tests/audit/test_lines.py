"""What a line says of a call."""

import hashlib
import hmac
import json
from dataclasses import replace

import pytest
from tests.audit.calls import DENIED, GEO_BUILT_S, SECRET, THROTTLED, USED, judged, nth, settled
from tests.enforcement.outside import NOON_US

from modelfence.audit.chain import Link, Seals
from modelfence.audit.lines import Lines
from modelfence.core.account import Account, Check, Found, versioned
from modelfence.core.call import Credential, CredentialState, Reading, key_digest
from modelfence.core.charge import Demand
from modelfence.core.decision import Effect, decide
from modelfence.policy import compile_text

KEY = b"a key of thirty-two bytes or more"


def line_of(judged_, settled_=None, lines=Lines(3)):  # noqa: B008 - frozen
    return json.loads(b"{%b}" % lines.fields(judged_, settled_, GEO_BUILT_S))


def test_an_admitted_call_that_has_ended_says_everything():
    account = versioned(Account("acme", "active", "basic", country="DE"))
    of = settled(nth(1))
    said = line_of(replace(of.judged, found=Found(Check.VALID, account)), of)
    assert said == {
        "ts": NOON_US / 1e6 + 1.000001,
        "id": "c1",
        "worker": 3,
        "effect": "allow",
        "settled": True,
        "status": 200,
        "account": "acme",
        "account_version": account.version,
        "key": key_digest("sk-acme").removeprefix("sha256:")[:12],
        "credential": "valid",
        "tier": "basic",
        "kyc_status": "active",
        "address": "8.8.8.8",
        "address_hash": None,
        "country": "US",
        "provider": "openai",
        "operation": "chat",
        "model": "gpt-4o",
        "rules": ["everyone"],
        "unknown": [],
        "would": "deny",
        "shadow_rules": ["trial"],
        "charges": [
            {"throttle": "requests", "unit": "requests", "reserved": 1.9, "charged": 1.9, "shadow": False},
            {"throttle": "tokens", "unit": "output_tokens", "reserved": 256.0, "charged": 143.0, "shadow": True},
        ],
        "retry_after": None,
        "usage": {
            "input_tokens": 812,
            "output_tokens": 143,
            "cached_tokens": 7,
            "reasoning_tokens": 9,
            "estimated": True,
        },
        "extraction": {"score": 0.25, "signals": ["judge_rubric"], "cohort": "k1"},
        "policy": "p0licy",
        "candidate": None,
        "geo": {"country": "2026-11-01", "asn": None, "anonymous": None},
    }


def test_where_there_is_a_candidate_a_line_says_what_both_said_and_which_acted():
    policy = compile_text(
        "version: 1\naccess: [{id: all, allow: 'true'}]\nreshape:\n- {id: short, cap: {choices: 1}}\n"
        "- {id: trial, remove: [logprobs], mode: shadow}\n"
    ).policy
    candidate = replace(decide(policy, {}, Demand()), policy_hash="n3xt")
    watched = line_of(replace(judged(nth(1), DENIED), watched=candidate))["candidate"]
    assert watched == {
        "acted": False,
        "policy": "n3xt",
        "effect": "allow",
        "rules": ["all"],
        "unknown": [],
        "reshape": ["short"],
        "live": {
            "policy": "p0licy",
            "effect": "deny",
            "rules": ["embargoed"],
            "unknown": ["client.country"],
            "reshape": [],
        },
    }
    said = line_of(replace(judged(nth(1), candidate), watched=DENIED, candidate_acted=True))
    assert (said["effect"], said["policy"], said["rules"]) == ("allow", "n3xt", ["all"])
    assert said["candidate"] == {**watched, "acted": True}
    throttled = line_of(replace(judged(nth(1)), watched=replace(candidate, effect=Effect.THROTTLE)))["candidate"]
    assert (throttled["effect"], throttled["reshape"]) == ("throttle", [])


def test_every_line_has_the_same_names_in_the_same_order():
    of = settled(nth(1))
    lines = [line_of(of.judged, of), line_of(of.judged), line_of(judged(nth(2), DENIED, None, None))]
    assert len({tuple(line) for line in lines}) == 1


def test_a_refused_call_says_why_and_that_nothing_was_used():
    said = line_of(judged(nth(1), DENIED, None, None))
    assert (said["effect"], said["rules"], said["unknown"]) == ("deny", ["embargoed"], ["client.country"])
    assert [said[name] for name in ("settled", "status", "usage", "account", "country")] == [None] * 5
    assert (said["kyc_status"], said["tier"], said["charges"]) == ("unknown", "none", [])
    assert line_of(judged(nth(1), THROTTLED))["retry_after"] == 1.5


def test_a_call_whose_end_was_not_seen_says_what_was_reserved_and_not_what_was_charged():
    said = line_of(judged(nth(1)))
    assert (said["settled"], said["usage"], said["status"]) == (False, None, None)
    assert [(charge["reserved"], charge["charged"]) for charge in said["charges"]] == [(1.9, 1.9), (256.0, None)]


def test_a_call_that_was_not_served_is_charged_no_tokens():
    said = line_of(judged(nth(1)), settled(nth(1), None, 502))
    assert (said["settled"], said["usage"], said["status"]) == (True, None, 502)
    assert [charge["charged"] for charge in said["charges"]] == [1.9, 0.0]


@pytest.mark.parametrize("state", [CredentialState.MISSING, CredentialState.MALFORMED])
def test_a_credential_that_is_none_has_no_digest(state):
    assert line_of(judged(nth(1, credential=Credential(state))))["key"] is None


def test_an_address_can_be_hashed_and_whoever_has_the_key_can_look_for_it():
    said = line_of(judged(nth(1)), lines=Lines(address_key=KEY))
    assert said["address"] is None
    assert said["address_hash"] == hmac.new(KEY, b"8.8.8.8", hashlib.sha256).hexdigest()[:32]


def test_what_a_caller_calls_a_model_stays_short_and_in_its_line():
    said = line_of(judged(nth(1, reading=Reading("chat", 'm"\n\u2028\ud800' + "x" * 200))))
    assert said["model"] == 'm"\n\u2028\ud800' + "x" * 123
    assert line_of(judged(nth(1, reading=Reading("chat", None))))["model"] is None


def test_no_word_of_a_prompt_no_key_and_no_message_is_in_a_line():
    for line in (
        Lines().fields(settled(nth(1)).judged, settled(nth(1)), {}),
        Lines().fields(judged(nth(1), DENIED), None, {}),
    ):
        assert not [word for word in SECRET.split() if len(word) > 4 and word in line.decode()]
        assert b"sk-acme" not in line
        assert b"not told" not in line


def test_a_line_is_sealed_as_one_json_object():
    line, _ = Seals().next_line(Link(), Lines().fields(settled(nth(1)).judged, settled(nth(1)), GEO_BUILT_S))
    said = json.loads(line)
    assert (list(said)[:2], list(said)[-1]) == (["seq", "prev"], "hash")
    assert said["usage"]["estimated"] is USED.estimated
