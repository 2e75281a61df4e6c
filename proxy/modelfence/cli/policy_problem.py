"""`modelfence policy explain-problem`: what a code means, with an example that is wrong and one that is right."""

import argparse
import sys
from collections.abc import Mapping
from typing import Any

from modelfence.document import did_you_mean

_EXAMPLE = "example:\n  modelfence policy explain-problem shadowed-rule"


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "explain-problem",
        help="say what a problem's code means",
        description="Say what a code of `policy check` means, with an example that is wrong and one that is right. "
        "Without a code, list all of them.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("code", nargs="?", metavar="CODE", help="what stands in brackets behind a problem")
    parser.set_defaults(command=explain_problem)


def explain_problem(options: argparse.Namespace) -> int:
    """Return 0, or 2 when there is no such code."""
    from modelfence.workbench.problems import MEANINGS, PAGES, as_text  # noqa: PLC0415 - help need not wait for it

    if options.code is None:
        print(_list(MEANINGS))
        return 0
    code = options.code.strip("[]").lower()
    if code not in PAGES:
        hint = did_you_mean(code, MEANINGS)
        print(
            f"there is no problem `{options.code}`{f': {hint}' if hint else ''}\n\n{_list(MEANINGS)}", file=sys.stderr
        )
        return 2
    print(as_text(PAGES[code]), end="")
    return 0


def _list(meanings: Mapping[str, str]) -> str:
    width = max(len(code) for code in meanings)
    return "\n".join(f"{code:<{width}}  {meaning}" for code, meaning in meanings.items())
