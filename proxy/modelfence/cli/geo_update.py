"""`modelfence geo update`: the latest databases of a MaxMind account, put where a fence takes them from."""

import argparse
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelfence.cli.run import complain, settings_of
from modelfence.settings import CannotStartError, Settings
from modelfence.settings_upstreams import secret_of

if TYPE_CHECKING:
    from modelfence.adapters.geo.download import Publisher

_EXAMPLE = "example:\n  modelfence geo update --config /etc/modelfence/modelfence.yaml"
_KINDS = ("country", "asn", "anonymous")


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "update",
        help="fetch the latest databases from MaxMind",
        description=(
            "Fetch the editions that the settings name under `geo_update`, where they are newer, and put each in place "
            "in one step. A fence that runs goes on with it by itself."
        ),
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings (default: modelfence.yaml)")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="how to print (default: text)")
    parser.set_defaults(command=update)


def update(options: argparse.Namespace) -> int:
    """Return 0 when each database is the latest, 2 when one could not be had."""
    try:
        settings = settings_of(options, os.environ, with_upstreams=False)
        publisher = publisher_of(settings, os.environ)
        wanted = _wanted(settings)
    except CannotStartError as error:
        complain(error.problems)
        print(f"modelfence geo: {error}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that nothing half done is left behind
    try:
        done = _renewed(wanted, publisher, options.format)
    except KeyboardInterrupt:
        print("modelfence geo: stopped; what was in place still is", file=sys.stderr)
        return 2
    if options.format == "json":
        print(json.dumps(done, indent=2))
    return 0 if len(done) == len(wanted) else 2


def _renewed(
    wanted: Mapping[str, tuple[str, Path]], publisher: "Publisher", form: str
) -> Sequence[Mapping[str, object]]:
    """Put the latest of each in its place, and return what came of those that could be had."""
    from modelfence.adapters.geo.download import DownloadError, renew  # noqa: PLC0415 - loads what help need not wait for

    done: list[dict[str, object]] = []
    for name, (edition, path) in wanted.items():
        try:
            renewed = renew(name, edition, path, publisher)
        except DownloadError as error:
            print(f"modelfence geo: {name}: {error}", file=sys.stderr)
            continue
        done.append({"database": name, "edition": edition, "path": str(path), "renewed": renewed})
        if form == "text":
            print(f"{name}: {edition} {'is renewed' if renewed else 'is the latest'} in {path}", flush=True)
    return done


def publisher_of(settings: Settings, environment: Mapping[str, str]) -> "Publisher":
    """Return from where databases come, and as whom. Raises CannotStartError."""
    from modelfence.adapters.geo.download import Publisher  # noqa: PLC0415 - as above

    update = settings.geo_update
    if update.account is None or update.license_key is None:
        raise CannotStartError("MaxMind asks who is there: set `geo_update.account` and `geo_update.license_key`")
    try:
        return Publisher(update.url, update.account, secret_of(update.license_key, environment))
    except ValueError as error:
        raise CannotStartError(f"`geo_update` takes its license key from {error}") from None


def _wanted(settings: Settings) -> dict[str, tuple[str, Path]]:
    """Return edition and path of each database that is to be renewed. Raises CannotStartError."""
    wanted: dict[str, tuple[str, Path]] = {}
    for name in _KINDS:
        edition, path = getattr(settings.geo_update, name), getattr(settings.geo, name)
        if edition is not None and path is None:
            raise CannotStartError(f"there is no place for {edition}: give the path of a file under `geo.{name}`")
        if edition is not None:
            wanted[name] = edition, path
    if not wanted:
        raise CannotStartError("there is nothing to fetch: name an edition under `geo_update.country`")
    return wanted
