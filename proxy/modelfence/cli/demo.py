"""`modelfence demo`: everything on this machine, to see who is let in, who is refused, and why."""

import argparse
import asyncio
import logging
import sys
from typing import Any

from modelfence.settings import CannotStartError

_EXAMPLE = "example:\n  modelfence demo --forever"


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "demo",
        help="see it work: a stand-in API, the fence and sample callers on this machine",
        description="Run a stand-in model API, the fence with its default policy, and sample callers, on loopback.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--forever", action="store_true", help="keep everything up until Ctrl-C, to try by hand")
    parser.set_defaults(command=demo)


def demo(options: argparse.Namespace) -> int:
    """Return 0 when each caller met the fate the policy says, 1 when not, 2 when the demo could not run."""
    from modelfence.demo.show import show  # noqa: PLC0415 - loads mitmproxy, which other commands need not wait for

    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        return 0 if asyncio.run(show(forever=options.forever)) else 1
    except (CannotStartError, TimeoutError) as error:
        print(f"the demo could not run: {error or 'it took too long'}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        if not options.forever:
            raise
        return 0  # as it is meant to end
