"""Write docs/policy.md from the tables the code itself reads, so that the reference can't fall behind.

Usage: python tools/write_reference.py (a test fails when the committed file is not what this writes)
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from modelfence.core.facts import FACTS
from modelfence.policy.codes import CODES
from modelfence.policy.functions import FUNCTIONS, OPERATORS, Group
from modelfence.policy.keys import (
    ACCESS_KEYS,
    EXTRACTION_KEYS,
    POLICY_KEYS,
    RESHAPE_KEYS,
    RULE_KEYS,
    THROTTLE_KEYS,
    Key,
)
from modelfence.workbench.reference import (
    CALL,
    FACT_EXAMPLES,
    FACT_GROUPS,
    FUNCTION_EXAMPLES,
    LISTS,
    LITERALS,
    NAMED,
    SURPRISES,
    UNKNOWN,
    FactGroup,
    KeyExample,
    Shown,
    Surprise,
)
from modelfence.workbench.reference import keys as reference
from modelfence.workbench.reference.markdown import item, table, table_of, wrapped

TARGET = Path(__file__).parent.parent / "docs" / "policy.md"

_INTRODUCTION = """\
# The policy

One YAML file says who may call a model API, from where, and how much. Conditions are written in CEL, the Common
Expression Language. [tutorial.md](tutorial.md) takes you from an empty file to a policy that is tested
([cases.md](cases.md)), [editors.md](editors.md) sets up your editor, and this page is for looking things up:

* [how a call is decided](#how-a-call-is-decided)
* [keys](#keys): of [the file](#the-file), of [every rule](#every-rule), of rules of [access](#a-rule-of-access),
  [reshape](#a-rule-of-reshape) and [throttle](#a-rule-of-throttle)
* [facts](#facts), each with a condition to copy
* [operators and functions](#operators-and-functions), and [what surprises](#what-surprises) about them
* [problems](#problems)

It is written from the code's own tables by `tools/write_reference.py`, and every example is run by a test.

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

## How a call is decided

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

_ABOUT_FACTS = f"""\
## Facts

What a condition may name. Any may be unknown, unless it is marked *always*. Where a fact makes no sense for a call it
is empty, zero or false, which is not the same as unknown: on an unknown fact a deny applies, an allow does not, and a
`when` applies.

Some of the examples name these lists:

```yaml
{LISTS}```
"""

_ABOUT_FUNCTIONS = f"""\
## Operators and functions

What a condition, a `key` and a `cost` may compute of facts, by all operators and functions of CEL. `number` is int,
uint or double; `ordered` is a number, string, timestamp, duration, bool or bytes; `any` is any type. Where one of these
stands twice, it is the same type both times. `x` is a name of your own for an item, or for a key of a map. Of a time,
`getHours` and the like take a time zone as a text; without one they answer in UTC.

The examples are about this call. What is not given is unknown, and `lists.embargoed` is that from above:

```yaml
{CALL}```
"""

_ABOUT_SURPRISES = """\
### What surprises

Where `policy check` sees a mistake, its code is shown. Where it can't, the condition is unknown when a call comes in.
"""

_IN_YAML = """\
### In YAML

YAML reads the line first. A condition that begins with `!`, a quotation mark or a bracket, or that has `: ` or ` #` in
it, stands in single quotes, or on lines of its own under `>-`:

```yaml
version: 1
lists:
  embargoed: [CU, IR, KP]
access:
  - id: been-in-north-korea
    deny: '"KP" in account.recent_countries'
  - id: from-elsewhere
    allow: >-
      !(client.country in lists.embargoed)
      && kyc.status == "active"
```
"""

_KEY_GROUPS = (
    ("The file", POLICY_KEYS, reference.FILE),
    ("Every rule", RULE_KEYS, reference.RULE),
    ("A rule of `access`", ACCESS_KEYS, reference.ACCESS),
    ("A rule of `reshape`", RESHAPE_KEYS, reference.RESHAPE),
    ("A rule of `throttle`", THROTTLE_KEYS, reference.THROTTLE),
    ("`extraction`", EXTRACTION_KEYS, reference.EXTRACTION),
)


def main() -> None:
    """Write the page."""
    TARGET.write_text(page())


def page() -> str:
    """Return the page's text."""
    parts = [
        _INTRODUCTION,
        "## Keys\n",
        *(part for group in _KEY_GROUPS for part in _keys(*group)),
        _ABOUT_FACTS,
        *(part for group in FACT_GROUPS for part in _facts(group)),
        _ABOUT_FUNCTIONS,
        "### Values\n",
        table(
            ("value", "type", "written"),
            ((one.what, one.type, ", ".join(f"`{source}`" for source in one.written)) for one in LITERALS),
        ),
        "What follows `//` on a line is a comment.\n",
        *(part for group in Group for part in _functions(group)),
        _ABOUT_SURPRISES,
        "".join(_surprise(one) for one in SURPRISES),
        _IN_YAML,
        "## Problems\n",
        "Each with examples: [problems.md](problems.md), or `modelfence policy explain-problem CODE`.\n",
        table(("code", "meaning"), ((f"[`{code}`](problems.md#{code})", meaning) for code, meaning in CODES.items())),
    ]
    return "\n".join(parts)


def _keys(title: str, keys: Sequence[Key], example: KeyExample) -> Iterator[str]:
    """Yield what there is to say of the keys of one mapping; those of every rule are told once."""
    own = keys if keys is RULE_KEYS else [key for key in keys if key not in RULE_KEYS]
    yield f"### {title}\n"
    yield table_of(own)
    for name, text in example.beside.items():
        yield f"```yaml\n# {name}\n{text}```\n"
    yield f"```yaml\n{example.policy}```\n"
    yield "".join(item(sentence) for sentence in (*example.sentences, *example.more))


def _facts(group: FactGroup) -> Iterator[str]:
    facts = [fact for fact in (*FACTS, *NAMED) if fact.name.partition(".")[0] in group.first_words]
    examples = {one.fact: one for one in FACT_EXAMPLES}
    yield f"### {group.title}\n"
    yield f"{wrapped(group.about)}\n"
    yield table(
        ("fact", "type", "meaning"),
        ((f"`{fact.name}`", fact.type, "*always*; " * fact.always + fact.description) for fact in facts),
    )
    yield table(
        ("to …", "write"),
        ((one.aim, f"`{one.key}: {one.condition}`") for one in (examples[fact.name] for fact in facts)),
    )


def _functions(group: Group) -> Iterator[str]:
    functions = [one for one in (*OPERATORS, *FUNCTIONS) if one.group is group]
    yield f"### {group}\n"
    yield table(
        ("written", "gives", "for example"),
        (
            (", ".join(f"`{form}`" for form in one.written), one.what, _shown(FUNCTION_EXAMPLES[one.name]))
            for one in functions
        ),
    )


def _surprise(surprise: Surprise) -> str:
    return item(surprise.what) + "".join(f"  * {_shown([one])}\n" for one in surprise.shown)


def _shown(examples: Iterable[Shown]) -> str:
    """Return expressions with what comes of them, in words."""
    return "; ".join(f"`{source}` is {_value(value)}" for source, value in examples)


def _value(value: str) -> str:
    if value == UNKNOWN:
        return "unknown"
    return f"a problem, `{value}`" if value in CODES else f"`{value}`"


if __name__ == "__main__":
    main()
