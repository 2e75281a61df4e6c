"""Write docs/policy.md from the tables the code itself reads, so that the reference can't fall behind.

Usage: python tools/write_reference.py (a test fails when the committed file is not what this writes)
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from modelfence.core.facts import FACTS, OPERATIONS, Fact
from modelfence.policy.codes import CODES
from modelfence.policy.keys import (
    ACCESS_KEYS,
    EXTRACTION_KEYS,
    POLICY_KEYS,
    RESHAPE_KEYS,
    RULE_KEYS,
    THROTTLE_KEYS,
    Key,
)

TARGET = Path(__file__).parent.parent / "docs" / "policy.md"

_INTRODUCTION = """\
# The policy

One YAML file says who may call a model API, from where, and how much. Conditions are written in CEL, the Common
Expression Language. This page is written from the code's own tables by `tools/write_reference.py`.

```yaml
version: 1
lists:
  embargoed: [CU, IR, KP]
access:
  - id: embargoed-region
    deny: client.country in lists.embargoed
    message: This service is not available in your region.
  - id: active-customers
    allow: kyc.status == "active" && kyc.tier >= tier.basic
throttle:
  - id: requests-per-account
    key: account.id
    rate: 60 per minute
    burst: 120
```

`modelfence policy check FILE` finds every problem at once, each with its line, column and a suggestion.

How a call is decided:

* **A deny always wins**, whatever else matches. Otherwise one allow is needed. Otherwise the call is refused.
  The order of rules and files never matters.
* **Doubt counts against the caller.** Where a fact is unknown, CEL's own logic decides whether that matters:
  `false && unknown` is false, `true || unknown` is true. If the answer stays unknown, a deny applies, an allow does
  not, and the `when` of a reshape or a throttle applies. An error while evaluating, such as a missing key of a map,
  counts as unknown.
* **Shadow** lets you look before you leap: a rule with `mode: shadow` is decided and counted and acts on nothing; a
  file with `mode: shadow` puts all of its rules there, and the root file's `mode: shadow` lets every call through.
* **An empty throttle key** means that the throttle does not apply. Calls whose key is unknown share one bucket.
* **A throttle** holds `burst` units and gets `rate` back, evenly. All throttles that apply are charged, or none.
  Tokens are reserved before the answer and settled to what the provider reports. More used than reserved is carried
  as debt.
"""

_ABOUT_FACTS = """\
## Facts

What a condition may name. Any may be unknown, unless it is marked *always*. Where a fact makes no sense for a call it
is empty, zero or false, which is not the same as unknown.
"""

_MORE_FACTS = """\
Also `lists.NAME` (a list of texts), `tier.NAME` (a whole number), `kyc.owned_by.LIST` (the share, 0 to 1, owned from
the countries of that list) and CEL's standard functions and macros.
"""


def main() -> None:
    """Write the page."""
    TARGET.write_text(page())


def page() -> str:
    """Return the page's text."""
    facts = ((f"`{fact.name}`", fact.type, _about(fact)) for fact in FACTS)
    parts = [
        _INTRODUCTION,
        "## Keys\n",
        _keys("The file", POLICY_KEYS),
        _keys("Every rule", RULE_KEYS),
        _keys("A rule of `access`", _without_common(ACCESS_KEYS)),
        _keys("A rule of `reshape`", _without_common(RESHAPE_KEYS)),
        _keys("A rule of `throttle`", _without_common(THROTTLE_KEYS)),
        _keys("`extraction`", EXTRACTION_KEYS),
        _ABOUT_FACTS,
        _table(("fact", "type", ""), facts),
        _MORE_FACTS,
        f"Operations: {', '.join(OPERATIONS)}.\n",
        "## Problems\n",
        "Each with examples: [problems.md](problems.md), or `modelfence policy explain-problem CODE`.\n",
        _table(("code", "meaning"), ((f"`{code}`", meaning) for code, meaning in CODES.items())),
    ]
    return "\n".join(parts)


def _about(fact: Fact) -> str:
    return "*always*; " * fact.always + fact.description


def _without_common(keys: Sequence[Key]) -> list[Key]:
    return [key for key in keys if key not in RULE_KEYS]


def _keys(title: str, keys: Iterable[Key]) -> str:
    rows = ((f"`{key.name}`", "required; " * key.required + key.what) for key in keys)
    return f"{title}:\n\n{_table(('key', 'meaning'), rows)}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    def lines() -> Iterator[str]:
        yield f"| {' | '.join(head)} |"
        yield "|" + " --- |" * len(head)
        for row in rows:
            # A bar inside a cell would end it.
            yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"

    return "\n".join(lines()) + "\n"


if __name__ == "__main__":
    main()
