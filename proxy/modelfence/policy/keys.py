"""The keys each mapping of a policy accepts, and what they hold.

The compiler checks by these tables, and the reference and the schema for editors are generated from them.

Rule: nothing else in this package spells out which keys exist, which are required, or what fits into them.
"""

from collections.abc import Mapping

from modelfence.core.bucket import PERIODS_US
from modelfence.core.charge import OnStoreFailure, Unit
from modelfence.core.extraction import TEMPLATE_FINGERPRINT
from modelfence.core.keys import Choice, Date, Key, ListOf, MapOf, Number, Record, Text, Whole, names, required
from modelfence.core.policy import CAPPABLE, HIDABLE, REMOVABLE

__all__ = ["Key", "names", "required"]

MODE = Choice(("enforce", "shadow"))
VERSION = Choice(("1",))

ID = Text(r"[A-Za-z0-9][A-Za-z0-9_.\-]*", longest=64, examples=("embargoed-region",))
WORDS = Text(longest=1_000)
"""A message, help_url or description; a message is sent with every refusal."""
URL = Text(r"https?://\S+", longest=WORDS.longest, examples=("https://example.com/help",))
PATH = Text(examples=("packs/embargoed-regions.yaml",))

# https://github.com/google/cel-spec/blob/master/doc/langdef.md#syntax: no condition could name these.
_RESERVED = (
    "as", "break", "const", "continue", "else", "false", "for", "function", "if", "import", "in", "let", "loop",
    "namespace", "null", "package", "return", "true", "var", "void", "while",
)  # fmt: skip
NAME = Text(r"[A-Za-z_][A-Za-z0-9_]*", longest=64, without=_RESERVED)
"""What conditions can write after a dot."""

CONDITION = Text(examples=('client.country == "NO" && kyc.tier >= tier.basic',))
EXPRESSION = Text(examples=("account.id",))
COST = Text(examples=("1.0 + 9.0 * extraction.score",))

CAP = Whole(1, 1_000_000_000)
BURST = Number(1, 1_000_000_000_000)
RATE = Text(
    rf"([0-9]{{1,15}}(?:\.[0-9]{{1,6}})?) +per +({'|'.join(PERIODS_US)})", examples=("60 per minute", "200000 per day")
)
FINGERPRINT = Text(TEMPLATE_FINGERPRINT.pattern)

EXTRACTION_KEYS: tuple[Key, ...] = (
    Key(
        "exempt",
        "fingerprints of templates that unrelated accounts may share: their accounts are no cohort",
        value=ListOf(FINGERPRINT),
        may_be_null=True,
    ),
)

RULE_KEYS: tuple[Key, ...] = (
    Key(
        "id",
        "name of the rule, unique over all files: letters, digits, `-`, `_` and `.`",
        required=True,
        value=ID,
    ),
    Key("description", "why the rule exists; for the readers of the policy", value=WORDS),
    Key("message", "what the caller is told when the rule refuses it", value=WORDS),
    Key("help_url", "where the caller can read more", value=URL),
    Key("mode", "shadow: the rule is decided and counted, and acts on nothing", value=MODE),
    Key(
        "since",
        "the day since which a rule is in shadow, as 2026-01-31: `policy check` warns after 30 days",
        value=Date(),
    ),
)


def _of_rules(*own: Key) -> tuple[Key, ...]:
    """Return the keys of one kind of rule in their order: its name and why, what it does, and what comes of it."""
    return (*RULE_KEYS[:2], *own, *RULE_KEYS[2:])


ACCESS_KEYS = _of_rules(
    Key(
        "deny",
        "condition under which the call is refused; applies as well when a fact it needs is unknown",
        value=CONDITION,
    ),
    Key(
        "allow",
        "condition under which the call may pass; does not apply when a fact it needs is unknown",
        value=CONDITION,
    ),
)

RESHAPE_KEYS = _of_rules(
    Key("when", "condition under which the rule applies; always when left out", value=CONDITION),
    Key(
        "remove",
        f"what is taken out of the call: {', '.join(REMOVABLE)}",
        value=ListOf(Choice(REMOVABLE), may_be_empty=False),
    ),
    Key(
        "cap",
        f"the most the call may ask for, by name: {', '.join(CAPPABLE)}",
        value=Record(
            (
                Key("output_tokens", "tokens of the answer", value=CAP),
                Key("choices", "answers of one call (`n`)", value=CAP),
            ),
            at_least_one=CAPPABLE,
        ),
    ),
    Key(
        "hide",
        f"what is taken out of the answer: {', '.join(HIDABLE)}",
        value=ListOf(Choice(HIDABLE), may_be_empty=False),
    ),
)

THROTTLE_KEYS = _of_rules(
    Key("when", "condition under which the rule applies; always when left out", value=CONDITION),
    Key(
        "key",
        "expression that names the bucket; with an empty text the rule does not apply",
        required=True,
        value=EXPRESSION,
    ),
    Key(
        "unit",
        "what is counted: requests (default), input_tokens, output_tokens or total_tokens",
        value=Choice(tuple(Unit)),
    ),
    Key(
        "rate",
        "how much flows back, as `60 per minute`: per second, minute, hour or day",
        required=True,
        value=RATE,
    ),
    Key("burst", "how much the bucket holds; the amount of one period when left out", value=BURST),
    Key("cost", "expression for what one request or token costs; 1 when left out", value=COST),
    Key(
        "on_store_failure",
        "deny (default), allow or local: what happens when the store does not answer",
        value=Choice(tuple(OnStoreFailure)),
    ),
)

RULES_KEYS: Mapping[str, tuple[Key, ...]] = {"access": ACCESS_KEYS, "reshape": RESHAPE_KEYS, "throttle": THROTTLE_KEYS}
"""What a rule of each section accepts."""


def _holding(*shapes: Text) -> tuple[str, ...]:
    keys = (key for of_a_rule in RULES_KEYS.values() for key in of_a_rule)
    return tuple(dict.fromkeys(key.name for key in keys if any(key.value is shape for shape in shapes)))


CONDITIONS = _holding(CONDITION)
"""The keys of rules that hold a condition."""
EXPRESSIONS = _holding(CONDITION, EXPRESSION, COST)
"""Those that hold a condition or another expression."""

POLICY_KEYS: tuple[Key, ...] = (
    Key("version", "version of this language: 1", required=True, value=VERSION),
    Key("mode", "enforce (default) or shadow: decide, count and log, refuse nothing", value=MODE),
    Key(
        "include",
        "files to take in as well, relative to this one; each is loaded once however often it is named",
        value=ListOf(PATH),
        may_be_null=True,
    ),
    Key(
        "tiers",
        "names of the KYC tiers, lowest first; `tier.NAME` in conditions",
        value=ListOf(NAME, may_be_empty=False, is_unique=True),
    ),
    Key(
        "lists",
        "named lists of texts; `lists.NAME` in conditions",
        value=MapOf(ListOf(Text()), NAME),
        may_be_null=True,
    ),
    Key(
        "access",
        "rules that deny or allow; a deny always wins, otherwise one allow is needed",
        value=ListOf(Record(ACCESS_KEYS, exactly_one=("deny", "allow"), title="a rule of `access`")),
        may_be_null=True,
    ),
    Key(
        "reshape",
        "rules for what is changed in a call that is let through",
        value=ListOf(Record(RESHAPE_KEYS, at_least_one=("remove", "cap", "hide"), title="a rule of `reshape`")),
        may_be_null=True,
    ),
    Key(
        "throttle",
        "rules for how much a caller may use",
        value=ListOf(Record(THROTTLE_KEYS, title="a rule of `throttle`")),
        may_be_null=True,
    ),
    Key(
        "extraction",
        "what detection of model extraction is to know",
        value=Record(EXTRACTION_KEYS),
        may_be_null=True,
    ),
)
