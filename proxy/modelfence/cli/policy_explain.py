"""`modelfence policy explain`: why a call is decided as it is, with every fact and where it came from."""

import argparse
import asyncio
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelfence.adapters.recording.lines import MAX_LINE_BYTES, RecordingLines, UnreadableError
from modelfence.cli.recordings import STANDARD, settings_of
from modelfence.cli.run import complain
from modelfence.settings import CannotStartError

if TYPE_CHECKING:
    from modelfence.workbench.explaining.desk import Desk
    from modelfence.workbench.explaining.explanation import Explanation
    from modelfence.workbench.explaining.inquiry import Inquiry

_NARROWEST, _WIDEST = 60, 120
_BESIDE = ("client_ip", "country", "at", "account")
"""What may be said beside a request."""
_EXAMPLES = """\
examples:
  modelfence policy explain request.json --accounts accounts.yaml --account acme --country NO
  modelfence policy explain --curl "curl https://api.openai.com/v1/models" --client-ip 8.8.8.8 --accounts accounts.yaml
  modelfence policy explain day.jsonl --line 120 --policy new.yaml --accounts accounts.yaml
  modelfence policy explain --decision 0a1b2c3d4e5f60718293a4b5c6d7e8f9 --audit log/ --accounts accounts.yaml"""


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "explain",
        help="say why a call is decided as it is",
        description=(
            "Say why a call is decided as it is: what came of every rule, with each part of its condition, and where "
            "each fact came from. The call is a request that is judged now, a line of a recording, or a decision in "
            "an audit log."
        ),
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "request", nargs="?", metavar="REQUEST",
        help="a file with a line of a recording, a JSON object, HTTP or a curl command; - is standard input",
    )  # fmt: skip
    parser.add_argument("--curl", metavar="COMMAND", help="a curl command in place of a file")
    parser.add_argument("--decision", metavar="ID", help="a decision's id, as its caller was told it")
    parser.add_argument(
        "--audit", nargs="+", type=Path, metavar="PATH", help="where to look for the decision: audit logs, or folders"
    )
    parser.add_argument(
        "--line", type=_line, metavar="N", help="the request is line N of a recording, after all those before it"
    )
    parser.add_argument("--client-ip", metavar="IP", help="the caller's address")
    parser.add_argument("--country", metavar="CODE", help="the caller's country, whatever the address says")
    parser.add_argument("--at", type=_time_us, metavar="TIME", help="when: a time like 2026-11-29T12:00:00Z")
    parser.add_argument("--account", metavar="ID", help="whose call it is, whatever key it has")
    parser.add_argument("--policy", metavar="FILE", help="policy file (default: the one that comes with modelfence)")
    parser.add_argument("--accounts", metavar="FILE", help="who is let in: accounts file, or redis://…")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings: upstreams, databases, policy, accounts")
    parser.add_argument(
        "--format", choices=("text", "json", "html"), default="text", help="how to print (default: text)"
    )
    parser.set_defaults(command=explain, store="memory")


def explain(options: argparse.Namespace) -> int:
    """Return 0, or 2 when it could not be explained."""
    from modelfence.workbench.explaining.inquiry import InquiryError  # noqa: PLC0415 - loads what help need not wait for

    try:
        _check_ways(options)
        explanation = asyncio.run(_explanation(options))
    except CannotStartError as error:
        complain(error.problems)
        return _failed(str(error))
    except (InquiryError, UnreadableError) as error:
        return _failed(str(error))
    except KeyboardInterrupt:
        return _failed("interrupted")
    print(_FORMATS[options.format](explanation), end="")
    return 0


def _check_ways(options: argparse.Namespace) -> None:
    """Raise CannotStartError unless a call is named in one way, with what goes along with that."""
    ways = [name for name in ("request", "curl", "decision") if getattr(options, name) is not None]
    if len(ways) != 1:
        raise CannotStartError("give one of these: a REQUEST, --curl COMMAND, or --decision ID")
    if (options.decision is None) != (options.audit is None):
        raise CannotStartError("--decision ID and --audit PATH go together")
    if options.line is not None and options.request is None:
        raise CannotStartError("--line N goes with a REQUEST, which is then a recording")
    beside = [f"--{name.replace('_', '-')}" for name in _BESIDE if getattr(options, name) is not None]
    if beside and (options.line is not None or options.decision is not None):
        raise CannotStartError(f"{beside[0]} is for a single request; a recording and an audit log say it themselves")


async def _explanation(options: argparse.Namespace) -> "Explanation":
    from modelfence.parts import read_parts  # noqa: PLC0415 - loads what help need not wait for
    from modelfence.workbench.explaining.desk import desk_of, parts_for_logs  # noqa: PLC0415 - likewise
    from modelfence.workbench.explaining.judging import explained, explained_line  # noqa: PLC0415 - likewise

    settings = settings_of(options, os.environ)
    inquiry = None if options.line is not None or options.decision is not None else _inquiry(options)
    parts = read_parts(settings) if options.decision is None else parts_for_logs(settings)
    complain(parts.warnings)
    desk = desk_of(settings, parts)
    if options.decision is not None:
        return await _of_decision(options, desk)
    if inquiry is not None:
        return await explained(inquiry, desk)
    with closing(_open(options.request)) as lines:
        return await explained_line(lines, options.line, desk)


async def _of_decision(options: argparse.Namespace, desk: "Desk") -> "Explanation":
    from modelfence.workbench.explaining.audit_lines import find_decision  # noqa: PLC0415 - as above
    from modelfence.workbench.explaining.logged import explained_decision  # noqa: PLC0415 - likewise

    return await explained_decision(find_decision(options.decision, options.audit), desk)


def _inquiry(options: argparse.Namespace) -> "Inquiry":
    from modelfence.workbench.explaining.inquiry import placed  # noqa: PLC0415 - loads what help need not wait for
    from modelfence.workbench.explaining.requests import read_request  # noqa: PLC0415 - likewise

    text = options.curl.encode("utf-8", "surrogateescape") if options.curl is not None else _text_of(options.request)
    return placed(
        read_request(text),
        now_us=time.time_ns() // 1000,
        at_us=options.at,
        client_ip=options.client_ip,
        country=options.country,
        account=options.account,
    )


def _open(request: str) -> RecordingLines:
    if request == STANDARD:
        return RecordingLines(open(0, "rb", buffering=0, closefd=False))
    try:
        return RecordingLines.of(Path(request))
    except UnreadableError as error:
        raise UnreadableError(f"{request} can't be read: {error}") from None


def _text_of(request: str) -> bytes:
    """Return what a file holds. Raises UnreadableError for what is too long to be one request."""
    pieces, size = [], 0
    with closing(_open(request)) as lines:
        for line in lines:
            size += MAX_LINE_BYTES + 1 if line is None else len(line)
            if size > MAX_LINE_BYTES:
                raise UnreadableError(f"{request} is too long to be one request; name one of its lines by --line")
            pieces.append(line or b"")
    return b"".join(pieces)


def _text(explanation: "Explanation") -> str:
    from modelfence.workbench.explaining.as_text import as_text, colourful, plain  # noqa: PLC0415 - as above

    width = min(max(shutil.get_terminal_size().columns, _NARROWEST), _WIDEST)
    return as_text(explanation, width=width, paint=colourful if _has_colours(os.environ) else plain)


def _has_colours(environment: Mapping[str, str]) -> bool:
    """Say whether to print in colours: on a terminal that has them, unless they are not wanted (no-color.org)."""
    return sys.stdout.isatty() and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"


def _json(explanation: "Explanation") -> str:
    from modelfence.workbench.explaining.as_json import as_json  # noqa: PLC0415 - as above

    return json.dumps(as_json(explanation), indent=2, ensure_ascii=False) + "\n"


def _html(explanation: "Explanation") -> str:
    from modelfence.workbench.explaining.as_html import as_html  # noqa: PLC0415 - as above

    return as_html(explanation)


_FORMATS: Mapping[str, Callable[["Explanation"], str]] = {"text": _text, "json": _json, "html": _html}


def _failed(words: str) -> int:
    print(f"modelfence policy explain: {words}", file=sys.stderr)
    return 2


def _line(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is no line: they are counted from 1")
    return int(text)


def _time_us(text: str) -> int:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is no time like 2026-11-29T12:00:00Z") from None
    at_s = (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    if at_s < 0:
        raise argparse.ArgumentTypeError(f"{text} is before 1970")
    return round(at_s * 1_000_000)
