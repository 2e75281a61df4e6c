"""The keys each mapping of a case file accepts, and what they hold.

The reader checks by these tables, and the schema for editors is generated from them.

Rule: nothing else in this package spells out which keys exist or which are required.
"""

from modelfence.core.keys import Anything, Choice, Key, ListOf, MapOf, Number, OrNull, Record, Text, Whole, names
from modelfence.core.policy import CAPPABLE, HIDABLE, REMOVABLE
from modelfence.policy.keys import CAP, ID, PATH
from modelfence.workbench.cases.facts import ADDRESS, FACTS, MATRIX

MOST_CALLS = 100_000
"""Of one case, over all its combinations: some seconds."""
MOST_TOKENS = 10**12
DURATION = Text(r"[0-9]{1,12}(?:\.[0-9]{1,6})? ?(?:ms|s|m|h|d)?", examples=("500ms", "10s", "5m", "2h", "1d"))
"""A mere number is in seconds."""
EFFECTS = ("allow", "deny", "throttle")
TOKENS = Whole(0, MOST_TOKENS)

USAGE_KEYS: tuple[Key, ...] = (
    Key("input_tokens", "tokens that were sent", value=TOKENS),
    Key("output_tokens", "tokens that were answered", value=TOKENS),
)

REQUEST_KEYS: tuple[Key, ...] = (
    Key("client_ip", "the caller's address; 192.0.2.1, which is nowhere, when left out", value=ADDRESS),
    Key("method", "the HTTP method; POST when left out", value=Text()),
    Key("path", "the path; /v1/chat/completions when left out", value=Text()),
    Key("headers", "headers by name", value=MapOf(Text(may_be_empty=True))),
    Key("body", "the body: a mapping is sent as JSON, a text as it is", may_be_null=True),
    Key(
        "account",
        "id of the account that calls, instead of a header with its key; null is none",
        value=Text(),
        may_be_null=True,
    ),
)

EXPECT_KEYS: tuple[Key, ...] = (
    Key(
        "effect",
        "allow, deny or throttle; reject for a request that is refused before it is judged",
        value=Choice((*EFFECTS, "reject")),
    ),
    Key("rules", "ids of all rules that cause the effect, in any order", value=ListOf(ID)),
    Key("remove", "all that is taken out of the call", value=ListOf(Choice(REMOVABLE))),
    Key(
        "cap",
        "all limits that are set, by name",
        value=Record(tuple(Key(name, "the most the call may ask for", value=CAP) for name in CAPPABLE)),
    ),
    Key("hide", "all that is taken out of the answer", value=ListOf(Choice(HIDABLE))),
    Key("charges", "what every throttle that applies takes, by its id", value=MapOf(Number(0, MOST_TOKENS), ID)),
    Key(
        "keys",
        "which bucket it takes it from, by the throttle's id; null where it does not apply; those not named may be any",
        value=MapOf(OrNull(Text()), ID),
    ),
    Key(
        "retry_after",
        "the wait until it would be let in, as `10s` or seconds; null is none",
        value=DURATION,
        may_be_null=True,
    ),
    Key("unknown", "all facts that were unknown and mattered", value=ListOf(Text())),
    Key("would", "the effect that rules in shadow would have; null is none", value=Choice(EFFECTS), may_be_null=True),
    Key("shadow_rules", "ids of all rules in shadow that would cause it", value=ListOf(ID)),
    Key("message", "what the caller is told; null is nothing of the policy's own", value=Text(), may_be_null=True),
)

EXPECT = Record(EXPECT_KEYS, at_least_one=names(EXPECT_KEYS))

EXCEPTION_KEYS: tuple[Key, ...] = (
    Key("when", "values by name of the matrix, each one or a list of them", required=True, value=MapOf(Anything())),
    Key("expect", "what should come of these combinations", required=True, value=EXPECT),
)

STEP_KEYS: tuple[Key, ...] = (
    Key("times", "how many calls; 1 when left out", value=Whole(1, MOST_CALLS)),
    Key(
        "every",
        "the time from one of them to the next, as `500ms`, `10s`, `5m`, `2h` or `1d`; none when left out",
        value=DURATION,
    ),
    Key("after", "the time from the call before to the first of them; none when left out", value=DURATION),
    Key("given", "facts that differ from those of the case", value=FACTS, may_be_null=True),
    Key("request", "what differs from the request of the case", value=Record(REQUEST_KEYS), may_be_null=True),
    Key("usage", "what each answer costs; as much as was reserved when left out", value=Record(USAGE_KEYS)),
    Key("expect", "what should come of each of these calls", required=True, value=EXPECT),
)

CASE_KEYS: tuple[Key, ...] = (
    Key("name", "what is the case, in a sentence; each name stands once in a file", required=True, value=Text()),
    Key("given", "facts that differ from those of the file; null is unknown", value=FACTS, may_be_null=True),
    Key(
        "request",
        "a request instead of facts, judged as the fence judges it live",
        value=Record(REQUEST_KEYS),
        may_be_null=True,
    ),
    Key("matrix", "values by fact: the case is run for every combination", value=MATRIX),
    Key("expect", "what should come of it, for every combination that is no exception", value=EXPECT),
    Key(
        "exceptions",
        "what should come of some combinations instead; the first that matches counts",
        value=ListOf(Record(EXCEPTION_KEYS)),
    ),
    Key(
        "steps",
        "calls one after the other, instead of one call: throttles fill and run dry",
        value=ListOf(Record(STEP_KEYS, title="a step"), may_be_empty=False),
    ),
)

FILE_KEYS: tuple[Key, ...] = (
    Key(
        "policy",
        "the policy, relative to this file; `x.cases.yaml` is about the `x.yaml` beside it when left out",
        value=PATH,
    ),
    Key("accounts", "the accounts file that requests are judged with, relative to this file", value=PATH),
    Key("given", "facts for all cases that are no requests; null is unknown", value=FACTS, may_be_null=True),
    Key(
        "cases",
        "what the policy should do with whom",
        required=True,
        value=ListOf(Record(CASE_KEYS, exactly_one=("expect", "steps"), title="a case")),
    ),
)
