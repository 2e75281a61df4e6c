"""The supervisor stays up beside the workers, so it loads nothing of what serves calls."""

import subprocess
import sys

LOADED = """
import sys
from modelfence.cli import parser
parser("run").parse_args(["run"])
print(*(name for name in ("mitmproxy", "cel_expr_python", "redis", "maxminddb", "modelfence.wiring") if name in sys.modules))
"""


def test_it_loads_neither_the_wire_nor_conditions_nor_a_store():
    ended = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)  # noqa: S603 - ours
    assert ended.stdout == "\n"
