"""The keys each mapping of a policy accepts: what the compiler checks, and what the reference is generated from.

Rule: nothing else in this package spells out which keys exist or which are required.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from modelfence.core.policy import CAPPABLE, HIDABLE, REMOVABLE


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a mapping: its name, what it holds, and whether it must be there."""

    name: str
    what: str
    required: bool = False


POLICY_KEYS: tuple[Key, ...] = (
    Key("version", "version of this language: 1", required=True),
    Key("mode", "enforce (default) or shadow: decide, count and log, refuse nothing"),
    Key("include", "files to take in as well, relative to this one; each is loaded once however often it is named"),
    Key("tiers", "names of the KYC tiers, lowest first; `tier.NAME` in conditions"),
    Key("lists", "named lists of texts; `lists.NAME` in conditions"),
    Key("access", "rules that deny or allow; a deny always wins, otherwise one allow is needed"),
    Key("reshape", "rules for what is changed in a call that is let through"),
    Key("throttle", "rules for how much a caller may use"),
    Key("extraction", "what detection of model extraction is to know"),
)

EXTRACTION_KEYS: tuple[Key, ...] = (
    Key("exempt", "fingerprints of templates that unrelated accounts may share: their accounts are no cohort"),
)

RULE_KEYS: tuple[Key, ...] = (
    Key("id", "name of the rule, unique over all files: letters, digits, `-`, `_` and `.`", required=True),
    Key("message", "what the caller is told when the rule refuses it"),
    Key("help_url", "where the caller can read more"),
    Key("mode", "shadow: the rule is decided and counted, and acts on nothing"),
    Key("description", "why the rule exists; for the readers of the policy"),
)

ACCESS_KEYS: tuple[Key, ...] = (
    *RULE_KEYS,
    Key("deny", "condition under which the call is refused; applies as well when a fact it needs is unknown"),
    Key("allow", "condition under which the call may pass; does not apply when a fact it needs is unknown"),
)

RESHAPE_KEYS: tuple[Key, ...] = (
    *RULE_KEYS,
    Key("when", "condition under which the rule applies; always when left out"),
    Key("remove", f"what is taken out of the call: {', '.join(REMOVABLE)}"),
    Key("cap", f"the most the call may ask for, by name: {', '.join(CAPPABLE)}"),
    Key("hide", f"what is taken out of the answer: {', '.join(HIDABLE)}"),
)

THROTTLE_KEYS: tuple[Key, ...] = (
    *RULE_KEYS,
    Key("when", "condition under which the rule applies; always when left out"),
    Key("key", "expression that names the bucket; with an empty text the rule does not apply", required=True),
    Key("unit", "what is counted: requests (default), input_tokens, output_tokens or total_tokens"),
    Key("rate", "how much flows back, as `60 per minute`: per second, minute, hour or day", required=True),
    Key("burst", "how much the bucket holds; the amount of one period when left out"),
    Key("cost", "expression for what one request or token costs; 1 when left out"),
    Key("on_store_failure", "deny (default), allow or local: what happens when the store does not answer"),
)


def names(keys: Sequence[Key]) -> tuple[str, ...]:
    """Return the names of the keys."""
    return tuple(key.name for key in keys)


def required(keys: Sequence[Key]) -> tuple[str, ...]:
    """Return the names of the keys that must be there."""
    return tuple(key.name for key in keys if key.required)
