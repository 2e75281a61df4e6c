"""The demo's parts as processes of their own, for a compose file: `python -m modelfence.demo api|callers|accounts`.

They stand in for an API and its customers around a fence that runs elsewhere, so that its dashboards have something to
show. None of them is for production.
"""

import argparse
import asyncio
import signal
import sys
from collections.abc import Coroutine, Sequence

from tornado.httpclient import HTTPError

from modelfence.demo.callers import CALLERS, accounts_yaml, call_all
from modelfence.demo.standin_api import StandInApi
from modelfence.listening import bind
from modelfence.settings import Address, CannotStartError

PACE_S = 0.02
"""What a stream takes for a word, so that streams are seen to be open."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one part until SIGINT or SIGTERM; 2 when it can't start."""
    options = parser().parse_args(arguments)
    try:
        match options.part:
            case "api":
                asyncio.run(_until_told(_serve(options.listen)))
            case "callers":
                asyncio.run(_until_told(_call(options.fence, every_s=options.every)))
            case "accounts":
                print(accounts_yaml(CALLERS), end="")
    except CannotStartError as error:
        print(f"the demo's {options.part} can't start: {error}", file=sys.stderr)
        return 2
    return 0


def parser() -> argparse.ArgumentParser:
    """Return the parser of all parts."""
    root = argparse.ArgumentParser(prog="python -m modelfence.demo", description="Parts of the demo.")
    parts = root.add_subparsers(dest="part", metavar="PART", required=True)
    api = parts.add_parser("api", help="a stand-in for OpenAI's API")
    api.add_argument("--listen", type=_address, default=Address("127.0.0.1", 8081), help="default: 127.0.0.1:8081")
    callers = parts.add_parser("callers", help="sample callers, in rounds without end")
    callers.add_argument("--fence", required=True, metavar="URL", help="where the fence is")
    callers.add_argument("--every", type=float, default=30.0, metavar="SECONDS", help="between rounds (default: 30)")
    parts.add_parser("accounts", help="print the accounts file in which the sample callers are")
    return root


def _address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    return Address(host.strip("[]"), int(port))


async def _until_told(work: Coroutine[None, None, None]) -> None:
    """Do the work until a signal ends it: a container's first process has no other way to be stopped."""
    task = asyncio.ensure_future(work)
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()


async def _serve(listen: Address) -> None:
    api = StandInApi(bind("listen", listen), pace_s=PACE_S)
    api.start()
    print(f"stand-in API on {api.url}", flush=True)
    try:
        await asyncio.Event().wait()
    finally:
        await api.stop()


async def _call(fence: str, *, every_s: float) -> None:
    """Call in rounds. A fence that is not there, or slow, is tried again in the next one."""
    while True:
        pause = asyncio.create_task(asyncio.sleep(every_s))
        try:
            await call_all(CALLERS, fence)
            print("called", flush=True)
        except (OSError, HTTPError) as error:  # TimeoutError is an OSError
            print(f"the round was cut short: {error or 'it took too long'}", file=sys.stderr, flush=True)
        await pause


if __name__ == "__main__":
    sys.exit(main())
