"""What the fence costs on the wire, beside mitmproxy alone: requests a second, and CPU a request in the process.

Both embed the same mitmproxy with the same options. The bare one has no addon and no guard; the fence has 25 rules, the
memory store and its metrics. Upstream, proxies and load each have a process; rounds alternate, medians are printed.

Run: python -m bench.proxy [--seconds 3] [--rounds 5] [--connections 16]
"""

import argparse
import asyncio
import json
import random
import resource
import statistics
import sys
import time
from asyncio.subprocess import PIPE, Process, create_subprocess_exec
from collections.abc import Callable
from dataclasses import dataclass

from bench.decision import DENIES
from mitmproxy import options
from mitmproxy.master import Master
from mitmproxy.proxy import mode_specs
from mitmproxy.proxy.layers.http import HttpLayer, HTTPMode
from mitmproxy.proxy.mode_servers import ProxyConnectionHandler

from modelfence.adapters.memory_buckets import MemoryBuckets
from modelfence.adapters.memory_evidence import MemoryEvidence
from modelfence.adapters.prometheus_metrics import PrometheusMetrics
from modelfence.core.account import Account
from modelfence.core.upstream import Upstream
from modelfence.dialects.openai.api import OpenAI
from modelfence.enforcement.fence import Fence, InForce
from modelfence.enforcement.ports import Location
from modelfence.extraction.common_phrases import common_phrases
from modelfence.extraction.detection import Detection
from modelfence.extraction.fingerprint import Fingerprints
from modelfence.listening import listen
from modelfence.policy.compile import compile_text
from modelfence.wire.addon import FenceAddon
from modelfence.wire.apis import Apis
from modelfence.wire.guard import Bounds
from modelfence.wire.realtime import Realtime
from modelfence.wire.runner import Proxy, Served
from modelfence.wire.tls import UpstreamPins

MESSAGES = [{"role": "user", "content": "Tell me about fences. " * 20}]
BODY = json.dumps({"model": "gpt-4o", "messages": MESSAGES}).encode()
REQUEST = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer sk-bench\r\nAccept: */*\r\n"
    b"Content-Type: application/json\r\nUser-Agent: bench\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
)
USAGE = {"prompt_tokens": 110, "completion_tokens": 150, "total_tokens": 260}
MESSAGE = {"role": "assistant", "content": "fence " * 150}
REPLY = json.dumps({"choices": [{"message": MESSAGE}], "usage": USAGE}).encode()
END_OF_REPLY = REPLY[-64:]
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Request-Id: req_1\r\nContent-Length: %d\r\n\r\n%s" % (
    len(REPLY),
    REPLY,
)


class UpstreamProtocol(asyncio.Protocol):
    """Answers whatever ends a request's worth of bytes; the proxies add headers, so it looks for the body's end."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._buffer.endswith(BODY):
            self._buffer = b""
            self._transport.write(ANSWER)


async def serve_upstream(_port: int) -> int:
    server = await asyncio.get_running_loop().create_server(UpstreamProtocol, "127.0.0.1", 0)
    await server.start_serving()
    port: int = server.sockets[0].getsockname()[1]
    return port


async def serve_bare(upstream_port: int) -> int:
    """Start mitmproxy alone, as the runner of the fence embeds it."""
    started = asyncio.Event()

    class Started:
        def running(self) -> None:
            started.set()

    from modelfence.wire.runner import _ProxyOptions, _UpstreamTls  # noqa: PLC0415 - the same addons

    master = Master(options.Options())
    master.addons.add(_ProxyOptions(), _UpstreamTls(UpstreamPins({})), Started())
    master.options.update(connection_strategy="lazy", http2=False, websocket=False, rawtcp=False, keep_host_header=True)
    asyncio.get_running_loop().running = asyncio.create_task(master.run())  # type: ignore[attr-defined]  # kept alive
    await started.wait()
    mode = mode_specs.ProxyMode.parse(f"reverse:http://127.0.0.1:{upstream_port}")

    async def on_client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handler = ProxyConnectionHandler(master, reader, writer, master.options, mode)
        context = handler.layer.context
        context.server.address = ("127.0.0.1", upstream_port)
        handler.layer = HttpLayer(context, HTTPMode.transparent)
        await handler.handle_client()

    listening = listen("127.0.0.1", 0)
    asyncio.get_running_loop().server = await asyncio.start_server(on_client, sock=listening)  # type: ignore[attr-defined]
    port: int = listening.getsockname()[1]
    return port


class Accounts:
    async def find(self, digest: str) -> Account:  # noqa: ARG002
        return Account("acme", "active", "basic", country="NO", screening="clear", purpose="chat")


class Geo:
    def locate(self, ip: str) -> Location:  # noqa: ARG002
        return Location("NO", "EU", 2119, "Telenor", anonymous=False, hosting=False)


def policy_text(rules: int = 25) -> str:
    lines = ["version: 1", "lists: {embargoed: [CU, IR, KP, SY]}", "access:"]
    for n in range(rules - 5):
        lines += [f"  - id: deny-{n}", f"    deny: {DENIES[n % 2 * 2].format(n=n)}"]
    lines += ["  - {id: allow, allow: 'kyc.status == \"active\" && kyc.tier >= tier.basic'}", "reshape:"]
    lines += ["  - {id: no-logits, when: kyc.tier < tier.enhanced, remove: [logprobs]}", "throttle:"]
    lines += ["  - {id: requests, key: account.id, rate: 1000000 per second}"]
    lines += ["  - {id: output, key: account.id, unit: output_tokens, rate: 1000000 per second}"]
    lines += ["  - {id: total, key: account.id, unit: total_tokens, rate: 1000000 per second}"]
    return "\n".join(lines)


async def serve_fence(upstream_port: int) -> int:
    compiled = compile_text(policy_text())
    assert compiled.policy is not None, compiled.problems
    assert len(compiled.policy.rules()) == 25

    def now_us() -> int:
        return time.time_ns() // 1000

    buckets, metrics = MemoryBuckets(now_us), PrometheusMetrics()
    metrics.in_force(compiled.policy)
    fence = Fence(
        InForce(compiled.policy, Accounts(), Geo()),
        buckets=buckets,
        local_buckets=buckets,
        detector=Detection(MemoryEvidence(), Fingerprints(common=common_phrases())),
        observers=[metrics],
        clock_us=now_us,
        jitter=random.random,
    )
    apis = Apis(
        [Upstream("openai", "openai", "http", "127.0.0.1", upstream_port, secret="sk-real")],  # noqa: S106
        {"openai": OpenAI()},
        trusted_proxies=(),
        observers=[metrics],
        clock_us=now_us,
    )
    addon = FenceAddon(fence, apis, max_request_bytes=1 << 20)
    realtime = Realtime(fence, apis, realtime={}, message_bytes=1 << 20)
    listening = listen("127.0.0.1", 0)
    proxy = Proxy(
        Served(addon, realtime), listening, bounds=Bounds(head_bytes=65536, request_bytes=1 << 20), idle_s=600
    )
    await proxy.start()
    port: int = listening.getsockname()[1]
    return port


ROLES = {"upstream": serve_upstream, "bare": serve_bare, "fence": serve_fence}


async def serve(role: str, upstream_port: int) -> None:
    """Serve until stdin ends; print the port, and the CPU seconds spent each time a line comes."""
    print(await ROLES[role](upstream_port), flush=True)
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, sys.stdin.readline):
        used = resource.getrusage(resource.RUSAGE_SELF)
        print(used.ru_utime + used.ru_stime, flush=True)


class Load(asyncio.Protocol):
    """One keep-alive connection that asks again as soon as it is answered."""

    def __init__(self, answered: Callable[[], bool]) -> None:
        self._answered = answered
        self._got = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(REQUEST)

    def data_received(self, data: bytes) -> None:
        self._got += len(data)
        if data.endswith(END_OF_REPLY):
            assert self._got >= len(REPLY), "an answer of another size"
            self._got = 0
            if self._answered():
                self._transport.write(REQUEST)
            else:
                self._transport.close()


@dataclass
class Side:
    """One proxy under test and what was measured of it."""

    name: str
    process: Process
    port: int
    rates: list[float]
    cpu_us: list[float]

    async def cpu_s(self) -> float:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(b"\n")
        return float(await self.process.stdout.readline())


async def start(role: str, upstream_port: int = 0) -> Side:
    command = [sys.executable, "-m", "bench.proxy", "--serve", role, "--upstream-port", str(upstream_port)]
    process = await create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
    assert process.stdout is not None
    return Side(role, process, int(await asyncio.wait_for(process.stdout.readline(), 30)), [], [])


async def check_answer(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(REQUEST)
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    assert await reader.readexactly(len(REPLY)) == REPLY
    writer.close()


async def load(side: Side, *, seconds: float, connections: int) -> None:
    await check_answer(side.port)
    loop = asyncio.get_running_loop()
    answers, until = 0, loop.time() + seconds
    done = asyncio.Event()
    open_connections = connections

    def answered() -> bool:
        nonlocal answers, open_connections
        answers += 1
        if loop.time() < until:
            return True
        open_connections -= 1
        if not open_connections:
            done.set()
        return False

    cpu_s, began = await side.cpu_s(), loop.time()
    for _ in range(connections):
        await loop.create_connection(lambda: Load(answered), "127.0.0.1", side.port)
    await asyncio.wait_for(done.wait(), seconds + 30)
    took = loop.time() - began
    side.rates.append(answers / took)
    side.cpu_us.append((await side.cpu_s() - cpu_s) / answers * 1e6)


async def measure(*, seconds: float, rounds: int, connections: int) -> None:
    upstream = await start("upstream")
    sides = [await start("bare", upstream.port), await start("fence", upstream.port)]
    try:
        for side in sides:
            await load(side, seconds=1, connections=connections)
            side.rates.clear()
            side.cpu_us.clear()
        for _ in range(rounds):
            for side in sides:
                await load(side, seconds=seconds, connections=connections)
    finally:
        for one in (*sides, upstream):
            one.process.terminate()
            await one.process.wait()
    bare, fence = (statistics.median(side.rates) for side in sides)
    for side in sides:
        rate, cpu_us = statistics.median(side.rates), statistics.median(side.cpu_us)
        print(f"{side.name:6} {rate:7.0f} requests/s ({min(side.rates):.0f}-{max(side.rates):.0f})  ", end="")
        print(f"{cpu_us:6.0f} µs CPU a request ({min(side.cpu_us):.0f}-{max(side.cpu_us):.0f})")
    print(f"the fence serves {fence / bare:.2f} of what mitmproxy alone does")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3, help="length of a round (default: 3)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each (default: 5)")
    parser.add_argument("--connections", type=int, default=16, help="keep-alive connections (default: 16)")
    parser.add_argument("--serve", choices=ROLES, help=argparse.SUPPRESS)
    parser.add_argument("--upstream-port", type=int, default=0, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        asyncio.run(serve(given.serve, given.upstream_port))
    else:
        asyncio.run(measure(seconds=given.seconds, rounds=given.rounds, connections=given.connections))


if __name__ == "__main__":
    main()
