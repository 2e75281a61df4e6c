"""Write the end of docs/cases.md, from a heading on, from the tables that the reader of case files checks by.

Usage: python tools/write_case_keys.py (a test fails when the committed file is not what this writes)
"""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from modelfence.core.facts import FACTS, Facts, FactValue
from modelfence.core.keys import Key
from modelfence.workbench.cases.codes import CODES
from modelfence.workbench.cases.keys import (
    CASE_KEYS,
    EXCEPTION_KEYS,
    EXPECT_KEYS,
    FILE_KEYS,
    REQUEST_KEYS,
    STEP_KEYS,
    USAGE_KEYS,
)
from modelfence.workbench.cases.ordinary import INPUT_TOKENS, ORDINARY, OUTPUT_TOKENS
from modelfence.workbench.reference.markdown import table, table_of, wrapped

TARGET = Path(__file__).parent.parent / "docs" / "cases.md"
HEADING = "## Every key\n"

_GROUPS: tuple[tuple[str, Sequence[Key]], ...] = (
    ("The file", FILE_KEYS),
    ("A case", CASE_KEYS),
    ("`expect`", EXPECT_KEYS),
    ("An item of `exceptions`", EXCEPTION_KEYS),
    ("An item of `steps`", STEP_KEYS),
    ("`request`", REQUEST_KEYS),
    ("`usage`", USAGE_KEYS),
)
_INTRODUCTION = f"""\
{HEADING}
From here on, this page is written from the reader's own tables by `tools/write_case_keys.py`.
"""
_ORDINARY = (
    "A call is an ordinary chat of a caller without an account, from nowhere known, until the file or the case says"
    f" otherwise. It sends {INPUT_TOKENS} tokens, and where no `request.output_tokens` is given it reserves"
    f" {OUTPUT_TOKENS}. What is not in the table is unknown. With an `account.id` the account has called from the"
    " country of the call and from no other; with `kyc.ownership` the `kyc.owned_by` of each list follows."
)
_PROBLEMS = """\
## Problems of a case file

Beside those that [every file](problems.md) can have. `modelfence policy explain-problem CODE` shows each by an example.
"""


def main() -> None:
    """Write the page."""
    TARGET.write_text(page())


def page() -> str:
    """Return the page's text: as it is down to the heading, and then what the tables say."""
    by_hand, _, _ = TARGET.read_text().partition(HEADING)
    return by_hand + "\n".join(
        (
            _INTRODUCTION,
            *(f"### {title}\n\n{table_of(keys)}" for title, keys in _GROUPS),
            "## What need not be given\n",
            f"{wrapped(_ORDINARY)}\n",
            table(("fact", "value"), ((f"`{name}`", _shown(name, ORDINARY[name])) for name in _named(ORDINARY))),
            _PROBLEMS,
            table(
                ("code", "meaning"), ((f"[`{code}`](problems.md#{code})", meaning) for code, meaning in CODES.items())
            ),
        )
    )


def _named(facts: Facts) -> list[str]:
    return [fact.name for fact in FACTS if fact.name in facts]


def _shown(name: str, value: FactValue) -> str:
    if name == "kyc.tier":
        return "the lowest"
    if isinstance(value, datetime):
        return f"`{value:%Y-%m-%dT%H:%M:%SZ}`, a {value:%A}"
    if isinstance(value, str | list) and not value:
        return "empty"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


if __name__ == "__main__":
    main()
