"""What differs between two policies as they are written."""

import pytest
from tests.workbench.comparing.traffic import NEW, OLD

from modelfence.policy import compile_text
from modelfence.workbench.comparing.edits import Edit, KeyEdit, ListEdit, RuleEdit, edits

EVERYTHING = """\
version: 1
tiers: [none, known]
lists: {nordic: [NO, SE]}
access:
  - {id: outside, deny: '!(client.country in lists.nordic)', message: Not here., help_url: https://example.com/why}
  - {id: known, allow: kyc.tier >= tier.known}
reshape:
  - {id: short, when: client.hosting, remove: [logprobs], cap: {output_tokens: 4096}, hide: [reasoning]}
throttle:
  - {id: tokens, when: client.hosting, key: client.network, unit: total_tokens, rate: 0.5 per second, burst: 120, cost: 2,
     on_store_failure: local}
extraction: {exempt: [001122334455667788990011]}
"""


def policy_of(text):
    compiled = compile_text(text)
    assert compiled.policy, [problem.render() for problem in compiled.problems]
    return compiled.policy


def edits_of(old, new):
    return edits(policy_of(old), policy_of(new))


def test_a_policy_does_not_differ_from_itself():
    found = edits_of(EVERYTHING, EVERYTHING)
    assert not found
    assert (found.keys, found.lists, found.rules) == ((), (), ())


def test_what_is_new_gone_and_written_otherwise_is_told_apart():
    found = edits_of(OLD, NEW)
    assert found.keys == ()
    assert found.lists == (
        ListEdit("closed_models", Edit.CHANGED, added=("o4-deep-research",), removed=("o3-deep-research",)),
    )
    assert [(one.edit, one.id, one.kind) for one in found.rules] == [
        ("added", "not-from-germany", "deny"),
        ("added", "short", "reshape"),
        ("added", "tokens", "throttle"),
        ("changed", "requests", "throttle"),
    ]
    assert found.rules[0].keys == (
        KeyEdit("deny", None, 'client.country == "DE"'),
        KeyEdit("message", None, "Not there yet."),
    )
    assert found.rules[-1].keys == (KeyEdit("burst", "3", "2"),)


@pytest.mark.parametrize(
    ("old", "new", "id_", "key"),
    [
        ("nordic)'", "nordic) && !client.eu'", "outside", "deny"),
        ("Not here.", "Nowhere.", "outside", "message"),
        ("com/why", "com/because", "outside", "help_url"),
        ("{id: known,", "{id: known, description: Those we know.,", "known", "description"),
        ("{id: known,", "{id: known, mode: shadow,", "known", "mode"),
        ("short, when: client.hosting", "short", "short", "when"),
        ("[logprobs]", "[logprobs, logit_bias]", "short", "remove"),
        ("4096", "4097", "short", "cap"),
        ("hide: [reasoning]", "", "short", "hide"),
        ("tokens, when: client.hosting", "tokens, when: client.tor", "tokens", "when"),
        ("client.network", "account.id", "tokens", "key"),
        ("total_tokens", "output_tokens", "tokens", "unit"),
        ("0.5 per second", "0.5 per minute", "tokens", "rate"),
        ("burst: 120", "burst: 60", "tokens", "burst"),
        ("cost: 2", "cost: 3", "tokens", "cost"),
        ("on_store_failure: local", "on_store_failure: deny", "tokens", "on_store_failure"),
    ],
)
def test_each_key_of_a_rule_counts(old, new, id_, key):
    changed = EVERYTHING.replace(old, new)
    [edit] = edits_of(EVERYTHING, changed).rules
    assert (edit.id, edit.edit, [one.key for one in edit.keys]) == (id_, Edit.CHANGED, [key])
    [back] = edits_of(changed, EVERYTHING).rules
    assert [(one.old, one.new) for one in back.keys] == [(one.new, one.old) for one in edit.keys]


def test_how_a_condition_is_laid_out_and_in_which_order_rules_stand_is_no_difference():
    with_blanks = EVERYTHING.replace("client.country in lists.nordic", " client.country  in lists.nordic ")
    access = EVERYTHING.index("  - {id: outside"), EVERYTHING.index("  - {id: known"), EVERYTHING.index("reshape:")
    swapped = "".join(
        EVERYTHING[start:end]
        for start, end in ((0, access[0]), (access[1], access[2]), (access[0], access[1]), (access[2], None))
    )
    assert not edits_of(EVERYTHING, with_blanks)
    assert not edits_of(EVERYTHING, swapped)


def test_white_space_within_a_text_is_a_difference():
    policies = [f'version: 1\naccess: [{{id: a, allow: client.network == "{name}"}}]' for name in ("A B", "A  B")]
    assert edits_of(*policies).rules


def test_a_rule_that_is_only_called_otherwise_is_renamed():
    found = edits_of(EVERYTHING, EVERYTHING.replace("id: outside", "id: not-nordic"))
    assert found.rules == (RuleEdit("not-nordic", "deny", Edit.RENAMED, old_id="outside"),)
    assert found.renamed == {"outside": "not-nordic"}


def test_what_is_left_out_and_meant_is_not_said_of_a_new_rule_but_of_a_changed_one():
    plain = 'version: 1\naccess: [{id: a, allow: "true"}]\n'
    throttled = plain + "throttle: [{id: t, key: account.id, rate: 60 per minute}]\n"
    [added] = edits_of(plain, throttled).rules
    assert [one.key for one in added.keys] == ["key", "rate", "burst"]
    [changed] = edits_of(throttled, throttled.replace("minute}", "minute, unit: input_tokens}")).rules
    assert changed.keys == (KeyEdit("unit", "requests", "input_tokens"),)


def test_lists_tiers_and_exemptions_are_compared_as_well():
    changed = (
        EVERYTHING.replace("nordic: [NO, SE]", "nordic: [SE, DK], other: [FR]")
        .replace("[none, known]", "[none, new, known]")
        .replace("001122334455667788990011", "aa1122334455667788990011")
    )
    found = edits_of(EVERYTHING, changed)
    assert found.keys == (KeyEdit("tiers", "none, known", "none, new, known"),)
    assert found.lists == (
        ListEdit("nordic", Edit.CHANGED, added=("DK",), removed=("NO",)),
        ListEdit("other", Edit.ADDED, added=("FR",), removed=()),
        ListEdit(
            "extraction.exempt",
            Edit.CHANGED,
            added=("aa1122334455667788990011",),
            removed=("001122334455667788990011",),
        ),
    )
    assert found.rules == ()


def test_a_policy_that_goes_into_shadow_is_not_told_rule_by_rule():
    found = edits_of(EVERYTHING, EVERYTHING.replace("version: 1", "version: 1\nmode: shadow"))
    assert found.keys == (KeyEdit("mode", "enforce", "shadow"),)
    assert found.rules == ()
