"""`modelfence throttle show` and `reset`: the buckets of one key, in the Redis that a running fence uses."""

import argparse
import asyncio
import json
import math
import os
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

from modelfence.cli.run import complain, settings_of
from modelfence.core.bucket import SECOND_US
from modelfence.core.charge import Balance, Charge
from modelfence.core.policy import ThrottleRule
from modelfence.settings import CannotStartError, Settings

_HEAD = ("throttle", "unit", "left", "of", "debt", "full in")
_SHOW = (
    "examples:\n  modelfence throttle show acme\n"
    "  modelfence throttle show acme --throttle requests-per-account --format json"
)
_RESET = "examples:\n  modelfence throttle reset acme\n  modelfence throttle reset acme --throttle requests-per-account"


def add_to(commands: Any) -> None:
    """Add the commands to the parser."""
    show = _command(commands, "show", "print what is left in the buckets of a key", _SHOW)
    show.add_argument("--format", choices=("text", "json"), default="text", help="how to print (default: text)")
    show.set_defaults(command=show_buckets)
    reset = _command(commands, "reset", "fill the buckets of a key, and forgive its debt", _RESET)
    reset.set_defaults(command=reset_buckets)


def show_buckets(options: argparse.Namespace) -> int:
    """Return 0, or 2 when the buckets could not be read."""
    return _run(options, _show)


def reset_buckets(options: argparse.Namespace) -> int:
    """Return 0, or 2 when the buckets could not be reset."""
    return _run(options, _reset)


def _command(commands: Any, name: str, help_text: str, examples: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=help_text,
        description=f"{help_text[0].upper()}{help_text[1:]}. The fence may go on running.",
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("key", metavar="KEY", help="what the throttle's `key` comes to, such as an account's id")
    parser.add_argument("--throttle", action="append", metavar="ID", help="only this one; may be repeated")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings (default: modelfence.yaml)")
    parser.add_argument("--policy", metavar="FILE", help="policy file (default: the settings')")
    parser.add_argument("--store", metavar="URL", help="the fence's Redis (default: the settings')")
    return parser


def _run(options: argparse.Namespace, work: Callable[[Settings, argparse.Namespace], Coroutine[Any, Any, None]]) -> int:
    try:
        asyncio.run(work(settings_of(options, os.environ, with_upstreams=False), options))
    except CannotStartError as error:
        complain(error.problems)
        print(f"modelfence throttle: {error}", file=sys.stderr)
        return 2
    return 0


async def _show(settings: Settings, options: argparse.Namespace) -> None:
    from modelfence.assembly import operators_buckets, read_throttles  # noqa: PLC0415 - loads what help need not wait for

    charges = _charges(read_throttles(settings), options)
    async with operators_buckets(settings) as buckets:
        balances = (await buckets.take(charges)).balances
    if options.format == "json":
        print(json.dumps([_as_json(balance) for balance in balances], indent=2))
        return
    rows = [_HEAD, *(_row(balance) for balance in balances)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    for row in rows:
        cells = [row[0].ljust(widths[0]), row[1].ljust(widths[1])]
        cells += [cell.rjust(width) for cell, width in zip(row[2:], widths[2:], strict=True)]
        print("  ".join(cells).rstrip())


async def _reset(settings: Settings, options: argparse.Namespace) -> None:
    from modelfence.assembly import operators_buckets, read_throttles  # noqa: PLC0415 - loads what help need not wait for

    charges = _charges(read_throttles(settings), options)
    async with operators_buckets(settings) as buckets:
        await buckets.reset(charges)
    print(f"full again for `{options.key}`: {', '.join(charge.throttle for charge in charges)}")


def _charges(throttles: Mapping[str, ThrottleRule], options: argparse.Namespace) -> Sequence[Charge]:
    """Return charges of nothing to each bucket of the key, in shadow: they change nothing."""
    for name in options.throttle or ():
        if name not in throttles:
            known = ", ".join(throttles) or "none"
            raise CannotStartError(f"the policy has no throttle `{name}`; it has: {known}")
    return [
        Charge(name, options.key, throttle.rate, 0.0, throttle.unit, shadow=True)
        for name, throttle in throttles.items()
        if name in (options.throttle or throttles)
    ]


def _as_json(balance: Balance) -> dict[str, object]:
    rate = balance.charge.rate
    return {
        "throttle": balance.charge.throttle,
        "key": balance.charge.key,
        "unit": balance.charge.unit,
        "left": balance.left,
        "burst": rate.burst,
        "debt": _debt(balance),
        "full_in_s": balance.full_in_us / SECOND_US,
    }


def _row(balance: Balance) -> tuple[str, ...]:
    charge, debt = balance.charge, _debt(balance)
    full_in = _duration(balance.full_in_us) if balance.full_in_us > 0 else "full"
    return (charge.throttle, charge.unit, f"{balance.left:,}", f"{charge.rate.burst:,g}", f"{debt:,}", full_in)


def _debt(balance: Balance) -> int:
    """Return the whole units owed beyond an empty bucket, rounded up."""
    return max(0, math.ceil(-balance.charge.rate.units(balance.left_us)))


def _duration(time_us: int) -> str:
    """Return a time in its two largest units: 45s, 2m 5s, 3h 10m, 4d 2h. Rounded up to a second."""
    seconds = -(-time_us // SECOND_US)
    parts = []
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        count, seconds = divmod(seconds, length)
        parts.append((count, unit))
    first = next(index for index, (count, _) in enumerate(parts) if count)
    return " ".join(f"{count}{unit}" for count, unit in parts[first : first + 2] if count)
