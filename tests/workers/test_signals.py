"""Signals that a process is sent, many or few."""

import subprocess
import sys

WITHIN_S = 30
STORM = """
import asyncio, os, signal, sys
from modelfence.workers.signals import when_sent

async def main():
    told = {number: asyncio.Event() for number in (signal.SIGHUP, signal.SIGUSR2, signal.SIGTERM)}
    for number, event in told.items():
        when_sent(number, event.set)
    sender = await asyncio.create_subprocess_exec(sys.executable, "-c", SENDER, str(os.getpid()))
    await told[signal.SIGTERM].wait()
    assert all(event.is_set() for event in told.values())
    await sender.wait()

SENDER = '''
import os, signal, sys
for _ in range(20_000):
    os.kill(int(sys.argv[1]), signal.SIGHUP)
    os.kill(int(sys.argv[1]), signal.SIGUSR2)
os.kill(int(sys.argv[1]), signal.SIGTERM)
'''
asyncio.run(main())
for number in (signal.SIGHUP, signal.SIGUSR2, signal.SIGTERM):
    os.kill(os.getpid(), number)
"""


def test_a_storm_of_signals_is_survived_each_kind_is_told_of_and_none_ends_what_has_ended_well():
    ended = subprocess.run([sys.executable, "-c", STORM], timeout=WITHIN_S, check=False)  # noqa: S603 - the script above
    assert ended.returncode == 0
