"""`modelfence policy schema`: what an editor has to know of the files people write."""

import argparse
import json
from typing import Any

from modelfence.workbench.schema import KINDS, schema_of

_EXAMPLE = "example:\n  modelfence policy schema policy > policy.schema.json"


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "schema",
        help="print what editors check files by",
        description="Print the JSON Schema (draft 2020-12) of a kind of file, by which editors check and complete it.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "kind", nargs="?", choices=tuple(KINDS), default="policy", help="the kind of file (default: policy)"
    )
    parser.set_defaults(command=schema)


def schema(options: argparse.Namespace) -> int:
    """Return 0."""
    print(json.dumps(schema_of(options.kind), indent=2, ensure_ascii=False))
    return 0
