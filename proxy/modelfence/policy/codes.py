"""Every code a problem of a policy can have, with what it means in a sentence.

Codes are stable: people search for them and scripts filter by them. A code is never given a second meaning.
"""

from collections.abc import Mapping

COMPILING: Mapping[str, str] = {
    # The file as YAML.
    "unreadable": "The file is not UTF-8 text, or larger than any policy.",
    "yaml-syntax": "The file is not YAML, or holds a character that YAML does not admit.",
    "yaml-alias": "YAML aliases (`*name`) are not supported; the value has to be written out.",
    "yaml-tag": "A value begins with `!`, which is a tag to YAML: a condition like `!client.hosting` stands in quotes.",
    "yaml-depth": "Values are nested deeper than any policy needs.",
    "empty-document": "The file holds nothing.",
    "wrong-type": "A value is of another kind than the one expected: a text, a list, a mapping or a number.",
    "unknown-key": "The mapping has no such key.",
    "missing-key": "A required key is missing.",
    "duplicate-key": "The same key is given twice in one mapping.",
    "empty-value": "A value is left empty that must not be.",
    "unknown-value": "The value is none of those that are possible here.",
    "out-of-range": "The number is outside the bounds that make sense here.",
    # The policy.
    "bad-name": "A name is not written as names of its kind must be.",
    "too-long": "A text is longer than its limit.",
    "bad-url": "A help_url does not begin with https:// or http://, or holds white space.",
    "bad-rate": "A rate is not written as an amount per second, minute, hour or day.",
    "bad-include": "An included file can't be read.",
    "deny-or-allow": "An access rule needs exactly one of `deny` and `allow`.",
    "duplicate-id": "Two rules have the same id; ids are unique over all files.",
    "duplicate-value": "The same value stands twice where each must differ.",
    "bad-fingerprint": "A template's fingerprint is not written as `modelfence extraction` prints it.",
    "conflicting-list": "Two files define a list of the same name with different items.",
    "conflicting-tiers": "Two files define different tiers.",
    # The conditions.
    "unknown-fact": "A condition names a fact that does not exist.",
    "unknown-list": "A condition names a list that no file defines.",
    "unknown-tier": "A condition names a tier that the policy does not have.",
    "unknown-function": "A condition calls a function that does not exist.",
    "type-mismatch": "Values of types that do not go together are combined.",
    "wrong-result": "A condition must be true or false, a key a text, and a cost a number.",
    "condition-syntax": "The condition is not written as CEL, the language of conditions.",
    "condition-too-large": "The condition is nested too deep or is too long; split it into several rules.",
    "since-without-shadow": "A rule says since when it is in shadow, and is not.",
    "cohort-without-score": "A throttle by cohort does not ask what the cohort looks like.",
    "bad-constant": "A pattern, time, duration or time zone is written in a way that can never be read.",
}
"""What compiling finds: an error each, but for `cohort-without-score`."""

LINT: Mapping[str, str] = {
    "never-true": "A condition, or a part of one, is never true, whatever the call is like.",
    "always-true": "A condition, or a part of one, is never false, whatever the call is like.",
    "allows-everything": "An allow applies to every call, so that whatever no deny refuses is let in.",
    "shadowed-rule": "A rule changes nothing, for another does all that it does.",
    "refused-anyway": "A rule changes nothing, for every call it is about is refused by a deny.",
    "impossible-value": "A fact is compared with a text that it can never be.",
    "unknown-country": "A text stands for a country and is no code of ISO 3166-1.",
    "unknown-region": "A text stands for a subdivision and is not written as ISO 3166-2 writes them.",
    "missing-map-key": "A rule asks for a key of a map, and not first whether it is there.",
    "empty-list": "A list that a rule uses is empty.",
    "unused-list": "A list is used by no rule.",
    "small-burst": "A throttle's bucket holds less than one call takes.",
    "long-in-shadow": "A rule has been in shadow for more than 30 days.",
    "future-date": "A rule is said to be in shadow since a day that is still to come.",
    "no-case": "No case expects anything of a rule.",
    "no-cases": "A policy has rules, and no cases that say what they are to do.",
}
"""What lint finds in a policy that compiles: a warning each."""

CODES: Mapping[str, str] = {**COMPILING, **LINT}
