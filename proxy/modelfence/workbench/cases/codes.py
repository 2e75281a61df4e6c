"""The codes a problem of a case file can have beside those of every YAML file, with what each means in a sentence.

Codes are stable: people search for them and scripts filter by them. A code is never given a second meaning.
"""

from collections.abc import Mapping

CODES: Mapping[str, str] = {
    "bad-policy": "The policy that the cases are about can't be read, or has problems of its own.",
    "bad-accounts": "The accounts file can't be read, or has problems of its own.",
    "unknown-account": "The accounts file has no account of that id.",
    "unknown-rule": "The policy has no rule of that id.",
    "unknown-fact": "There is no fact of that name.",
    "unknown-tier": "The policy has no tier of that name.",
    "unknown-country": "The code is of no country, so no caller and no organisation can be there.",
    "unreachable": "Something is expected that the policy can't answer, or an exception that matches no combination.",
    "always-known": "A fact that is known for every call is said to be unknown.",
    "not-stated-here": "A fact or key that can't be given in this place.",
    "bad-duration": "A time is not written as a number and one of ms, s, m, h or d.",
    "bad-time": "A point in time is not written as 2026-01-31T12:00:00Z.",
    "bad-address": "An address is neither IPv4 nor IPv6.",
    "nothing-expected": "A case or step expects nothing, or says in two ways what it expects.",
    "duplicate-name": "Two cases of the file have the same name.",
    "too-many": "The combinations or calls are more than a test should take.",
}
