"""What can be shown of conditions without evaluating them, and what can't."""

import pytest

from modelfence.policy.lint.claims import Reasoning, Truth
from modelfence.policy.lint.meaning import Text
from modelfence.policy.lint.situations import Situations

TIERS = ("none", "basic", "verified", "enhanced")
NAMES: dict[str, int | tuple[str, ...]] = {
    **{f"tier.{name}": place for place, name in enumerate(TIERS)},
    "lists.embargoed": ("CU", "IR", "KP"),
    "lists.near": ("IR", "KP"),
    "lists.nobody": (),
}


def impossible(**conditions: str) -> bool:
    claims = [(Text(source, NAMES).meaning(), Truth[truth.upper()]) for truth, source in conditions.items()]
    situations = Situations([relation for meaning, _ in claims for relation in meaning.relations()], TIERS)
    return Reasoning(situations).impossible(*claims)


@pytest.mark.parametrize(
    "condition",
    [
        'client.country == "NO" && client.country == "SE"',
        "client.country in lists.near && !(client.country in lists.embargoed)",
        'client.country == "NO" && client.country != ("NO")',
        '"NO" == client.country && client . country != "NO"',
        "client.country in []",
        "client.country in lists.nobody",
        "kyc.tier < tier.none",
        "tier.enhanced < kyc.tier",
        "extraction.score > 1.0",
        "request.tools > 3 && request.tools < 4",
        "request.tools < 0",
        'kyc.ownership["CN"] > 0.7 && !(kyc.ownership[ "CN" ] > 0.5)',
        "client.tor && client.tor == false",
        "client.tor ? false : client.tor",
        "lists.near.exists(c, c == client.country) && !lists.near.exists(c, c==client.country)",
        "tier.none == tier.basic",
        '"a" in ["b", "c"]',
        "!(client.tor || true)",
        'kyc.status != "active" && kyc.status != "suspended" && kyc.status != "closed" && kyc.status != "unknown"',
        "now.getHours() < 8 && now.getHours() > 17",
    ],
)  # fmt: skip
def test_a_contradiction_is_seen(condition):
    assert impossible(true=condition)
    assert not impossible(true=f"({condition}) || client.hosting")


@pytest.mark.parametrize(
    "condition",
    [
        'client.country == "NO" && kyc.country == "SE"',
        'kyc.status != "active"',
        "extraction.score >= 1.0",
        "extraction.score > 0.5 && extraction.score < 0.6",
        "request.tools > 3 && request.tools < 5",
        "kyc.tier > tier.none && kyc.tier < tier.enhanced",
        "request.input_tokens / 2 > 3 && request.input_tokens / 2 < 4",  # taken for what may be no whole number
        "client.network < 'a' && client.network > 'b'",  # texts are not ordered here
        'client.network == "a\\u0062" && client.network == "c"',  # nor are escapes read
        '[1, "a"][0] == 1 && [1, "a"][0] == "a"',  # what is compared with everything may be anything
        "client.country != kyc.country && kyc.country == client.country",
        "client.tor",
    ],
)
def test_what_may_be_is_not_called_a_contradiction(condition):
    assert not impossible(true=condition)


@pytest.mark.parametrize(
    ("acts", "while_this_is_false"),
    [
        ("extraction.score > 0.7", "extraction.score > 0.5"),
        ("kyc.tier < tier.basic", "kyc.tier <= tier.verified"),
        ("client.country in lists.near && client.tor", "client.country in lists.embargoed"),
        ("client.tor && client.hosting && client.vpn", "client.vpn && client.tor"),
        ("client.vpn", "client.tor || client.vpn"),
        ("!(client.tor || client.vpn)", "!client.tor"),
        ("client.tor && client.vpn || !client.tor && client.hosting", "client.tor ? client.vpn : client.hosting"),
    ],
)
def test_a_condition_follows_from_another_also_where_facts_are_unknown(acts, while_this_is_false):
    assert impossible(not_false=acts, false=while_this_is_false)
    assert not impossible(not_false=while_this_is_false, false=acts)


def test_a_contradiction_of_facts_that_may_be_unknown_may_still_act():
    condition = 'client.country == "NO" && client.country == "SE"'
    assert impossible(true=condition)
    assert not impossible(not_false=condition)
    assert impossible(not_false=condition.replace("client.country", "kyc.status"))


def test_what_may_be_no_number_is_neither_more_nor_less():
    """Zero divided by zero is not unknown: every comparison with it is false."""
    assert not impossible(false="0.0 / extraction.score > 1.0 || 0.0 / extraction.score <= 1.0")
    assert impossible(not_true="extraction.score > 0.5 || extraction.score <= 0.5")


def test_the_opposite_of_what_is_unknown_is_unknown():
    assert impossible(true="!client.tor && client.tor")
    assert not impossible(not_true="!client.tor", true="client.tor")
    assert not impossible(not_true="!client.tor && client.vpn", not_false="client.tor", true="client.vpn")
    assert not impossible(not_false="!client.tor", false="client.tor")
    assert not impossible(not_false="!client.tor", not_true="!client.tor")


def test_a_question_with_too_many_answers_is_given_up():
    """Seven pigeons find no place in six holes, which takes more than every step to see; two in one does not."""

    def crowded(pigeons: int, holes: int) -> str:
        sits = [
            [f'account.labels["{pigeon} in {hole}"] == "yes"' for hole in range(holes)] for pigeon in range(pigeons)
        ]
        somewhere = [f"({' || '.join(row)})" for row in sits]
        alone = [f"!({a[hole]} && {b[hole]})" for n, a in enumerate(sits) for b in sits[:n] for hole in range(holes)]
        return " && ".join((*somewhere, *alone))

    assert impossible(true=crowded(2, 1))
    assert not impossible(true=crowded(7, 6))
