"""`modelfence geo show` and `status`: where addresses are, by a fence's databases, and how old these are."""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelfence.cli.run import complain, settings_of
from modelfence.settings import CannotStartError

if TYPE_CHECKING:
    from modelfence.adapters.geo.databases import Database, Found

_DAY_S = 86_400
_UNKNOWN = "?"
_PLACE = (
    "address", "read as", "country", "registered", "region", "continent", "eu", "asn", "network", "anonymous",
    "hosting", "said by",
)  # fmt: skip
_FILES = ("database", "type", "built", "days", "nodes", "bytes", "path")
_SHOW = "examples:\n  modelfence geo show 8.8.8.8 2001:4860:4860::8888\n  modelfence geo show 8.8.8.8 --format json"
_STATUS = "example:\n  modelfence geo status"


def add_to(commands: Any) -> None:
    """Add the commands to the parser."""
    show = _command(commands, "show", "print where addresses are, and which database says so", _SHOW)
    show.add_argument("addresses", nargs="+", metavar="IP", help="an address, in any form that a fence may meet")
    show.set_defaults(command=show_addresses)
    status = _command(commands, "status", "print each database with its age", _STATUS)
    status.set_defaults(command=show_status)


def show_addresses(options: argparse.Namespace) -> int:
    """Return 0, 1 when one is no address, 2 when the databases can't be used."""
    from modelfence.parts import read_geo  # noqa: PLC0415 - loads what help need not wait for

    try:
        settings = settings_of(options, os.environ, with_upstreams=False)
        databases = read_geo(settings.geo)
    except CannotStartError as error:
        return _failed(error)
    found = {address: databases.find(address) for address in options.addresses}
    if options.format == "json":
        print(json.dumps([_as_json(address, one) for address, one in found.items()], indent=2))
    else:
        _print_table([_PLACE, *(_row(address, one) for address, one in found.items())])
    return 1 if any(one.read_as is None for one in found.values()) else 0


def show_status(options: argparse.Namespace) -> int:
    """Return 0, 1 when a database can't be used, 2 when the settings can't be."""
    from modelfence.adapters.geo.databases import BUNDLED, GeoDatabaseError, open_database  # noqa: PLC0415 - as above

    try:
        geo = settings_of(options, os.environ, with_upstreams=False).geo
    except CannotStartError as error:
        return _failed(error)
    opened, failures = [], 0
    for name, path in {"country": geo.country or BUNDLED, "asn": geo.asn, "anonymous": geo.anonymous}.items():
        if path is not None:
            try:
                opened.append(open_database(name, path))
            except GeoDatabaseError as error:
                print(f"modelfence geo: {error}", file=sys.stderr)
                failures += 1
    now_s = time.time()
    if options.format == "json":
        print(json.dumps([_status_as_json(one, now_s) for one in opened], indent=2))
    elif opened:
        _print_table([_FILES, *(_status_row(one, now_s) for one in opened)])
    return 1 if failures else 0


def _command(commands: Any, name: str, help_text: str, examples: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=help_text,
        description=f"{help_text[0].upper()}{help_text[1:]}.",
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings (default: modelfence.yaml)")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="how to print (default: text)")
    return parser


def _failed(error: CannotStartError) -> int:
    complain(error.problems)
    print(f"modelfence geo: {error}", file=sys.stderr)
    return 2


def _row(address: str, found: "Found") -> tuple[str, ...]:
    if found.read_as is None:
        return (address, "no address", *[_UNKNOWN] * (len(_PLACE) - 3), "")
    place = found.location
    texts = (place.country, place.registered_country, place.region, place.continent)
    return (
        address,
        found.read_as,
        *(text or _UNKNOWN for text in texts),
        _yes_or_no(place.eu),
        _UNKNOWN if place.asn is None else str(place.asn),
        place.network or _UNKNOWN,
        _anonymity(found),
        _yes_or_no(place.hosting),
        ", ".join(found.said_by),
    )


def _anonymity(found: "Found") -> str:
    place = found.location
    kinds = {"vpn": place.vpn, "residential proxy": place.residential_proxy, "tor": place.tor}
    if not place.residential_proxy:
        kinds["proxy"] = place.proxy
    named = ", ".join(kind for kind, is_one in kinds.items() if is_one)
    return f"yes ({named})" if place.anonymous and named else _yes_or_no(place.anonymous)


def _yes_or_no(value: bool | None) -> str:  # noqa: FBT001 - a fact
    return _UNKNOWN if value is None else "yes" if value else "no"


def _as_json(address: str, found: "Found") -> dict[str, object]:
    return {
        "address": address,
        "read_as": found.read_as,
        "facts": dict(found.location.facts),
        "said_by": list(found.said_by),
    }


def _status_as_json(database: "Database", now_s: float) -> dict[str, object]:
    metadata = database.reader.metadata()
    return {
        "database": database.name,
        "type": metadata.database_type,
        "built": f"{datetime.fromtimestamp(database.built_s, UTC):%Y-%m-%dT%H:%M:%SZ}",
        "age_days": max(0, int(now_s - database.built_s)) // _DAY_S,
        "nodes": metadata.node_count,
        "bytes": database.path.stat().st_size,
        "path": str(database.path),
    }


def _status_row(database: "Database", now_s: float) -> tuple[str, ...]:
    status = _status_as_json(database, now_s)
    built = str(status["built"])[:10]
    numbers = (f"{status[name]:,}" for name in ("age_days", "nodes", "bytes"))
    return (database.name, str(status["type"]), built, *numbers, str(database.path))


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows with their columns aligned. What a database or an argument holds can't steer a terminal."""
    shown = [["".join(c if c.isprintable() else "�" for c in cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in shown) for column in range(len(rows[0]))]
    for row in shown:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
