"""Write docs/problems.md from the pages that `modelfence policy explain-problem` prints.

Usage: python tools/write_problems.py (a test fails when the committed file is not what this writes)
"""

from pathlib import Path

from modelfence.policy.codes import CODES, COMPILING, LINT
from modelfence.workbench.problems import PAGES, as_markdown

TARGET = Path(__file__).parent.parent / "docs" / "problems.md"

_INTRODUCTION = """\
# Problems of policies and cases

What `modelfence policy check` can say, by the code it puts in brackets. `modelfence policy explain-problem CODE` prints
the same. This page is written by `tools/write_problems.py`, and a test checks every example.

In a pipeline, `--format github` puts problems beside the lines of a change, `--format sarif` writes what code scanning
reads, and `--strict` lets warnings fail the step:

```sh
modelfence policy check --strict --format github policies/default.yaml
```

`--format json` prints a list of problems, sorted by file, line and column:

| name | |
| --- | --- |
| `file` | the file it stands in |
| `line`, `column` | where what is wrong begins, counted from 1 |
| `code` | as below |
| `severity` | `error` or `warning` |
| `message` | what is wrong |
| `hint` | how to mend it; null where that can't be told |
| `excerpt` | the line |

Exit status 0: fine, or nothing but warnings. 1: errors, or with `--strict` also warnings. 2: a file could not be read.
`--watch` does it again whenever a file is saved.
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

_CASES = """\
# What stops cases

Cases with one of these are not run, and `modelfence policy test` exits with 1. [Cases](cases.md) says how they are
written. What can be wrong with every file stands above.
"""


def main() -> None:
    """Write the page."""
    TARGET.write_text(page())


def page() -> str:
    """Return the page's text."""
    compiling = (as_markdown(PAGES[code]) for code in COMPILING)
    lint = (as_markdown(PAGES[code]) for code in LINT)
    cases = (as_markdown(page) for code, page in PAGES.items() if code not in CODES)
    return "\n".join((_INTRODUCTION, _COMPILING, *compiling, _LINT, *lint, _CASES, *cases))


if __name__ == "__main__":
    main()
