"""The kinds of files people write, each with its keys and what an editor shows of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from modelfence.adapters.accounts.keys import FILE_KEYS
from modelfence.core.keys import Key, Record
from modelfence.policy.keys import POLICY_KEYS
from modelfence.settings_keys import setting_keys
from modelfence.workbench.cases.keys import FILE_KEYS as CASE_FILE_KEYS
from modelfence.workbench.schema.shapes import Schema, schema_of_shape

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of file."""

    title: str
    description: str
    keys: Callable[[], Sequence[Key]]


KINDS: Mapping[str, Kind] = {
    "policy": Kind(
        "modelfence policy",
        "Who may call a model API, from where, and how much. Conditions are written in CEL.",
        lambda: POLICY_KEYS,
    ),
    "accounts": Kind(
        "modelfence accounts",
        "The directory of accounts: whose a credential is, and how far they are verified.",
        lambda: FILE_KEYS,
    ),
    "cases": Kind(
        "modelfence cases",
        "Cases of a policy: what should come of which call.",
        lambda: CASE_FILE_KEYS,
    ),
    "settings": Kind(
        "modelfence settings",
        "How a fence runs: where it listens, what it protects, and what it keeps.",
        setting_keys,
    ),
}


def schema_of(kind: str) -> Schema:
    """Return the JSON Schema of a kind of file, draft 2020-12."""
    described = KINDS[kind]
    schema = schema_of_shape(Record(tuple(described.keys())))
    return {"$schema": _DIALECT, "title": described.title, "description": described.description, **schema}
