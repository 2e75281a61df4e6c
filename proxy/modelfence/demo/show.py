"""The demo itself: starts the stand-in API and the fence, lets the callers call, and shows what became of them."""

import asyncio
import shutil
import sys
import tempfile
from ipaddress import ip_network
from pathlib import Path
from typing import TextIO

from modelfence.core.decision import Effect
from modelfence.core.upstream import Upstream
from modelfence.demo.callers import CALLERS, accounts_yaml, call_all
from modelfence.demo.scoreboard import Scoreboard
from modelfence.demo.standin_api import StandInApi
from modelfence.listening import bind
from modelfence.settings import Address, Settings
from modelfence.wiring import Gateway

REFRESH_S = 0.1


async def show(*, forever: bool) -> bool:
    """Run the demo; return whether each caller met the fate the policy says.

    Raises CannotStartError, and TimeoutError when the callers do not come to an end.
    """
    with tempfile.TemporaryDirectory(prefix="modelfence-demo-") as folder:
        accounts = Path(folder) / "accounts.yaml"
        accounts.write_text(accounts_yaml(CALLERS))
        return await _show(accounts, forever=forever)


async def _show(accounts: Path, *, forever: bool) -> bool:
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
        if forever:
            print(_to_try(gateway), flush=True)
            await asyncio.Event().wait()
        print(f"\nTo keep it up, and call it by hand: {_ourselves()} demo --forever")
        return not surprises
    finally:
        await gateway.stop()
        await api.stop()


async def _show_while(calling: asyncio.Task[None], scoreboard: Scoreboard, out: TextIO) -> None:
    """Draw the table until the callers are done: over itself on a terminal, once at the end elsewhere."""
    drawn = 0
    try:
        while out.isatty() and not calling.done():
            drawn = _draw(scoreboard, out, over=drawn)
            await asyncio.wait([calling], timeout=REFRESH_S)
        await calling
    finally:
        calling.cancel()  # on Ctrl-C: a caller left behind would complain of the fence that goes away
    _draw(scoreboard, out, over=drawn)


def _draw(scoreboard: Scoreboard, out: TextIO, *, over: int) -> int:
    # A line that the terminal wrapped would be two to go back over.
    columns = shutil.get_terminal_size().columns - 1 if out.isatty() else None
    rows = [row[:columns] for row in scoreboard.rows()]
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
        f"The API saw {api.requests} and sent {api.sent_tokens} tokens; the fence counted {scoreboard.tokens}.",
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
            "To try by hand, in another terminal:",
            f"  curl http://{gateway.listen}/v1/chat/completions -H 'Authorization: Bearer {CALLERS[0].key}' \\",
            f"    -H 'Content-Type: application/json' -H 'X-Forwarded-For: {CALLERS[0].address}' -d '{chat}'",
            f"  curl http://{gateway.admin}/metrics",
            f"  curl http://{gateway.admin}/readyz",
            f"  {_ourselves()} extraction cohorts --admin {gateway.admin}",
            "Ctrl-C ends it.",
        ]
    )


def _ourselves() -> str:
    """Return what the command was called by: in a clone it is not on the path."""
    return sys.argv[0] if "/" in sys.argv[0] else "modelfence"
