"""Ctrl-C comes before a command has begun."""

import subprocess
import sys

from tests.cli.conftest import WITHIN_S, environment

INTERRUPTED_WHILE_LOADING = """
import sys

class Interrupting:
    @staticmethod
    def find_spec(name, *_):
        if name == "modelfence.cli.studio":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupting)
from modelfence.cli import main
sys.exit(main(["policy", "check"]))
"""


def test_an_interruption_while_commands_are_loaded_is_a_word_and_no_traceback():
    ended = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-c", INTERRUPTED_WHILE_LOADING],
        env=environment(), capture_output=True, text=True, timeout=WITHIN_S, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (2, "interrupted\n")
