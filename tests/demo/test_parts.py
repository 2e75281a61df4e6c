"""The demo's parts as processes of their own, as the compose file runs them."""

import asyncio
import os
import re
import sys
from contextlib import asynccontextmanager

import pytest
from tornado.httpclient import AsyncHTTPClient
from tornado.netutil import bind_sockets

from modelfence.adapters.accounts.file import read_accounts
from modelfence.demo.__main__ import main
from modelfence.demo.callers import CALLERS, accounts_yaml
from modelfence.demo.standin_api import StandInApi

WITHIN_S = 20


@asynccontextmanager
async def part(*arguments: str):
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "modelfence.demo", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=dict(os.environ),
    )  # fmt: skip
    try:
        async with asyncio.timeout(WITHIN_S):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_the_stand_in_api_answers_until_it_is_told_to_stop():
    async with part("api", "--listen", "127.0.0.1:0") as api:
        url = re.search(r"http://\S+", (await api.stdout.readline()).decode())[0]
        answer = await AsyncHTTPClient(force_instance=True).fetch(f"{url}/v1/models")
        assert b"gpt-4o" in answer.body
        api.terminate()
        assert await api.wait() == 0


async def test_the_callers_call_round_after_round_until_they_are_told_to_stop():
    api = StandInApi(bind_sockets(0, "127.0.0.1")[0])
    api.start()
    async with part("callers", "--fence", api.url, "--every", "0") as callers:
        for _ in range(2):
            assert await callers.stdout.readline() == b"called\n"
        assert api.requests >= 2 * sum(caller.calls for caller in CALLERS)
        assert "x-forwarded-for" in api.last_headers
        callers.terminate()
        assert await callers.wait() == 0
    await api.stop()


async def test_callers_outlast_a_fence_that_is_not_there():
    [free] = bind_sockets(0, "127.0.0.1")
    port = free.getsockname()[1]
    free.close()
    async with part("callers", "--fence", f"http://127.0.0.1:{port}", "--every", "0.01") as callers:
        for _ in range(2):
            assert b"cut short" in await callers.stderr.readline()


def test_an_address_that_is_taken_is_said_in_a_sentence(capsys):
    [taken] = bind_sockets(0, "127.0.0.1")
    assert main(["api", "--listen", f"127.0.0.1:{taken.getsockname()[1]}"]) == 2
    assert "can't start" in capsys.readouterr().err
    taken.close()


async def test_the_accounts_of_the_callers_are_printed_as_a_file(capsys, tmp_path):
    assert main(["accounts"]) == 0
    (tmp_path / "accounts.yaml").write_text(capsys.readouterr().out)
    assert (tmp_path / "accounts.yaml").read_text() == accounts_yaml(CALLERS)
    accounts, problems = read_accounts(tmp_path / "accounts.yaml")
    assert problems == ()
    assert await accounts.get("acme") is not None


@pytest.mark.parametrize("arguments", [[], ["callers"], ["api", "--listen", "nowhere"]])
def test_what_is_missing_is_asked_for(arguments, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert "usage" in capsys.readouterr().err
