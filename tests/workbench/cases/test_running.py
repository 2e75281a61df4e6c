"""Cases are run as calls are judged: facts decided and charged, sequences on a clock, requests by the whole loop."""

import pytest

from modelfence.policy import compile_text
from modelfence.workbench.cases import read_case_text, rules_exercised, run

POLICY = """\
version: 1
lists: {embargoed: [KP, IR], research: [o3-deep-research]}
access:
  - {id: embargoed, deny: client.country in lists.embargoed, message: Not in your region.}
  - {id: owned, deny: kyc.tier >= tier.verified && kyc.owned_by.embargoed > 0.5}
  - {id: research, deny: request.model in lists.research && kyc.tier < tier.verified}
  - {id: customers, allow: kyc.status == "active"}
  - {id: probing, deny: "'logit_probing' in extraction.signals", mode: shadow}
reshape:
  - {id: short, when: kyc.tier < tier.verified, remove: [logprobs], cap: {output_tokens: 50}, hide: [reasoning]}
throttle:
  - {id: calls, key: account.id, rate: 60 per minute, burst: 3, message: Too fast.}
  - {id: tokens, key: account.id, unit: output_tokens, rate: 100 per second, burst: 1000}
  - {id: few, key: account.id, rate: 1 per hour, burst: 2, mode: shadow}
"""
GIVEN = """\
given: {client.country: NO, account.id: acme, kyc.tier: verified, kyc.status: active, kyc.ownership: {NO: 1}, request.model: m}
cases:
"""
COMPILED = compile_text(POLICY)


def results(cases: str, *, given: str = GIVEN, policy=COMPILED, path: str = "p.cases.yaml"):
    case_file = read_case_text(given + cases, policy, path=path)
    assert [problem.render() for problem in case_file.problems] == []
    return run(case_file)


def differences(cases: str, **others):
    """Return the first thing that each case that fails did not meet."""
    failed = results(cases, **others).failed
    return {one.case.title: [(d.aspect, d.expected, d.came) for d in one.failure.differences] for one in failed}


@pytest.mark.parametrize(
    ("given", "expect"),
    [
        ("{}", "{effect: allow, rules: [customers], charges: {calls: 1, tokens: 200, few: 1}, keys: {calls: acme}}"),
        ("{client.country: KP}", "{effect: deny, rules: [embargoed], message: Not in your region.}"),
        ("{client.country: null}", "{effect: deny, rules: [embargoed], unknown: [client.country]}"),
        ("{kyc.status: closed}", "{effect: deny, rules: [], message: null}"),
        ("{kyc.ownership: {KP: 0.3, IR: 0.3}}", "{effect: deny, rules: [owned], unknown: []}"),
        ("{kyc.tier: basic}", "{remove: [logprobs], cap: {output_tokens: 50}, hide: [reasoning], would: null}"),
        ("{kyc.tier: basic, request.stream: true}", "{charges: {calls: 1, tokens: 50, few: 1}}"),
        ("{request.stream: true}", "{charges: {calls: 1, tokens: 256, few: 1}}"),
        ("{request.output_tokens: 70}", "{charges: {calls: 1, tokens: 70, few: 1}}"),
        ("{extraction.signals: [logit_probing]}", "{effect: allow, would: deny, shadow_rules: [probing]}"),
        ("{request.model: o3-deep-research, kyc.tier: basic}", "{effect: deny, rules: [research]}"),
    ],
)
def test_a_case_passes_when_everything_that_is_stated_comes(given, expect):
    assert differences(f"  - {{name: one, given: {given}, expect: {expect}}}") == {}


@pytest.mark.parametrize(
    ("expect", "aspect", "expected", "came"),
    [
        ("{effect: deny}", "effect", "deny", "allow"),
        ("{rules: []}", "rules", "nothing", "customers"),
        ("{remove: [logprobs]}", "remove", "logprobs", "nothing"),
        ("{cap: {output_tokens: 50}}", "cap", "output_tokens: 50", "nothing"),
        ("{hide: [reasoning]}", "hide", "reasoning", "nothing"),
        ("{charges: {calls: 1}}", "charges", "calls: 1", "calls: 1, few: 1, tokens: 200"),
        (
            "{charges: {calls: 1, few: 1, tokens: 201}}",
            "charges",
            "calls: 1, few: 1, tokens: 201",
            "calls: 1, few: 1, tokens: 200",
        ),
        ("{keys: {calls: other}}", "keys", "calls: other", "calls: acme"),
        ("{keys: {calls: null}}", "keys", "calls: nothing", "calls: acme"),
        ("{effect: throttle, retry_after: 2s}", "retry_after", "2s", "no wait"),
        ("{unknown: [client.country]}", "unknown", "client.country", "nothing"),
        ("{would: deny}", "would", "deny", "nothing"),
        ("{shadow_rules: [few]}", "shadow_rules", "few", "nothing"),
        ("{message: Too fast.}", "message", "Too fast.", "nothing"),
    ],
)
def test_a_case_fails_with_what_did_not_come(expect, aspect, expected, came):
    [found] = differences(f"  - {{name: one, expect: {expect}}}").values()
    assert (aspect, expected, came) in found


def test_norway_is_a_country_and_not_false():
    assert differences("  - {name: one, given: {kyc.country: NO}, expect: {effect: allow}}") == {}


def test_a_matrix_is_run_for_every_combination_and_the_first_exception_counts():
    found = results("""\
  - name: where
    matrix: {client.country: [NO, SE, KP], kyc.status: [active, closed]}
    expect: {effect: allow, rules: [customers]}
    exceptions:
      - {when: {client.country: KP}, expect: {effect: deny, rules: [embargoed]}}
      - {when: {kyc.status: [closed]}, expect: {effect: deny, rules: []}}
""")
    assert found.failed == ()
    titles = [one.case.title for one in found.results]
    assert len(titles) == 6
    assert titles[0] == "where [client.country: NO, kyc.status: active]"


def test_a_sequence_runs_on_a_clock_of_its_own_until_a_throttle_is_dry_and_full_again():
    assert differences("""\
  - name: dry
    steps:
      - {times: 3, usage: {output_tokens: 10}, expect: {effect: allow, would: null}}
  - name: dry and full
    steps:
      - {times: 2, every: 500ms, usage: {output_tokens: 10}, expect: {effect: allow}}
      - {usage: {output_tokens: 10}, expect: {effect: allow, would: throttle, shadow_rules: [few]}}
      - {expect: {effect: throttle, rules: [calls], retry_after: 0.5, message: Too fast.}}
      - {after: 499ms, expect: {effect: throttle, retry_after: 1ms}}
      - {after: 1ms, expect: {effect: allow}}
      - {after: 1h, given: {account.id: other}, expect: {effect: allow, would: null}}
""") == {"dry": [("would", "nothing", "throttle")]}


def test_usage_is_settled_so_that_answers_longer_than_expected_leave_a_debt():
    assert (
        differences("""\
  - name: debt
    steps:
      - {usage: {output_tokens: 1500}, expect: {effect: allow}}
      - {expect: {effect: throttle, rules: [tokens], retry_after: 7s}}
      - {after: 7s, usage: {output_tokens: 0}, expect: {effect: allow}}
""")
        == {}
    )


def test_an_answer_without_usage_costs_what_was_expected_within_the_limit_that_was_set():
    assert (
        differences("""\
  - name: capped
    given: {kyc.tier: basic}
    steps:
      - {times: 3, expect: {effect: allow, charges: {calls: 1, tokens: 50, few: 1}}}
      - {after: 1s, expect: {effect: allow}}
""")
        == {}
    )


def test_a_case_ends_with_its_first_failure_and_says_which_call_it_was():
    [one] = results("  - {name: many, steps: [{times: 9, every: 1ms, expect: {effect: allow}}]}").failed
    assert (one.calls, one.failure.came.n) == (4, 4)


def test_cases_can_be_run_under_another_policy_than_their_own():
    case_file = read_case_text(GIVEN + "  - {name: one, expect: {effect: allow}}", COMPILED)
    other = compile_text(POLICY.replace('kyc.status == "active"', "false")).policy
    assert not run(case_file, policy=other).results[0].passed


def test_only_some_cases_can_be_run():
    cases = "  - {name: one, expect: {effect: allow}}\n  - {name: two, expect: {effect: deny}}"
    case_file = read_case_text(GIVEN + cases, COMPILED)
    assert [one.case.name for one in run(case_file, only=lambda case: case.name == "one").results] == ["one"]


def test_it_can_be_told_in_how_many_cases_a_rule_had_a_part():
    found = results("""\
  - {name: one, expect: {effect: allow}}
  - {name: two, given: {client.country: KP}, expect: {effect: deny}}
  - {name: three, given: {kyc.tier: basic}, expect: {effect: allow}}
""")
    exercised = rules_exercised([found])
    assert exercised == {"customers": 3, "embargoed": 1, "calls": 2, "tokens": 2, "few": 2, "short": 1}


ACCOUNTS = """\
accounts:
  - {id: acme, keys: ["sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"], status: active, tier: basic}
  - {id: big, status: active, tier: verified, country: NO, owners: [{country: NO, share: 1}]}
"""
ASKING = "accounts: accounts.yaml\ncases:\n"


@pytest.fixture
def asking(tmp_path):
    """Returns what the cases did not meet, with accounts beside them."""
    (tmp_path / "accounts.yaml").write_text(ACCOUNTS)
    return lambda cases: differences(cases, given=ASKING, path=str(tmp_path / "p.cases.yaml"))


CHAT = "body: {model: m, messages: []}"


@pytest.mark.parametrize(
    "case",
    [
        f"{{request: {{client_ip: 8.8.8.8, account: big, {CHAT}}}, expect: {{effect: allow, rules: [customers]}}}}",
        "{request: {client_ip: 8.8.8.8, account: acme, body: {model: o3-deep-research, messages: []}}, expect: {rules: [research]}}",
        f"{{request: {{client_ip: 8.8.8.8, headers: {{Authorization: Bearer foo}}, {CHAT}}}, expect: {{keys: {{calls: acme}}, cap: {{output_tokens: 50}}}}}}",
        f"{{request: {{client_ip: 8.8.8.8, headers: {{Authorization: Bearer bar}}, {CHAT}}}, expect: {{effect: deny, rules: [], message: null}}}}",
        f"{{request: {{account: big, {CHAT}}}, expect: {{rules: [embargoed], unknown: [client.country]}}}}",
        f"{{request: {{client_ip: 8.8.8.8, account: big, {CHAT}}}, given: {{client.country: KP}}, expect: {{rules: [embargoed]}}}}",
        ("{request: {account: big, path: /v1/messages, body: {model: m, max_tokens: 7, messages: []}}, given: {client.country: NO},"
        " expect: {effect: allow, charges: {calls: 1, tokens: 7, few: 1}}}"),
        "{request: {client_ip: 8.8.8.8, account: big, body: 'no JSON'}, expect: {effect: reject, rules: []}}",
        (f"{{request: {{client_ip: 8.8.8.8, {CHAT}}}, matrix: {{account: [null, acme, big]}}, expect: {{effect: allow}},"
        " exceptions: [{when: {account: null}, expect: {effect: deny, rules: []}}]}"),
        f"""{{request: {{client_ip: 8.8.8.8, account: big, {CHAT}}}, steps: [
            {{times: 3, usage: {{output_tokens: 1}}, expect: {{effect: allow}}}},
            {{expect: {{effect: throttle, rules: [calls], retry_after: 1s}}}},
            {{request: {{account: acme}}, expect: {{effect: allow}}}},
            {{after: 1s, given: {{client.country: KP}}, expect: {{effect: deny, rules: [embargoed]}}}}]}}""",
    ],
    ids=[
        "account", "another account", "its key", "a wrong key", "from nowhere", "from a given country", "another API",
        "malformed", "a matrix of accounts", "a sequence",
    ],
)  # fmt: skip
def test_a_request_is_judged_as_the_fence_judges_it(asking, case):
    assert asking(f"  - {{name: one, {case[1:]}") == {}


def test_a_request_that_fails_shows_the_facts_it_was_judged_by(tmp_path):
    (tmp_path / "accounts.yaml").write_text(ACCOUNTS)
    body = "{model: m, n: 2, messages: []}"
    [one] = results(
        f"  - {{name: one, request: {{client_ip: 8.8.8.8, account: acme, body: {body}}}, expect: {{effect: deny}}}}",
        given=ASKING,
        path=str(tmp_path / "p.cases.yaml"),
    ).failed
    facts = one.failure.came.facts
    assert (facts["client.country"], facts["account.id"], facts["request.choices"]) == ("US", "acme", 2)


def test_what_a_case_does_not_give_is_an_ordinary_chat_of_nobody_from_nowhere():
    policy = compile_text("""\
version: 1
access:
  - {id: a, deny: 'request.operation != "chat" || request.stream || request.choices != 1 || request.tools != 0'}
  - {id: b, deny: 'kyc.status != "unknown" || kyc.tier != 0 || extraction.score > 0.0 || extraction.cohort != ""'}
  - {id: c, deny: 'now < timestamp("2026-06-15T12:00:00Z") || size(account.recent_countries) > 0'}
  - {id: d, deny: 'client.country == "XX"'}
  - {id: e, deny: 'request.model == "m"'}
""")
    cases = "  - {name: one, expect: {effect: deny, rules: [d, e], unknown: [client.country, request.model]}}"
    assert differences(cases, given="cases:\n", policy=policy) == {}
