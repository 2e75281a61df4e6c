"""The command line: one file per command. Results go to stdout, complaints to stderr.

Exit status: 0 fine; 1 the thing checked is bad; 2 it could not be done.
"""

import argparse
import sys
from collections.abc import Sequence

from modelfence.cli import demo, extraction, policy_check, replay, run, throttle

COULD_NOT_BE_DONE = 2


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    root = argparse.ArgumentParser(prog="modelfence", description="A fence in front of LLM APIs.")
    commands = root.add_subparsers(title="commands", metavar="COMMAND", required=True)
    run.add_to(commands)
    demo.add_to(commands)
    replay.add_to(commands)
    policy = commands.add_parser("policy", help="work with policies", description="Work with policies.")
    policy_commands = policy.add_subparsers(title="commands", metavar="COMMAND", required=True)
    policy_check.add_to(policy_commands)
    buckets = commands.add_parser("throttle", help="look into buckets", description="Look into buckets, and fill them.")
    throttle.add_to(buckets.add_subparsers(title="commands", metavar="COMMAND", required=True))
    watching = commands.add_parser("extraction", help="look at campaigns", description="Look at campaigns.")
    extraction.add_to(watching.add_subparsers(title="commands", metavar="COMMAND", required=True))
    return root


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    options = parser().parse_args(arguments)
    try:
        return int(options.command(options))
    except BrokenPipeError:
        sys.stderr.close()  # nobody reads on: not worth a traceback
        return COULD_NOT_BE_DONE
