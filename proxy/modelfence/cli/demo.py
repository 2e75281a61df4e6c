"""`modelfence demo`: everything on this machine, to see who is let in, who is refused, and why."""

import argparse
import asyncio
import logging
import sys
import tempfile
from ipaddress import ip_network
from pathlib import Path
from typing import Any, TextIO

from modelfence.core.decision import Effect
from modelfence.core.upstream import Upstream
from modelfence.demo.callers import CALLERS, accounts_yaml, call_all
from modelfence.demo.scoreboard import Scoreboard
from modelfence.demo.standin_api import StandInApi
from modelfence.settings import Address, Settings
from modelfence.wiring import CannotStartError, Gateway, bind

REFRESH_S = 0.1
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
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        with tempfile.TemporaryDirectory(prefix="modelfence-demo-") as folder:
            return asyncio.run(_demo(Path(folder), forever=options.forever))
    except (CannotStartError, TimeoutError) as error:
        print(f"the demo could not run: {error or 'it took too long'}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0


async def _demo(folder: Path, *, forever: bool) -> int:
    accounts = folder / "accounts.yaml"
    accounts.write_text(accounts_yaml(CALLERS))
    api = StandInApi(bind("stand-in API", Address("127.0.0.1", 0)))
    host, port = api.url.removeprefix("http://").split(":")
    scoreboard = Scoreboard(CALLERS)
    settings = Settings(
        listen=Address("127.0.0.1", 0),
        admin=Address("127.0.0.1", 0),
        accounts=accounts,
        # The callers live on this machine and say by X-Forwarded-For where they would be.
        trusted_proxies=(ip_network("127.0.0.0/8"),),
        upstreams=(Upstream("stand-in", "openai", "http", host, int(port), secret="sk-stand-in"),),  # noqa: S106 - opens nothing
    )
    gateway = Gateway(settings, observers=(scoreboard,))
    api.start()
    try:
        await gateway.start()
        print(gateway.banner(), file=sys.stderr, flush=True)
        print()
        await _show_while(asyncio.create_task(call_all(CALLERS, f"http://{gateway.listen}")), scoreboard, sys.stdout)
        surprises = scoreboard.surprises()
        print(_summary(scoreboard, api, surprises))
        print(_to_try(gateway))
        if forever:
            print("Ctrl-C ends it.", flush=True)
            await asyncio.Event().wait()
        return 1 if surprises else 0
    finally:
        await gateway.stop()
        await api.stop()


async def _show_while(calling: asyncio.Task[None], scoreboard: Scoreboard, out: TextIO) -> None:
    """Draw the table until the callers are done: over itself on a terminal, once at the end elsewhere."""
    drawn = 0
    while out.isatty() and not calling.done():
        drawn = _draw(scoreboard, out, over=drawn)
        await asyncio.wait([calling], timeout=REFRESH_S)
    await calling
    _draw(scoreboard, out, over=drawn)


def _draw(scoreboard: Scoreboard, out: TextIO, *, over: int) -> int:
    rows = scoreboard.rows()
    back = f"\x1b[{over}A" if over else ""
    clear = "\x1b[K" if out.isatty() else ""
    out.write(back + "".join(f"{row}{clear}\n" for row in rows))
    out.flush()
    return len(rows)


def _summary(scoreboard: Scoreboard, api: StandInApi, surprises: list[str]) -> str:
    totals = scoreboard.totals()
    let_in, refused, throttled = totals[Effect.ALLOW], totals[Effect.DENY], totals[Effect.THROTTLE]
    lines = [
        "",
        f"{totals.total()} calls: {let_in} let in, {refused} refused, {throttled} throttled.",
        f"The API saw {api.requests} and sent {api.sent_tokens} tokens; the fence counted {scoreboard.tokens}",
        "(a stream that does not report its usage is estimated).",
    ]
    if surprises:
        lines += ["Not what the policy says:", *(f"  {surprise}" for surprise in surprises)]
    else:
        lines.append("Each caller met the fate the policy says.")
    return "\n".join(lines)


def _to_try(gateway: Gateway) -> str:
    chat = '{"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}'
    return "\n".join(
        [
            "",
            "To try by hand (with --forever, which keeps it up):",
            f"  curl http://{gateway.listen}/v1/chat/completions -H 'Authorization: Bearer {CALLERS[0].key}' \\",
            f"    -H 'Content-Type: application/json' -H 'X-Forwarded-For: {CALLERS[0].address}' -d '{chat}'",
            f"  curl http://{gateway.admin}/metrics",
            f"  curl http://{gateway.admin}/readyz",
        ]
    )
