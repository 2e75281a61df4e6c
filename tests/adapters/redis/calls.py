"""What the tests of buckets in Redis ask of them, and how they wait."""

import asyncio
import time

from modelfence.core.bucket import PERIODS_US, Rate
from modelfence.core.charge import Adjustment, Charge, Hold, Unit
from modelfence.enforcement.ports import UnavailableError

DEADLINE_S = 0.5
"""Long for a call on a busy machine, short for a test."""
PATIENCE_S = 20
"""How long a test waits for what must happen."""
DAY_US = PERIODS_US["day"]


def charge(throttle: str = "calls", burst: float = 1, *, key: str = "acme", period: str = "day") -> Charge:
    return Charge(throttle, key, Rate(1, PERIODS_US[period], burst))


def tokens(amount: float, burst: float, *, throttle: str = "tokens", shadow: bool = False) -> Charge:
    return Charge(throttle, "acme", Rate(1, PERIODS_US["day"], burst), amount, Unit.OUTPUT_TOKENS, shadow=shadow)


def owes(charge: Charge, owed_us: int) -> Adjustment:
    """Return an adjustment of what is not held."""
    return Adjustment(Hold(charge, "none", 0), owed_us, owed_us)


async def once_back(ask):
    """Return the first answer of a store that was away, and is left alone for a moment by its circuit breaker."""
    give_up_at_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            return await ask()
        except UnavailableError as error:
            if error.may_have_run or time.monotonic() > give_up_at_s:
                raise
            await asyncio.sleep(0.01)


def scripts_run(server) -> int:
    return server.command("INFO", "commandstats").get("cmdstat_evalsha", {}).get("calls", 0)


def wait_for_scripts(server, count: int) -> None:
    """Return when the server has run that many scripts since its statistics were reset."""
    give_up_at_s = time.monotonic() + PATIENCE_S
    while scripts_run(server) < count:
        assert time.monotonic() < give_up_at_s
