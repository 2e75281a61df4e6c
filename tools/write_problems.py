"""Write docs/problems.md from the pages that `modelfence policy explain-problem` prints.

Usage: python tools/write_problems.py (a test fails when the committed file is not what this writes)
"""

from pathlib import Path

from modelfence.policy.codes import COMPILING, LINT
from modelfence.workbench.problems import PAGES, as_markdown

TARGET = Path(__file__).parent.parent / "docs" / "problems.md"

_INTRODUCTION = """\
# Problems of a policy

What `modelfence policy check` can say, by the code it puts in brackets. `modelfence policy explain-problem CODE` prints
the same. This page is written by `tools/write_problems.py`, and a test checks every example.

In a pipeline, `--format github` puts problems beside the lines of a change, `--format sarif` writes what code scanning
reads, and `--strict` lets warnings fail the step:

```sh
modelfence policy check --strict --format github policies/default.yaml
```
"""

_COMPILING = """\
# What stops a policy

A policy with one of these is not used: a fence that runs keeps the one it has. `cohort-without-score` alone is a
warning.
"""

_LINT = """\
# What is hardly meant

Warnings: they stop nothing and change no decision. Each was shown to hold for every call, also where facts are unknown;
what could not be shown is not said.
"""


def main() -> None:
    """Write the page."""
    TARGET.write_text(page())


def page() -> str:
    """Return the page's text."""
    compiling = (as_markdown(PAGES[code]) for code in COMPILING)
    lint = (as_markdown(PAGES[code]) for code in LINT)
    return "\n".join((_INTRODUCTION, _COMPILING, *compiling, _LINT, *lint))


if __name__ == "__main__":
    main()
