"""`modelfence extraction cohorts` and `fingerprint`: which accounts share a template, and which template that is."""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from modelfence.cli.run import complain, settings_of
from modelfence.settings import CannotStartError, Settings

STANDARD = "-"
WITHIN_S = 10.0
MOST_BYTES = 64 << 20
_SHOWN = 3
_HEAD = ("cohort", "score", "accounts", "calls", "tokens", "tiers", "countries", "first seen", "last seen")
_NUMBERS = ("score", "accounts", "calls", "tokens")
_COHORTS = "examples:\n  modelfence extraction cohorts\n  modelfence extraction cohorts --format json"
_FINGERPRINT = (
    "examples:\n  modelfence extraction fingerprint template.txt\n  modelfence extraction fingerprint call.json"
)


def add_to(commands: Any) -> None:
    """Add the commands to the parser."""
    cohorts = _command(
        commands, "cohorts", "list the accounts that share a template", _COHORTS,
        "List the cohorts that a running fence knows: from its Redis, or else from its admin port.",
    )  # fmt: skip
    cohorts.add_argument("--admin", metavar="ADDRESS", help="the fence's admin port (default: the settings')")
    cohorts.add_argument("--policy", metavar="FILE", help="policy file, which may exempt some (default: the settings')")
    cohorts.add_argument("--store", metavar="URL", help="the fence's Redis (default: the settings')")
    cohorts.set_defaults(command=list_cohorts)
    fingerprint = _command(
        commands, "fingerprint", "print the fingerprint of a template or a request", _FINGERPRINT,
        "Print what a policy exempts a template by. A file of text is taken for a template; of a request, in JSON, "
        "each part has a fingerprint.",
    )  # fmt: skip
    fingerprint.add_argument("file", metavar="FILE", help="a template's text or a request's JSON; - is standard input")
    fingerprint.set_defaults(command=print_fingerprint)


def list_cohorts(options: argparse.Namespace) -> int:
    """Return 0, or 2 when they could not be had."""
    try:
        settings = settings_of(options, os.environ, with_upstreams=False)
        found = asyncio.run(_cohorts(settings))
    except CannotStartError as error:
        complain(error.problems)
        print(f"modelfence extraction: {error}", file=sys.stderr)
        return 2
    if options.format == "json":
        print(json.dumps(found, indent=2))
    elif not found:
        print("no accounts share a template")
    else:
        print(*_lines(found), sep="\n")
    return 0


def print_fingerprint(options: argparse.Namespace) -> int:
    """Return 0, 1 for a text that is too short to have one, 2 when it could not be read."""
    from modelfence.assembly import template_fingerprints  # noqa: PLC0415 - loads what help need not wait for

    try:
        settings = settings_of(options, os.environ, with_upstreams=False)
        found = template_fingerprints(settings, _read(options.file))
    except CannotStartError as error:
        complain(error.problems)
        print(f"modelfence extraction: {error}", file=sys.stderr)
        return 2
    long_enough = {part: text for part, text in found.items() if len(text) >= _LEAST_DIGITS}
    if options.format == "json":
        print(json.dumps(long_enough, indent=2))
    elif list(found) == ["template"]:
        print(*long_enough.values(), sep="\n", end="\n" if long_enough else "")
    else:
        print(*(f"{part}: {text}" for part, text in long_enough.items()), sep="\n")
    for part in found.keys() - long_enough.keys():
        print(f"the {part} has too few words of its own to be known again as a template", file=sys.stderr)
    return 0 if long_enough else 1


_LEAST_DIGITS = 24


def _command(commands: Any, name: str, help_text: str, examples: str, description: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=help_text,
        description=description,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings (default: modelfence.yaml)")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="how to print (default: text)")
    return parser


async def _cohorts(settings: Settings) -> Sequence[Mapping[str, Any]]:
    """Return what is known of each cohort. Raises CannotStartError."""
    if settings.store != "memory":
        from modelfence.assembly import operators_cohorts  # noqa: PLC0415 - loads what other commands need not wait for

        return await operators_cohorts(settings)
    from tornado.httpclient import AsyncHTTPClient, HTTPError, HTTPRequest  # noqa: PLC0415 - likewise

    url = f"http://{settings.admin}/cohorts"
    try:
        answer = await AsyncHTTPClient().fetch(HTTPRequest(url, request_timeout=WITHIN_S, connect_timeout=WITHIN_S))
    except (HTTPError, OSError) as error:
        hint = "is a fence running, and is this its `admin`?"
        raise CannotStartError(f"the cohorts can't be had from {url} ({error}); {hint}") from None
    found: Sequence[Mapping[str, Any]] = json.loads(answer.body)
    return found


def _read(file: str) -> str:
    """Return a file's text. Raises CannotStartError."""
    try:
        raw = sys.stdin.buffer.read(MOST_BYTES) if file == STANDARD else Path(file).read_bytes()
        return raw.decode()
    except OSError as error:
        raise CannotStartError(f"{file} can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise CannotStartError(f"{file} is not UTF-8 text") from None


def _lines(found: Sequence[Mapping[str, Any]]) -> list[str]:
    table = [_HEAD, *(_cells(row) for row in found)]
    widths = [max(len(cells[column]) for cells in table) for column in range(len(_HEAD))]
    lines = ["  ".join(_aligned(cells, widths)).rstrip() for cells in table]
    told = [lines[0]]
    for row, line in zip(found, lines[1:], strict=True):
        because = ", ".join(f"{name} {value:+.2f}" for name, value in row["signals"].items())
        told += [line, f"  because      {because or 'nothing speaks yet'}"]
        told.append(f"  {'is exempt by' if row['exempt'] else 'fingerprint '} {row['fingerprint']}")
    return told


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    numbers = (f"{row['score']:.2f}", *(f"{row[name]:,}" for name in ("accounts", "calls", "output_tokens")))
    seen = (row[name].replace("T", " ")[:16] for name in ("first_seen", "last_seen"))
    return (row["cohort"], *numbers, _counts(row["tiers"]), _counts(row["countries"]), *seen)


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [
        cell.rjust(width) if name in _NUMBERS else cell.ljust(width)
        for name, cell, width in zip(_HEAD, cells, widths, strict=True)
    ]


def _counts(counts: Mapping[str, int]) -> str:
    shown = [f"{name} {count}" for name, count in list(counts.items())[:_SHOWN]]
    return ", ".join([*shown, *(["…"] if len(counts) > _SHOWN else [])])
