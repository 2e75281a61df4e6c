"""Whatever a server answers that Redis would not: nobody is let in by it, and all are told of it in time and alike."""

import asyncio

import pytest
from redis.exceptions import ConnectionError  # noqa: A004

from modelfence.adapters.redis.accounts import RedisAccounts
from modelfence.adapters.redis.buckets import RedisBuckets
from modelfence.adapters.redis.servers import RedisServers
from modelfence.core.bucket import SECOND_US, Rate
from modelfence.core.charge import Adjustment, Charge, Hold, Lease, Unit
from modelfence.enforcement.ports import UnavailableError

WITHIN_S = 20
TOKENS = Charge("tokens", "acme", Rate(100, SECOND_US, 100), unit=Unit.OUTPUT_TOKENS)
CALLERS = b"abcdef"
HOLD = Hold(TOKENS, "call/0", TOKENS.cost_us)

ANSWERS = {
    "a number": b":5\r\n",
    "a word": b"+OK\r\n",
    "as many bytes as numbers are wanted": b"$3\r\nfoo\r\n",
    "nothing": b"$-1\r\n",
    "no list": b"*-1\r\n",
    "an empty list": b"*0\r\n",
    "words for numbers": b"*4\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n$1\r\nd\r\n",
    "words for waits": b"*4\r\n:5\r\n:1\r\n:5\r\n$1\r\n0\r\n",
    "too few numbers": b"*2\r\n:5\r\n:1\r\n",
    "a bucket without its wait": b"*3\r\n:5\r\n:1\r\n:5\r\n",
    "too many numbers": b"*6\r\n:5\r\n:1\r\n:5\r\n:0\r\n:5\r\n:0\r\n",
    "an error within": b"*4\r\n:5\r\n:1\r\n:5\r\n-ERR\r\n",
    "a list within": b"*2\r\n*1\r\n:1\r\n:1\r\n",
    "too late, for ever": b"*2\r\n:5\r\n:0\r\n",
    "neither late nor in time": b"*4\r\n:5\r\n:2\r\n:5\r\n:0\r\n",
    "a place that is none": b"-MOVED somewhere\r\n",
    "a place without a port": b"-MOVED 1 127.0.0.1:x\r\n",
    "bytes that are no text": b"-ERR \xff\xfe\r\n",
    "an error without words": b"-\r\n",
    "another protocol": b"HTTP/1.1 400 Bad Request\r\n\r\n",
}


@pytest.fixture
async def answering():
    """A function that starts a server which answers every command with the same bytes, and returns its port."""
    connections, listeners = [], []

    async def start(answer: bytes) -> int:
        async def serve(reader, writer):
            connections.append(writer)
            while asked := await reader.read(65_536):
                writer.write(answer * max(1, asked.count(b"EVALSHA")))

        listeners.append(await asyncio.start_server(serve, "127.0.0.1", 0))
        return listeners[-1].sockets[0].getsockname()[1]

    yield start
    for writer in connections:
        writer.transport.abort()
    for listener in listeners:
        listener.close()


NODES = {
    "a sentinel's port that is none": ("redis+sentinel", b"*2\r\n$1\r\na\r\n$1\r\nb\r\n"),
    "a sentinel's host that is none": ("redis+sentinel", b"*2\r\n$1\r\n\xff\r\n$1\r\n1\r\n"),
    "a node's host that is none": ("redis+cluster", b"*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$1\r\n\xff\r\n:1\r\n"),
    "a node's port beyond all": ("redis+cluster", b"*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$0\r\n\r\n:99999\r\n"),
}
SCHEMES = ("redis", "redis+cluster", "redis+sentinel")
CASES = {f"{scheme}: {name}": (scheme, answer) for scheme in SCHEMES for name, answer in ANSWERS.items()} | NODES


@pytest.mark.parametrize(("scheme", "answer"), CASES.values(), ids=CASES)
async def test_what_no_script_answers_is_a_store_that_does_not_serve(answering, caplog, scheme, answer):
    path = "/buckets" if scheme == "redis+sentinel" else ""
    buckets = RedisBuckets(f"{scheme}://127.0.0.1:{await answering(answer)}{path}")
    async with asyncio.timeout(WITHIN_S):
        for _ in range(3):
            with pytest.raises(UnavailableError):
                await buckets.take([TOKENS], lease=Lease("call/0", SECOND_US))
        with pytest.raises(UnavailableError):
            await buckets.settle([Adjustment(HOLD, 0, 0)] * 2)
    await buckets.close()
    assert not caplog.records  # nothing went wrong that nobody had thought of


@pytest.mark.parametrize("stray", [b"+OK\r\n", b":1\r\n", b"$-1\r\n"], ids=["a word", "a number", "nothing"])
async def test_behind_an_answer_that_nobody_is_due_none_reaches_another_than_who_asked(stray):
    async def serve(reader, writer):
        asked = 0
        while asked < len(CALLERS):
            asked += (await reader.read(65_536)).count(b"EVALSHA")
        answers = [b"*2\r\n:1\r\n$1\r\n%c\r\n" % caller for caller in CALLERS]
        writer.write(b"".join(answers[:2]) + stray + b"".join(answers[2:]))
        await reader.read()
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    servers = RedisServers(f"redis://127.0.0.1:{listener.sockets[0].getsockname()[1]}", deadline_s=WITHIN_S)
    asks = [servers.ask("", "EVALSHA", "0" * 40, 0, bytes([caller])) for caller in CALLERS]
    async with asyncio.timeout(WITHIN_S / 2):  # they are told at once
        answers = await asyncio.gather(*asks, return_exceptions=True)
    assert answers[:2] == [[1, b"a"], [1, b"b"]]
    assert {type(answer) for answer in answers[2:]} == {ConnectionError}
    await servers.close()
    listener.close()


@pytest.mark.parametrize("answer", [b":5\r\n", b"+OK\r\n", b"*1\r\n:5\r\n"], ids=["a number", "a word", "a list"])
async def test_what_is_no_record_is_a_directory_that_does_not_serve(answering, answer):
    accounts = RedisAccounts(f"redis://127.0.0.1:{await answering(answer)}")
    with pytest.raises(UnavailableError):
        await accounts.find("digest", 0)
    await accounts.close()
