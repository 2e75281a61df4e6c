"""A worker as a process, where the system has none to give."""

import resource
import socket
from pathlib import Path

import pytest
from tests.workers.outside import TWO

from modelfence.core.unavailable import UnavailableError
from modelfence.workers.control import Orders
from modelfence.workers.process import WorkerProcess


async def test_without_descriptors_there_is_no_process_and_the_supervisor_goes_on(tmp_path: Path):
    most, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as listening:
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            with pytest.raises(UnavailableError, match="no process can be started: Too many open files"):
                await WorkerProcess.launch(listening, Orders(TWO, 0, tmp_path, None))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
