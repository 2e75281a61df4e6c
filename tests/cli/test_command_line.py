"""What the help says of itself, and the commands that help and documents show."""

import argparse
import re
import shlex
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from modelfence.cli import parser

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "grafana" / "README.md", *(ROOT / "docs").glob("*.md")])


def commands_of(one: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield one
    for action in one._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from commands_of(command)


def shown_by(text: str) -> list[list[str]]:
    """Return the words of each command of ours in a text, without what the shell does around it."""
    lines = re.findall(r"^ *(?:\$ )?(?:\S*/)?modelfence ((?:.*\\\n)*.*)$", text, re.MULTILINE)
    return [list(up_to_the_shell(line.replace("\\\n", " "))) for line in lines]


def up_to_the_shell(line: str) -> Iterator[str]:
    words = shlex.shlex(line, posix=True, punctuation_chars=True)
    words.whitespace_split = True
    for word in words:
        if word[0] in "|><&;":
            return
        yield word


@pytest.mark.parametrize("command", list(commands_of(parser())), ids=lambda command: command.prog)
def test_the_examples_of_each_command_are_commands(command):
    if (examples := shown_by(command.epilog or "")) or not command._subparsers:
        assert examples
        for words in examples:
            parser().parse_args(words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_commands_that_a_page_shows_are_understood(page):
    for block in re.findall(r"^```(?:sh|console)\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE):
        for words in shown_by(block):
            parser().parse_args(words)


def test_the_version_is_told(run_here):
    ended = run_here("--version")
    assert (ended.returncode, ended.stdout) == (0, f"modelfence {version('modelfence')}\n")
