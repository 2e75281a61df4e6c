"""`modelfence accounts import` and `sync`: many accounts at once into the Redis in which fences look them up."""

import argparse
import asyncio
import json
import os
import re
from collections.abc import Awaitable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelfence.cli.accounts import failed
from modelfence.cli.problems import as_json
from modelfence.cli.run import settings_of
from modelfence.cli.tables import count, cut
from modelfence.core.problem import Problem
from modelfence.settings import CannotStartError, Settings

if TYPE_CHECKING:
    from modelfence.adapters.redis.accounts_import import Clash, Report, Spool
    from modelfence.adapters.redis.accounts_writer import Change

_BAD_FILE = 1
_LONGEST_CELL = 60
_KEY_DIGITS = 12
_SIGNS = {"added": "+", "changed": "~", "removed": "-"}
_FORMATS = ("csv", "jsonl", "yaml")
_IMPORT = (
    "examples:\n  modelfence accounts import accounts.csv --store redis://localhost:6379 --dry-run\n"
    "  modelfence accounts import new.jsonl --format json"
)
_SYNC = "example:\n  modelfence accounts sync accounts.yaml --store redis://localhost:6379 --max-removed 500"


def add_to(commands: Any) -> None:
    """Add the commands to the parser."""
    importing = _command(
        commands, "import", "put the accounts of a file into Redis", _IMPORT,
        says="Add the accounts of a file to those in Redis, or replace them there. Others stay as they are.",
    )  # fmt: skip
    importing.set_defaults(command=import_accounts, max_removed=None)
    syncing = _command(
        commands, "sync", "make the accounts in Redis those of a file", _SYNC,
        says="Make Redis hold exactly the accounts of a file: what is not in it is removed in the end.",
    )  # fmt: skip
    syncing.add_argument(
        "--max-removed", type=_most, default="10%", metavar="N|N%",
        help="change nothing if more than that would be removed, of those that are there (default: 10%%)",
    )  # fmt: skip
    syncing.set_defaults(command=import_accounts)


def _command(commands: Any, name: str, help_text: str, examples: str, *, says: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=help_text,
        description=f"{says} Nothing is written when anything in the file is wrong. Fences may go on running.",
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="CSV, JSON lines, or an accounts file in YAML")
    parser.add_argument("--from", dest="kind", choices=_FORMATS, help="what the file is (default: by its ending)")
    parser.add_argument(
        "--store",
        dest="accounts",
        metavar="URL",
        help="the Redis with the accounts (default: the settings' `accounts`)",
    )
    parser.add_argument("--policy", metavar="FILE", help="policy that has the tiers (default: the settings')")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings (default: modelfence.yaml)")
    parser.add_argument("--dry-run", action="store_true", help="say what would change, and change nothing")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="how to print (default: text)")
    return parser


def _most(text: str) -> str:
    if not re.fullmatch(r"[0-9]{1,9}|([0-9]|[1-9][0-9]|100)%", text):
        raise argparse.ArgumentTypeError("a number like 500, or a share like 10%")
    return text


def import_accounts(options: argparse.Namespace) -> int:
    """Return 0, 1 when the file is wrong, 2 when the accounts could not be changed."""
    from modelfence.adapters.accounts.stream import FORMATS, read_stream  # noqa: PLC0415 - help need not wait for it
    from modelfence.adapters.redis.accounts_import import Spool  # noqa: PLC0415 - likewise
    from modelfence.assembly import read_policy  # noqa: PLC0415 - likewise

    try:
        settings = settings_of(options, os.environ, with_upstreams=False)
        kind = options.kind or _by_ending(options.file, FORMATS)
        with Spool() as spool:
            problems = read_stream(options.file, kind, read_policy(settings).tiers, spool.add)
            return _refused(problems, options) if problems else asyncio.run(_import(settings, spool, options))
    except CannotStartError as error:
        return failed(error)


def _by_ending(file: Path, formats: Mapping[str, str]) -> str:
    """Return what a file is by its name. Raises CannotStartError."""
    if file.suffix.lower() not in formats:
        raise CannotStartError(f"say what {file} is: --from {', '.join(_FORMATS)}")
    return formats[file.suffix.lower()]


async def _import(settings: Settings, spool: "Spool", options: argparse.Namespace) -> int:
    from modelfence.adapters.redis.accounts_import import Report, look, others, remove, write  # noqa: PLC0415 - as above
    from modelfence.cli.accounts_stores import accounts_in_redis  # noqa: PLC0415 - likewise

    async with accounts_in_redis(settings) as writer:
        report, clashes = await look(writer, spool)
        if clashes:
            return _refused([_problem(clash, options.file) for clash in clashes], options)
        gone = await _gone(others(writer, spool), options.max_removed) if options.max_removed else []
        if options.dry_run:
            report.would_remove(gone)
        else:
            report = Report()
            await report.follow(write(writer, spool))
            await report.follow(remove(writer, gone))
    print(json.dumps(_json(report, options), indent=2) if options.format == "json" else _text(report, options))
    return 0


async def _gone(found: Awaitable[tuple[set[str], int]], most: str) -> Sequence[str]:
    """Return who is to be removed. Raises CannotStartError when they are too many."""
    gone, there = await found
    share, is_share, _ = most.partition("%")
    allowed = there * int(share) // 100 if is_share else int(most)
    if len(gone) > allowed:
        raise CannotStartError(
            f"{len(gone):,} of {there:,} accounts would be removed, and --max-removed {most} allows {allowed:,}; "
            "nothing was changed"
        )
    return sorted(gone)


def _refused(problems: Sequence[Problem], options: argparse.Namespace) -> int:
    if options.format == "json":
        print(json.dumps({"problems": [as_json(problem) for problem in problems]}, indent=2))
    else:
        print(*(problem.render() for problem in problems), sep="\n\n")
        print(f"\n{options.file}: {count(len(problems), 'problem')}; nothing was changed")
    return _BAD_FILE


def _problem(clash: "Clash", file: Path) -> Problem:
    digits = clash.digest.removeprefix("sha256:")[:_KEY_DIGITS]
    message = f"the key {digits}… of `{clash.account}` is a key of `{clash.holder}` in Redis, which is not in this file"
    return Problem(str(file), clash.line, 1, "shared-key", message)


def _text(report: "Report", options: argparse.Namespace) -> str:
    lines = []
    for kind, sign in _SIGNS.items():
        first = report.first.get(kind, ())
        lines += [f"{sign} {_shown(change)}" for change in first]
        if (more := report.counts[kind] - len(first)) > 0:
            lines.append(f"{sign} {more:,} more")
    would = "would be " if options.dry_run else ""
    counted = [f"{report.counts[kind]:,} {would}{kind}" for kind in _SIGNS if report.counts[kind]]
    lines.append(", ".join([*counted, f"{report.counts['unchanged']:,} unchanged"]))
    return "\n".join(lines)


def _shown(change: "Change") -> str:
    fields = f" ({', '.join(change.fields)})" if change.fields else ""
    return f"{cut(change.account, _LONGEST_CELL)}{fields}"


def _json(report: "Report", options: argparse.Namespace) -> dict[str, object]:
    return {
        "dry_run": options.dry_run,
        **{kind: report.counts[kind] for kind in (*_SIGNS, "unchanged")},
        "fields": dict(sorted(report.fields.items())),
        "first": {
            kind: [{"account": one.account, "fields": list(one.fields)} for one in report.first.get(kind, ())]
            for kind in _SIGNS
        },
    }
