"""Pages on what compiles and is hardly meant."""

from modelfence.workbench.problems.page import Page

_CASES = """\
policy: policy.yaml
given:
  client.tor: false
  client.country: NO
cases:
  - name: callers through Tor are refused
    given: {client.tor: true}
    expect: {effect: deny, rules: [no-tor]}
"""
_ANOTHER = """\
  - name: callers in North Korea are refused
    given: {client.country: KP}
    expect: {effect: deny, rules: [korea]}
"""


def _access(*rules: str) -> str:
    return f"version: 1\n{_rules(*rules)}"


def _rules(*rules: str) -> str:
    return "access:\n" + "".join(f"  - id: {rule}\n" for rule in rules)


PAGES = (
    Page(
        "never-true",
        "Often two comparisons of one fact are joined by `&&` where `||` is meant, or a bound lies outside of what the"
        " fact can be. Where the fact may be unknown, a deny with such a condition still refuses: doubt counts against"
        " the caller. To switch a rule off, take it out or put it in shadow.",
        wrong=_access('near\n    deny: client.country == "IR" && client.country == "KP"'),
        right=_access('near\n    deny: client.country == "IR" || client.country == "KP"'),
    ),
    Page(
        "always-true",
        "Often two `!=` are joined by `||`: whatever a country is, it is not one of two. Join them by `&&`, or use"
        " `!(… in [ … ])`.",
        wrong=_access('abroad\n    deny: client.country != "NO" || client.country != "SE"'),
        right=_access('abroad\n    deny: client.country != "NO" && client.country != "SE"'),
    ),
    Page(
        "allows-everything",
        "Callers without an account are let in as well, and so is every call that no deny was written for. Say whom the"
        " rule is for.",
        wrong=_access('customers\n    allow: "true"'),
        right=_access('customers\n    allow: kyc.status == "active"'),
    ),
    Page(
        "shadowed-rule",
        "Take it out, or make it ask for what the other does not. A deny with a message of its own that the caller may"
        " get to read is not meant. Only what a file holds and includes itself is compared, and a rule in shadow only"
        " with others there: it may be tried to take the place of a wider one.",
        wrong=_access(
            "suspicious\n    deny: extraction.score > 0.5",
            "very-suspicious\n    deny: extraction.score > 0.9",
        ),
        right=_access("suspicious\n    deny: extraction.score > 0.5"),
    ),
    Page(
        "refused-anyway",
        "A deny always wins, wherever it stands. Take the rule out, or narrow the deny.",
        wrong=_access(
            "verified-only\n    deny: kyc.tier < tier.verified",
            'trial\n    allow: kyc.tier == tier.basic && kyc.purpose == "trial"',
        ),
        right=_access(
            'verified-only\n    deny: kyc.tier < tier.verified && kyc.purpose != "trial"',
            'trial\n    allow: kyc.tier == tier.basic && kyc.purpose == "trial"',
        ),
    ),
    Page(
        "impossible-value",
        "The fact is one of a few words, and this is none of them.",
        wrong=_access('customers\n    allow: kyc.status == "actve"'),
        right=_access('customers\n    allow: kyc.status == "active"'),
    ),
    Page(
        "unknown-country",
        "Countries are written with their two capital letters of ISO 3166-1: the United Kingdom is GB, Greece is GR."
        " Lists that are compared with a country are looked at as well.",
        wrong=_access('britain\n    deny: client.country == "UK"'),
        right=_access('britain\n    deny: client.country == "GB"'),
    ),
    Page(
        "unknown-region",
        "A subdivision is written with its country, as `UA-43`.",
        wrong=_access('crimea\n    deny: client.region == "43"'),
        right=_access('crimea\n    deny: client.region == "UA-43"'),
    ),
    Page(
        "missing-map-key",
        "A key that a map lacks is unknown, and on what is unknown a deny applies: a deny about a label refuses all who"
        " have no such label. Ask first whether the key is there. If they are meant as well, say so:"
        ' `!has(account.labels.kind) || account.labels.kind == "contractor"`.',
        wrong=_access('contractors\n    deny: account.labels.kind == "contractor" && client.hosting'),
        right=_access(
            'contractors\n    deny: has(account.labels.kind) && account.labels.kind == "contractor" && client.hosting'
        ),
    ),
    Page(
        "empty-list",
        "Nothing is in an empty list, so that the rule asks for nothing. Fill it, or take out what names it.",
        wrong="version: 1\nlists:\n  blocked: []\n" + _rules("blocked\n    deny: account.id in lists.blocked"),
        right="version: 1\nlists:\n  blocked: [acme]\n" + _rules("blocked\n    deny: account.id in lists.blocked"),
    ),
    Page(
        "unused-list",
        "Perhaps a rule names another list than it should. A file that holds lists and no rules is a library:"
        " nobody has to use all of it.",
        wrong="version: 1\nlists:\n  embargoed: [CU, IR, KP]\n" + _rules('korea\n    deny: client.country == "KP"'),
        right="version: 1\nlists:\n  embargoed: [CU, IR, KP]\n"
        + _rules("embargoed\n    deny: client.country in lists.embargoed"),
    ),
    Page(
        "small-burst",
        "A cost above the burst counts as the burst: a call then takes the whole bucket, whatever it costs, and"
        " the next one waits until that has filled. A bucket of tokens has to hold the first step of a stream,"
        " 256 tokens.",
        wrong="version: 1\nthrottle:\n  - id: requests\n    key: account.id\n    rate: 60 per minute\n    burst: 5\n"
        "    cost: 1.0 + 9.0 * extraction.score\n",
        right="version: 1\nthrottle:\n  - id: requests\n    key: account.id\n    rate: 60 per minute\n    burst: 60\n"
        "    cost: 1.0 + 9.0 * extraction.score\n",
    ),
    Page(
        "long-in-shadow",
        "A month shows what the rule would do: see `modelfence_rule_matches_total`, or `modelfence policy diff` on a"
        " recording. Then enforce it or take it out; a rule that is forgotten in shadow protects nobody.",
        wrong=_access("no-tor\n    deny: client.tor\n    mode: shadow\n    since: 2026-09-01"),
        right=_access("no-tor\n    deny: client.tor"),
    ),
    Page(
        "future-date",
        "A mistake in the date would keep the reminder from ever coming.",
        wrong=_access("no-tor\n    deny: client.tor\n    mode: shadow\n    since: 2062-11-20"),
        right=_access("no-tor\n    deny: client.tor\n    mode: shadow\n    since: 2026-11-20"),
    ),
    Page(
        "no-case",
        "A case says what becomes of a call under the rule, so that nobody changes it by mistake. It counts when"
        " the rule applies in it. All case files beside and below the policy are looked at that are about it,"
        " or about one that includes it.",
        wrong=_access("no-tor\n    deny: client.tor", 'korea\n    deny: client.country == "KP"'),
        right=_access("no-tor\n    deny: client.tor", 'korea\n    deny: client.country == "KP"'),
        beside={"policy.cases.yaml": _CASES},
        beside_right={"policy.cases.yaml": _CASES + _ANOTHER},
        looks_at_cases=True,
    ),
    Page(
        "no-cases",
        "Cases say what a policy is to do, in the words of its readers, and `modelfence policy test` holds it to them."
        " They stand in a file of the policy's name that ends in `.cases.yaml`.",
        wrong=_access("no-tor\n    deny: client.tor"),
        right=_access("no-tor\n    deny: client.tor"),
        beside_right={"policy.cases.yaml": _CASES},
        looks_at_cases=True,
    ),
)
