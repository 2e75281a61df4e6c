"""`modelfence policy check`: every problem of a policy, with its place."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from modelfence.cli.problems import as_json
from modelfence.core.problem import Problem, errors
from modelfence.policy.compile import compile_policy

_EXAMPLE = "example:\n  modelfence policy check policies/default.yaml"


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "check",
        help="find every problem of a policy",
        description="Compile policies with everything they include and print every problem with its place.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a policy")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="how to print (default: text)")
    parser.add_argument("--strict", action="store_true", help="warnings count as problems")
    parser.set_defaults(command=check)


def check(options: argparse.Namespace) -> int:
    """Return 0 when every file is fine, 1 when one has problems, 2 when one can't be read."""
    found: list[Problem] = []
    for file in options.files:
        try:
            compiled = compile_policy(file)
        except OSError as error:
            print(f"{file} can't be read: {error.strerror}", file=sys.stderr)
            return 2
        found += compiled.problems
        if options.format == "text":
            for problem in compiled.problems:
                print(problem.render(), end="\n\n")
            if compiled.policy is not None:
                print(f"{file}: fine, {len(compiled.policy.rules())} rules, hash {compiled.policy.hash}")
    if options.format == "json":
        print(json.dumps([as_json(problem) for problem in found], indent=2))
    return 1 if errors(found) or (options.strict and found) else 0
