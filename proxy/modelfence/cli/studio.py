"""`modelfence studio`: a page on this machine for those who write and review policies."""

import argparse
import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from modelfence.cli.recordings import settings_of
from modelfence.cli.run import complain
from modelfence.settings import Address, CannotStartError

_EXAMPLE = "example:\n  modelfence studio policies/default.yaml --accounts accounts.yaml --recording day.jsonl"
_HOST = "127.0.0.1"
_LAST_PORT = 65535


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "studio",
        help="edit and try a policy in the browser",
        description=(
            "Serve a page on this machine alone: an editor with the problems of the policy, decisions for made-up and "
            "pasted requests, its cases, a map of countries, and what a change would have done to recorded traffic. "
            "Nothing is written to a file without a click that says so. Prints the address to open; Ctrl-C ends it."
        ),
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "policy",
        nargs="?",
        metavar="POLICY",
        help="policy file (default: the one of the settings, or modelfence's own)",
    )
    parser.add_argument("--accounts", metavar="FILE", help="who is let in: accounts file")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings that name upstreams and databases")
    parser.add_argument("--recording", type=Path, metavar="FILE", help="recorded traffic, to compare policies on")
    parser.add_argument(
        "--against",
        type=Path,
        metavar="POLICY",
        help="policy to compare with (default: the one that is edited, as saved)",
    )
    parser.add_argument("--port", type=_port, default=0, metavar="PORT", help="where to listen (default: a free port)")
    parser.set_defaults(command=studio, store=None)


def studio(options: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM, then return 0; 2 when it can't start."""
    try:
        return asyncio.run(_serve(options))
    except CannotStartError as error:
        complain(error.problems)
        print(f"modelfence studio: {error}", file=sys.stderr)
    return 2


async def _serve(options: argparse.Namespace) -> int:
    from modelfence.listening import address_of, bind  # noqa: PLC0415 - loads what help need not wait for
    from modelfence.parts import shipped_policy  # noqa: PLC0415 - likewise, as the next three
    from modelfence.workbench.studio.protection import Identity  # noqa: PLC0415
    from modelfence.workbench.studio.questions import Named, Questions  # noqa: PLC0415
    from modelfence.workbench.studio.server import Studio  # noqa: PLC0415
    from modelfence.workbench.studio.workspace import Workspace  # noqa: PLC0415

    settings = settings_of(options, os.environ)
    policy = _as_seen_from_here(settings.policy or shipped_policy())
    accounts = settings.accounts if isinstance(settings.accounts, Path) else None
    for named in (policy, accounts, options.recording, options.against):
        if named is not None and not named.is_file():
            raise CannotStartError(f"{named} is no file that can be read")
    try:
        workspace = Workspace(policy, may_save=settings.policy is not None)
    except OSError as error:
        raise CannotStartError(f"the policy {policy} can't be read: {error.strerror}") from None
    listening = bind("--port", Address(_HOST, options.port))
    identity = Identity.at(address_of(listening).port)
    questions = Questions(Named(workspace, settings, options.recording, options.against))
    server = Studio(listening, identity, questions)
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    server.start()
    print(f"The studio for {policy} is at\n\n  {identity.address}\n", flush=True)
    print("Only this machine reaches it, and only with the whole address. Ctrl-C ends it.", flush=True)
    await ended.wait()
    questions.stop()
    await server.stop()
    return 0


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= _LAST_PORT):
        raise argparse.ArgumentTypeError(f"`{text}` is no port: these are 0 (a free one) to {_LAST_PORT}")
    return int(text)


def _as_seen_from_here(path: Path) -> Path:
    """Return a path below the working directory without that: it is shown in many places."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
