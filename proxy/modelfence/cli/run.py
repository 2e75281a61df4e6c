"""`modelfence run`: start the fence and keep it up until it is told to stop."""

import argparse
import asyncio
import logging
import os
import signal
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from modelfence.core.problem import Problem, Severity, first_of
from modelfence.logs import log_as, say
from modelfence.settings import CannotStartError, Settings
from modelfence.settings_reading import CONFIG_VARIABLE, load
from modelfence.workers.process import Started
from modelfence.workers.service import serve

DEFAULT_CONFIG = Path("modelfence.yaml")
FLAGS = {
    "listen": "address and port for callers (default: 127.0.0.1:8080)",
    "policy": "policy file (default: the one that comes with modelfence)",
    "accounts": "who is let in: accounts file, or redis://…",
    "store": "memory, or redis://…",
    "workers": "processes that serve (default: 1); several need a Redis",
    "log_format": "text, or json: a line of JSON for each message",
}
_METAVARS = {
    "listen": "ADDRESS",
    "policy": "FILE",
    "accounts": "FILE",
    "store": "URL",
    "workers": "N",
    "log_format": "FORMAT",
}
_EXAMPLE = "example:\n  modelfence run --upstream https://api.openai.com --accounts accounts.yaml"


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "run",
        help="start the fence",
        description="Start the fence. Flags go before environment variables (MODELFENCE_…), those before the file.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help=f"settings (default: {DEFAULT_CONFIG}, where there is one)"
    )
    parser.add_argument(
        "--upstream", metavar="URL", help="the one API to protect, known by its host; any other is OpenAI's"
    )
    parser.add_argument(
        "--egress", action="store_true", help="be the callers' HTTP proxy: they ask for a tunnel to the API's own name"
    )
    for flag, help_text in FLAGS.items():
        parser.add_argument(f"--{flag.replace('_', '-')}", metavar=_METAVARS[flag], help=help_text)
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM; 2 when the fence can't start."""
    for number in (signal.SIGHUP, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)  # until it is known what they are about: by default they would end it
    log_as(options.log_format or os.environ.get("MODELFENCE_LOG_FORMAT", "text"))
    # What it was started with it also needs later: a file that has gone since must not mean the defaults.
    options.config = config_of(options, os.environ)
    try:
        settings = settings_of(options, os.environ)
        log_as(settings.log_format)

        def on_started(started: Started) -> None:
            complain(started.warnings)
            say(started.banner)

        asyncio.run(serve(settings, read_again=lambda: settings_of(options, os.environ), on_started=on_started))
    except CannotStartError as error:
        complain(error.problems)
        say(f"modelfence can't start: {error}", logging.ERROR)
        return 2
    return 0


def settings_of(
    options: argparse.Namespace, environment: Mapping[str, str], *, with_upstreams: bool = True
) -> Settings:
    """Return the settings of file, environment and those flags the command has. Raises CannotStartError."""
    file = config_of(options, environment)
    flags = {flag: value for flag in (*FLAGS, "admin") if (value := getattr(options, flag, None)) is not None}
    if getattr(options, "upstream", None) is not None:
        flags["upstreams"] = options.upstream
    if getattr(options, "egress", False):
        flags["egress.enabled"] = "true"
    settings, problems = load(file, environment, flags, with_upstreams=with_upstreams)
    if settings is None:
        raise CannotStartError("a setting is wrong; mend it and start again", problems)
    complain(problems)
    return settings


def config_of(options: argparse.Namespace, environment: Mapping[str, str]) -> Path | None:
    """Return which settings file to read; None is none."""
    if options.config is not None:
        return Path(options.config)
    if named := environment.get(CONFIG_VARIABLE):
        return Path(named)
    return DEFAULT_CONFIG if DEFAULT_CONFIG.is_file() else None


def complain(problems: Iterable[Problem]) -> None:
    """Print problems where complaints go: the first of many."""
    told, more = first_of(tuple(problems))
    for problem in told:
        say(problem.render(), logging.ERROR if problem.severity is Severity.ERROR else logging.WARNING)
    if more is not None:
        say(more, logging.WARNING)
