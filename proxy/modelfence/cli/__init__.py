"""The command line: one file per command. Results go to stdout, complaints to stderr.

Exit status: 0 fine; 1 the thing checked is bad; 2 it could not be done.
"""

import argparse
import errno
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version
from io import TextIOWrapper
from typing import Any

from modelfence.cli import run

COULD_NOT_BE_DONE = 2


def parser(first: str | None = None) -> argparse.ArgumentParser:
    """Return the parser of all commands, or of `run` alone where that is the first word.

    Its process stays up beside those that serve, and is spared what the others load.
    """
    root = argparse.ArgumentParser(
        prog="modelfence",
        description="A fence in front of LLM APIs.",
        epilog="example:\n  modelfence demo",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    root.add_argument("--version", action="version", version=f"modelfence {version('modelfence')}")
    commands = root.add_subparsers(title="commands", metavar="COMMAND", required=True)
    run.add_to(commands)
    if first != "run":
        _add_others(commands)
    return root


def _add_others(commands: Any) -> None:
    from modelfence.cli import (  # noqa: PLC0415 - see `parser`
        accounts,
        accounts_change,
        accounts_check,
        accounts_import,
        accounts_show,
        audit,
        demo,
        extraction,
        geo,
        geo_update,
        policy_check,
        policy_diff,
        policy_explain,
        policy_fmt,
        policy_problem,
        policy_schema,
        policy_test,
        replay,
        studio,
        throttle,
    )

    demo.add_to(commands)
    replay.add_to(commands)
    studio.add_to(commands)
    policy = commands.add_parser("policy", help="work with policies", description="Work with policies.")
    policy_commands = policy.add_subparsers(title="commands", metavar="COMMAND", required=True)
    policy_check.add_to(policy_commands)
    policy_explain.add_to(policy_commands)
    policy_fmt.add_to(policy_commands)
    policy_problem.add_to(policy_commands)
    policy_test.add_to(policy_commands)
    policy_diff.add_to(policy_commands)
    policy_schema.add_to(policy_commands)
    directory = commands.add_parser("accounts", help="look after accounts", description="Look after accounts.")
    directory_commands = directory.add_subparsers(title="commands", metavar="COMMAND", required=True)
    accounts_check.add_to(directory_commands)
    accounts.add_to(directory_commands)
    accounts_show.add_to(directory_commands)
    accounts_change.add_to(directory_commands)
    accounts_import.add_to(directory_commands)
    buckets = commands.add_parser("throttle", help="look into buckets", description="Look into buckets, and fill them.")
    throttle.add_to(buckets.add_subparsers(title="commands", metavar="COMMAND", required=True))
    places = commands.add_parser("geo", help="look up addresses", description="Look up addresses, and the databases.")
    place_commands = places.add_subparsers(title="commands", metavar="COMMAND", required=True)
    geo.add_to(place_commands)
    geo_update.add_to(place_commands)
    watching = commands.add_parser("extraction", help="look at campaigns", description="Look at campaigns.")
    extraction.add_to(watching.add_subparsers(title="commands", metavar="COMMAND", required=True))
    log = commands.add_parser("audit", help="look into audit logs", description="Look into audit logs.")
    audit.add_to(log.add_subparsers(title="commands", metavar="COMMAND", required=True))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    words = sys.argv[1:] if arguments is None else arguments
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # names of files are not always text, and terminals not always Unicode
            stream.reconfigure(errors="backslashreplace")
    try:
        options = parser(*words[:1]).parse_args(words)
        status = int(options.command(options))
        print(end="", flush=True)
    except OSError as error:
        if error.errno not in (errno.EPIPE, errno.ENOSPC):
            raise
        if error.errno == errno.ENOSPC:  # that nobody reads on is not worth a word
            print(f"what was found can't be written: {error.strerror}", file=sys.stderr)
        with suppress(OSError):
            sys.stdout.close()  # or what is left is tried again when Python ends, and complained of
        return COULD_NOT_BE_DONE
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return COULD_NOT_BE_DONE
    return status
