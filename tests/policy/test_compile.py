"""From the text of a policy to the policy."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelfence.core.bucket import PERIODS_US, Rate
from modelfence.core.charge import OnStoreFailure, Unit
from modelfence.core.policy import Mode, Policy, Reshaping
from modelfence.core.problem import errors
from modelfence.policy import Compiled, compile_policy, compile_text
from modelfence.policy.files import shipped
from modelfence.policy.keys import ACCESS_KEYS, EXTRACTION_KEYS, POLICY_KEYS, RESHAPE_KEYS, THROTTLE_KEYS

EVERYTHING = """
version: 1
mode: enforce
include: []
tiers: [none, known]
lists: {nordic: [NO, SE]}
access:
  - id: outside
    deny: '!(client.country in lists.nordic)'
    message: Not here.
    help_url: https://example.com/why
    description: Only the north.
  - {id: trial, deny: kyc.owned_by.nordic < 0.1, mode: shadow, since: 2026-01-31}
  - {id: known, allow: kyc.tier >= tier.known, mode: enforce}
reshape:
  - {id: no-logits, remove: [logprobs, logit_bias]}
  - {id: short, when: client.hosting, cap: {output_tokens: 4096, choices: 1}, hide: [reasoning]}
throttle:
  - {id: requests, key: account.id, rate: 60 per minute}
  - id: tokens
    when: client.hosting
    key: client.network
    unit: total_tokens
    rate: 0.5 per second
    burst: 120
    cost: 2
    on_store_failure: local
    mode: shadow
extraction:
  exempt: [001122334455667788990011]
"""


def policy_of(compiled: Compiled) -> Policy:
    assert compiled.policy, [problem.render() for problem in compiled.problems]
    return compiled.policy


def test_every_key_of_the_language_has_its_effect():
    policy = policy_of(compile_text(EVERYTHING))
    assert (policy.mode, policy.tiers, policy.lists) == (Mode.ENFORCE, ("none", "known"), {"nordic": ("NO", "SE")})
    assert policy.tier("known") == 1
    assert [(rule.id, rule.kind, rule.shadow) for rule in policy.rules()] == [
        ("outside", "deny", False),
        ("trial", "deny", True),
        ("known", "allow", False),
        ("no-logits", "reshape", False),
        ("short", "reshape", False),
        ("requests", "throttle", False),
        ("tokens", "throttle", True),
    ]
    first = policy.rules()[0]
    assert (first.message, first.help_url) == ("Not here.", "https://example.com/why")
    assert first.description == "Only the north."
    assert [rule.reshaping for rule in policy.reshapes] == [
        Reshaping(remove=frozenset({"logprobs", "logit_bias"})),
        Reshaping(cap={"output_tokens": 4096, "choices": 1}, hide=frozenset({"reasoning"})),
    ]
    requests, tokens = policy.throttles
    assert requests.rate == Rate(60, PERIODS_US["minute"], 60)
    assert (requests.when, requests.cost, requests.unit) == (None, None, Unit.REQUESTS)
    assert requests.on_store_failure is OnStoreFailure.DENY
    assert tokens.rate == Rate(0.5, PERIODS_US["second"], 120)
    assert (tokens.unit, tokens.on_store_failure) == (Unit.TOTAL_TOKENS, OnStoreFailure.LOCAL)
    assert policy.owned_by == ("nordic",)
    assert policy.names == {
        "client.country", "kyc.owned_by.nordic", "kyc.tier", "client.hosting", "account.id", "client.network",
    }  # fmt: skip


def test_the_tables_of_keys_name_what_the_language_has():
    for keys in (POLICY_KEYS, EXTRACTION_KEYS, ACCESS_KEYS, RESHAPE_KEYS, THROTTLE_KEYS):
        assert all(f"{key.name}:" in EVERYTHING for key in keys)


def test_sections_left_empty_hold_nothing():
    policy = policy_of(compile_text("version: 1\ninclude:\nlists:\naccess:\nreshape:\nthrottle:\n"))
    assert policy.rules() == ()
    assert policy.tiers == ("none", "basic", "verified", "enhanced")


def test_texts_that_yaml_would_turn_into_something_else_stay_texts():
    policy = policy_of(compile_text("version: 1\nlists: {all: [NO, 1.0, true, null, 0x1F]}\n"))
    assert policy.lists["all"] == ("NO", "1.0", "true", "null", "0x1F")


@pytest.mark.parametrize(
    ("root", "pack", "shadows", "mode"),
    [
        ("enforce", "enforce", [False, False], Mode.ENFORCE),
        ("enforce", "shadow", [False, True], Mode.ENFORCE),
        ("shadow", "enforce", [True, True], Mode.SHADOW),
        ("shadow", "shadow", [True, True], Mode.SHADOW),
    ],
)
def test_the_mode_of_a_file_covers_its_rules_and_that_of_the_root_covers_all(tmp_path, root, pack, shadows, mode):
    own, packed = "access: [{id: own, deny: kyc.expired}]", "access: [{id: packed, deny: kyc.expired}]"
    (tmp_path / "policy.yaml").write_text(f"version: 1\nmode: {root}\ninclude: [pack.yaml]\n{own}\n")
    (tmp_path / "pack.yaml").write_text(f"version: 1\nmode: {pack}\n{packed}\n")
    policy = policy_of(compile_policy(tmp_path / "policy.yaml"))
    assert [rule.shadow for rule in policy.rules()] == shadows
    assert policy.mode is mode


def write(folder: Path, files: dict[str, str]) -> Compiled:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"version: 1\n{text}\n")
    return compile_policy(folder / "root.yaml")


def test_a_file_is_loaded_once_however_often_and_by_whatever_name_it_is_included(tmp_path):
    compiled = write(
        tmp_path,
        {
            "root.yaml": "include: [packs/a.yaml, packs/b.yaml, ./packs/../packs/a.yaml]",
            "packs/a.yaml": "include: [b.yaml, ../root.yaml, a.yaml]\naccess: [{id: a, deny: kyc.expired}]",
            "packs/b.yaml": "include: [a.yaml]\naccess: [{id: b, deny: kyc.expired}]",
        },
    )
    assert [rule.id for rule in policy_of(compiled).rules()] == ["a", "b"]
    assert compiled.files == tuple(tmp_path / name for name in ("root.yaml", "packs/a.yaml", "packs/b.yaml"))


def test_the_same_list_and_the_same_tiers_may_be_defined_by_several_files(tmp_path):
    same = "lists: {nordic: [NO, SE]}\ntiers: [none, known]"
    compiled = write(tmp_path, {"root.yaml": f"include: [pack.yaml]\n{same}", "pack.yaml": same})
    assert policy_of(compiled).lists == {"nordic": ("NO", "SE")}


def test_conditions_may_name_lists_and_tiers_of_any_file(tmp_path):
    rule = "access: [{id: here, deny: client.country in lists.there && kyc.tier < tier.known}]"
    compiled = write(
        tmp_path,
        {"root.yaml": f"include: [pack.yaml]\n{rule}", "pack.yaml": "lists: {there: [NO]}\ntiers: [none, known]"},
    )
    policy_of(compiled)


def test_a_missing_root_is_an_oserror(tmp_path):
    with pytest.raises(FileNotFoundError):
        compile_policy(tmp_path / "none.yaml")


@pytest.mark.parametrize("name", ["nothing.yaml", ".", "x" * 300, "latin.yaml", "pipe"])
def test_an_include_that_can_not_be_read_is_a_problem_at_its_entry(tmp_path, name):
    (tmp_path / "latin.yaml").write_bytes(b"version: 1 # \xfc")
    os.mkfifo(tmp_path / "pipe")
    compiled = write(tmp_path, {"root.yaml": f'include:\n  - "{name}"'})
    [problem] = compiled.problems
    assert (problem.code, problem.line, problem.column) == ("bad-include", 3, 5)


@pytest.mark.parametrize(("name", "shipped_with_it"), [("packs/extraction.yaml", True), ("packs/mine.yaml", False)])
def test_where_a_pack_is_that_was_not_copied_along_is_said(tmp_path, name, shipped_with_it):
    (tmp_path / "policy.yaml").write_text(f"version: 1\ninclude: [{name}]\n")
    (problem,) = compile_policy(tmp_path / "policy.yaml").problems
    hint = f"it comes with modelfence: copy what is in `{shipped()}` beside this file"
    assert problem.hint == (hint if shipped_with_it else None)


def test_what_an_unreadable_include_would_define_is_not_complained_of(tmp_path):
    (tmp_path / "lists.yaml").write_text("version: 1\nlists: {embargoed: [KP}\n")
    (tmp_path / "policy.yaml").write_text(
        "version: 1\ninclude: [lists.yaml]\naccess:\n  - {id: a, deny: client.country in lists.embargoed}\n"
    )
    (problem,) = compile_policy(tmp_path / "policy.yaml").problems
    assert problem.code == "yaml-syntax"


def test_the_hash_is_of_what_the_files_hold(tmp_path):
    def digest(folder: str, files: dict[str, str]) -> str:
        (tmp_path / folder).mkdir()
        return policy_of(write(tmp_path / folder, files)).hash

    pack_a, pack_b = "access: [{id: a, deny: kyc.expired}]", "access: [{id: b, deny: kyc.expired}]"
    named = {"root.yaml": "include: [a.yaml, b.yaml]", "a.yaml": pack_a, "b.yaml": pack_b}
    first = digest("first", named)
    assert len(first) == 16
    assert digest("again", named) == first
    assert digest("swapped", {**named, "a.yaml": pack_b, "b.yaml": pack_a}) == first
    assert digest("pack", {**named, "a.yaml": pack_a + "\n"}) != first
    assert digest("root", {**named, "root.yaml": named["root.yaml"] + "\n"}) != first


@pytest.mark.parametrize(
    ("rate", "fits"),
    [
        ("1 per second", True),
        ("1000000 per second", True),
        ("1000001 per second", False),
        ("60000000 per minute", True),
        ("0.000001 per day", False),
        ("1 per day", True),
        ("60  per  minute", True),
        ("-1 per minute", False),
        ("1e3 per minute", False),
        ("per minute", False),
        ("1 per Minute", False),
        ("[1, minute]", False),
    ],
)
def test_a_rate_is_an_amount_per_period_that_a_bucket_can_hold(rate, fits):
    compiled = compile_text(f"version: 1\nthrottle: [{{id: t, key: account.id, burst: 1, rate: {rate}}}]\n")
    assert (compiled.policy is not None) is fits


@pytest.mark.parametrize(
    ("rate", "hint"),
    [
        ("100,000 per day", "did you mean `100000 per day`?"),
        ("1,000,000 per day", "did you mean `1000000 per day`?"),
        ("100k/day", "did you mean `100000 per day`?"),
        ("2.5M tokens per hour", "did you mean `2500000 per hour`?"),
        ("60/min", "did you mean `60 per minute`?"),
        ("60 requests a minute", "did you mean `60 per minute`?"),
        ("60 per minutes", "did you mean `60 per minute`?"),
        ("60 per mintue", "did you mean `minute`?"),
        (
            "5M per month",
            "the longest period is a day: `166667 per day`, and `burst: 5000000` where all of it may be used at once",
        ),
        ("1,5 per second", None),
        ("60 per fortnight", None),
        ("often", None),
    ],
)
def test_a_rate_that_is_written_as_people_do_is_told_how_it_is_written_here(rate, hint):
    text = f"version: 1\nthrottle:\n  - id: a\n    key: account.id\n    rate: {rate}\n"
    [problem] = compile_text(text).problems
    assert (problem.code, problem.hint) == ("bad-rate", hint)


def test_problems_are_sorted_and_each_is_there_once(tmp_path):
    bad = "access: [{id: a, deny: client.contry}, {id: a, allow: kyc.teer == 1}]"
    compiled = write(tmp_path, {"root.yaml": f"include: [a.yaml, a.yaml]\n{bad}", "a.yaml": bad})
    places = [(problem.file, problem.line, problem.column) for problem in compiled.problems]
    assert places == sorted(places)
    assert len(set(compiled.problems)) == len(compiled.problems) == 7


@given(st.text())
@settings(deadline=None)
def test_no_text_is_too_odd_to_be_a_policy(text):
    compiled = compile_text(text)
    assert (compiled.policy is None) == bool(errors(compiled.problems))


PIECES = st.sampled_from(
    [
        "client.country", "client.contry", "lists.a", "tier.none", "kyc.tier", "==", "&&", "||", "!", "(", ")", "[",
        "]", "{", "}", ".", ",", "?", ":", "in", '"a"', "'", '"', "\\", "\\n", "1", "2.0", "3u", "has", "size",
        "matches",
        ".matches(", "timestamp(", "b'x'", "`a`", "//", "\n", "\t", "é", "😀", "\u2028", "\x85", "all(x, x)", "-",
    ]
)  # fmt: skip


def quoted(text: str) -> str:
    escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\u2028": "\\L", "\x85": "\\N"}
    return '"' + "".join(escapes.get(character, character) for character in text) + '"'


@given(st.lists(PIECES, min_size=1, max_size=12).map(" ".join) | st.text(min_size=1).filter(str.isprintable))
@settings(deadline=None, max_examples=300)
def test_no_condition_is_too_odd_to_be_judged_and_problems_point_into_it(condition):
    line = f"  - {{id: a, deny: {quoted(condition)}}}"
    compiled = compile_text(f"version: 1\nlists: {{a: [b]}}\naccess:\n{line}\n")
    assert (compiled.policy is None) == bool(errors(compiled.problems))
    for problem in compiled.problems:
        assert problem.render()
        assert problem.line == 4
        assert 1 <= problem.column <= len(line) + 1


def test_exempt_templates_are_those_of_all_files(tmp_path):
    one, other = "0" * 64, "f" * 24
    root = f"include: [a.yaml]\nextraction: {{exempt: ['{other}', '{one}']}}\n"
    compiled = write(tmp_path, {"root.yaml": root, "a.yaml": f"extraction: {{exempt: ['{one}']}}\n"})
    assert compiled.problems == ()
    assert compiled.policy.exempt == (one, other)


@pytest.mark.parametrize("section", ["extraction:", "extraction: {exempt: null}", "extraction: {exempt: []}", ""])
def test_nothing_need_be_exempt(section):
    assert compile_text(f"version: 1\n{section}\n").policy.exempt == ()


def test_where_each_rule_stands_is_kept_also_where_others_have_errors():
    compiled = compile_text(
        "version: 1\naccess:\n  - id: one\n    allow: kyc.expired\n  - id: two\n    allow: nonsense\n"
    )
    assert compiled.policy is None
    assert {name: (written.node.line, sorted(written.keys)) for name, written in compiled.written.items()} == {
        "one": (3, ["allow", "id"]),
        "two": (5, ["allow", "id"]),
    }
    assert [str(file.path) for file in compiled.documents] == ["policy.yaml"]
