"""Pages on rules, and on the conditions in them."""

from modelfence.workbench.problems.page import Page


def _denying(condition: str) -> str:
    return f"version: 1\naccess:\n  - id: rule\n    deny: {condition}\n"


PAGES = (
    Page(
        "deny-or-allow",
        "One rule does one thing. Make two rules of it, or take one of the keys out.",
        wrong='version: 1\naccess:\n  - id: customers\n    allow: kyc.status == "active"\n    deny: client.tor\n',
        right='version: 1\naccess:\n  - id: customers\n    allow: kyc.status == "active"\n'
        "  - id: no-tor\n    deny: client.tor\n",
    ),
    Page(
        "duplicate-id",
        "Metrics, audit log and cases know a rule by its id. Included files count as well.",
        wrong="version: 1\naccess:\n  - id: hidden\n    deny: client.tor\n  - id: hidden\n    deny: client.vpn\n",
        right="version: 1\naccess:\n  - id: no-tor\n    deny: client.tor\n  - id: no-vpn\n    deny: client.vpn\n",
    ),
    Page(
        "duplicate-value",
        "A tier has one place in the order.",
        wrong="version: 1\ntiers: [none, basic, none]\n",
        right="version: 1\ntiers: [none, basic]\n",
    ),
    Page(
        "bad-rate",
        "An amount, `per`, and second, minute, hour or day.",
        wrong="version: 1\nthrottle:\n  - id: requests\n    key: account.id\n    rate: 60/min\n",
        right="version: 1\nthrottle:\n  - id: requests\n    key: account.id\n    rate: 60 per minute\n",
    ),
    Page(
        "bad-fingerprint",
        "Copy it from what `modelfence extraction` prints.",
        wrong="version: 1\nextraction:\n  exempt: [0011-2233]\n",
        right=f"version: 1\nextraction:\n  exempt: ['{'0123456789abcdef' * 4}']\n",
    ),
    Page(
        "since-without-shadow",
        "`since` tells for how long a rule was only looked at. A rule that acts needs none.",
        wrong="version: 1\naccess:\n  - id: no-tor\n    deny: client.tor\n    since: 2026-11-20\n",
        right="version: 1\naccess:\n  - id: no-tor\n    deny: client.tor\n    mode: shadow\n    since: 2026-11-20\n",
    ),
    Page(
        "cohort-without-score",
        "Users of one framework share a template, and so does a class of students: that is a cohort, and no"
        " campaign yet. Ask for the score as well.",
        wrong="version: 1\nthrottle:\n  - id: campaign\n    key: extraction.cohort\n    unit: output_tokens\n"
        "    rate: 10000 per day\n",
        right="version: 1\nthrottle:\n  - id: campaign\n    when: extraction.score >= 0.5\n    key: extraction.cohort\n"
        "    unit: output_tokens\n    rate: 10000 per day\n",
    ),
    Page(
        "unknown-fact",
        "What a condition may name stands in the reference. A text needs quotes, or it is taken for a fact.",
        wrong=_denying("client.contry == KP"),
        right=_denying('client.country == "KP"'),
    ),
    Page(
        "unknown-list",
        "Define the list in `lists`, or include the file that does.",
        wrong=_denying("client.country in lists.embargoed"),
        right="version: 1\nlists:\n  embargoed: [CU, IR, KP]\naccess:\n  - id: rule\n"
        "    deny: client.country in lists.embargoed\n",
    ),
    Page(
        "unknown-tier",
        "The tiers are those the policy defines in `tiers`, or else none, basic, verified and enhanced.",
        wrong=_denying("kyc.tier < tier.gold"),
        right=_denying("kyc.tier < tier.enhanced"),
    ),
    Page(
        "unknown-function",
        "Conditions have those functions of CEL that the reference lists, docs/policy.md, and no others. None makes"
        " small letters, say: `matches` with `(?i)` passes capital ones over.",
        wrong=_denying('request.model.beginsWith("o3-")'),
        right=_denying('request.model.startsWith("o3-")'),
    ),
    Page(
        "type-mismatch",
        "A number is not compared with a text, nor a whole number with one that has a point. A tier is a number:"
        " `tier.verified`.",
        wrong=_denying('kyc.tier < "verified"'),
        right=_denying("kyc.tier < tier.verified"),
    ),
    Page(
        "wrong-result",
        "A condition asks something. The name of a text alone is no question.",
        wrong=_denying("client.country"),
        right=_denying('client.country == "KP"'),
    ),
    Page(
        "condition-syntax",
        "CEL writes `&&`, `||`, `!` and `==`, and texts in quotes.",
        wrong=_denying("client.tor and client.hosting"),
        right=_denying("client.tor && client.hosting"),
    ),
    Page(
        "condition-too-large",
        "Split it: several denies refuse what one would with `||` between them.",
        wrong=_denying(f"{'(' * 40}kyc.expired{')' * 40}"),
        right=_denying("kyc.expired"),
    ),
    Page(
        "bad-constant",
        "Such a condition would be unknown on every call: a deny would refuse them all, and an allow never apply. Where"
        " a time zone is rightly named, the machine has no database of time zones (Debian's package is `tzdata`).",
        wrong=_denying("""'request.model.matches("gpt-(4")'"""),
        right=_denying('request.model.matches("gpt-(4|5)")'),
    ),
)
