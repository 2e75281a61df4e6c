"""`modelfence audit verify` and `report`: whether an audit log is whole, and what it says of a period."""

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from modelfence.adapters.audit.reading import VerifiedChain, chains_in, files_of, verified
from modelfence.adapters.key_file import KeyFileError, read_key
from modelfence.adapters.recording.lines import UnreadableError
from modelfence.audit.chain import Seals
from modelfence.audit.report import DIMENSIONS, Report, as_json
from modelfence.audit.verify import KeyNeededError
from modelfence.cli.audit_tables import csv_of, lines_of
from modelfence.cli.tables import count

_BY = "country,tier,rule,account,country+model"
_VERIFY = (
    "examples:\n  modelfence audit verify log/\n"
    "  modelfence audit verify log/audit.w0.jsonl --key-file audit.key --format json"
)
_REPORT = (
    "examples:\n  modelfence audit report log/\n"
    "  modelfence audit report log/ --from 2026-11-01 --to 2026-12-01 --by country+model,rule --format csv"
)


def add_to(commands: Any) -> None:
    """Add the commands to the parser."""
    verify = _command(
        commands, "verify", "see whether an audit log is whole", _VERIFY,
        "See whether an audit log is whole. Names each line that was changed, removed, moved, repeated or put in; then "
        "it exits with 1.",
    )  # fmt: skip
    verify.add_argument("--key-file", type=Path, metavar="FILE", help="the key that it was sealed with")
    verify.add_argument("--format", choices=("text", "json"), default="text", help="how to print (default: text)")
    verify.set_defaults(command=verify_log)
    report = _command(
        commands, "report", "sum an audit log up", _REPORT,
        "Sum up what an audit log says of a period: how models were accessed, from where, by whom, and what was "
        "refused. The log is not verified on the way.",
    )  # fmt: skip
    report.add_argument("--from", dest="from_s", type=_time_s, default=0.0, metavar="TIME", help=_WHEN.format("from"))
    report.add_argument(
        "--to", dest="to_s", type=_time_s, default=float("inf"), metavar="TIME", help=_WHEN.format("before")
    )
    report.add_argument(
        "--by", type=_tables, default=_tables(_BY), metavar="TABLES",
        help=f"the tables, with commas between; + sums up by several at once (default: {_BY}). There are: "
        + ", ".join(DIMENSIONS),
    )  # fmt: skip
    report.add_argument(
        "--format", choices=("text", "json", "csv"), default="text", help="how to print (default: text)"
    )
    report.set_defaults(command=report_log)


_WHEN = "calls that arrived {} then: a day in UTC like 2026-11-01, or a time like 2026-11-01T12:00:00Z"


def verify_log(options: argparse.Namespace) -> int:
    """Return 0, 1 when a chain is broken, 2 when it could not be seen whether it is."""
    try:
        seals = Seals(None if options.key_file is None else read_key(options.key_file))
        found = list(verified(options.paths, seals))
    except (UnreadableError, KeyFileError) as error:
        return _complain(str(error))
    except KeyNeededError:
        return _complain("the log was sealed with a key: give its --key-file")
    strange = [one.chain.name for one in found if not one.verified.fits_key]
    if strange and options.key_file is not None:
        return _complain(f"no line of {', '.join(strange)} was sealed with the key in {options.key_file}")
    if options.format == "json":
        print(json.dumps([_verified_json(one) for one in found], indent=2))
    else:
        print(*(line for one in found for line in _verified_lines(one, keyed=seals.key is not None)), sep="\n")
    return 1 if any(one.verified.breaks for one in found) else 0


def report_log(options: argparse.Namespace) -> int:
    """Return 0, or 2 when the log could not be read, or the period holds no time."""
    if options.from_s >= options.to_s:
        return _complain("no call can be in that period: `--from` has to be earlier than `--to`")
    report = Report(options.by, from_s=options.from_s, to_s=options.to_s)
    try:
        files = 0
        for _, lines in (file for chain in chains_in(options.paths) for file in files_of(chain, options.paths)):
            files += 1
            for line in lines:
                report.add(line)
    except UnreadableError as error:
        return _complain(str(error))
    if options.format == "json":
        print(json.dumps(as_json(report), indent=2))
    elif options.format == "csv":
        print(csv_of(report), end="")
    else:
        print(*lines_of(report, files=files), sep="\n")
    if options.format != "text" and report.unreadable:
        print(f"modelfence audit: {report.unreadable:,} lines could not be understood", file=sys.stderr)
    return 0


def _command(commands: Any, name: str, help_text: str, examples: str, description: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=help_text,
        description=description,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "paths", nargs="+", type=Path, metavar="PATH", help="a folder of logs, or files; also compressed with gzip"
    )
    return parser


def _time_s(text: str) -> float:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text} is no day like 2026-11-01 and no time like 2026-11-01T12:00:00Z"
        ) from None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def _tables(text: str) -> Sequence[tuple[str, ...]]:
    tables = [tuple(part.split("+")) for part in text.split(",")]
    for name in (name for names in tables for name in names):
        if name not in DIMENSIONS:
            raise argparse.ArgumentTypeError(f"there is no `{name}`; there are: {', '.join(DIMENSIONS)}")
    return tables


def _verified_lines(found: VerifiedChain, *, keyed: bool) -> list[str]:
    chain, result = found.chain, found.verified
    span = "" if result.last_seq is None else f", {result.first_seq:,} to {result.last_seq:,}"
    state = f"BROKEN in {count(len(result.breaks), 'place')}" if result.breaks else "whole"
    sealed = "sealed with the key" if keyed else "sealed without a key"
    lines, files = count(result.lines, "line"), count(len(chain.files), "file")
    return [
        f"{chain.name}: {state} ({lines}{span}, in {files}; {sealed})",
        *(
            f"  {f'{one.place.file}:{one.place.line}' if one.place.line else chain.name}: {one.kind}: "
            f"{'' if one.seq is None or one.last_seq is not None else f'line {one.seq} of the chain: '}{one.words}"
            for one in result.breaks
        ),
        *(f"  note: {note}" for note in result.notes),
    ]


def _verified_json(found: VerifiedChain) -> dict[str, object]:
    result = found.verified
    return {
        "chain": found.chain.name,
        "files": [str(file) for file in found.chain.files],
        "lines": result.lines,
        "first_seq": result.first_seq,
        "last_seq": result.last_seq,
        "whole": not result.breaks,
        "breaks": [
            {
                "kind": one.kind,
                "file": one.place.file or None,
                "line": one.place.line or None,
                "seq": one.seq,
                "last_seq": one.last_seq,
                "what": one.words,
            }
            for one in result.breaks
        ],
        "notes": list(result.notes),
    }


def _complain(words: str) -> int:
    print(f"modelfence audit: {words}", file=sys.stderr)
    return 2
