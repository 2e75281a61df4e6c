"""What the fence costs on the wire, beside mitmproxy alone and, with `--peers`, beside others of the kind.

Run: python -m bench.proxy [--quick] [--peers] [--out docs/performance.md]
"""

import argparse
import asyncio
import gc
import sys
from pathlib import Path

from bench.proxy.load import BadAnswerError
from bench.proxy.measures import measure
from bench.proxy.peers import peers
from bench.proxy.processes import NotMeasurableError
from bench.proxy.report import page
from bench.proxy.results import QUICK, Plan, Result
from bench.proxy.subjects import ours


async def run(plan: Plan, *, with_peers: bool) -> Result:
    """Measure them all. Raises NotMeasurableError and BadAnswerError."""
    subjects = [*ours(), *(await peers() if with_peers else [])]
    gc.disable()  # the callers' own pauses would count as latency; a run makes little garbage that goes in circles
    return await measure(subjects, plan)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round of each, to see that all works")
    parser.add_argument("--peers", action="store_true", help="LiteLLM and Portkey, too, installed into .bench")
    parser.add_argument("--out", type=Path, help="where the page goes (default: to the screen)")
    given = parser.parse_args()
    try:
        result = asyncio.run(run(QUICK if given.quick else Plan(), with_peers=given.peers))
    except (NotMeasurableError, BadAnswerError) as error:
        print(f"this can't be measured: {error}", file=sys.stderr)
        return 2
    written = page(result, f"python -m bench.proxy{' --quick' * given.quick}{' --peers' * given.peers}")
    if given.out is None:
        print(written)
    else:
        given.out.write_text(written)
    return 0


if __name__ == "__main__":
    sys.exit(main())
