"""Answers stream through as they come, are counted on the way, and are settled however they end."""

import asyncio

import pytest
from tests.wire.outside import WITHIN_S

from modelfence.core.call import Usage

ONLY_THE_QUESTION = Usage(input_tokens=1, estimated=True)


def tokens(adjustments):
    """Return what was given back or charged on top, in tokens of the `tokens` throttle, and by how many settlements."""
    return [round(one.hold.charge.rate.units(one.owed_us) + one.hold.charge.amount) for one in adjustments]


class Held:
    """A stream that sends its next piece only when it is let."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = pieces
        self.go = asyncio.Semaphore(0)

    async def __call__(self, writer: asyncio.StreamWriter) -> None:
        for piece in self.pieces:
            await self.go.acquire()
            writer.write(piece)
            await writer.drain()


def held_stream(wire, *texts: str, usage=None) -> Held:
    events = [wire.chunk(wire.event(text)) for text in texts]
    if usage:
        events.append(wire.chunk(wire.event(usage=usage)))
    return Held(wire.STREAM_HEAD, *events, b"0\r\n\r\n")


async def test_an_event_reaches_the_client_while_the_upstream_holds_back_the_next(fence, upstream, wire):
    stream = held_stream(wire, "one", "two", usage=wire.USAGE)
    upstream.answers.append(stream)
    client = await fence.connect()
    await client.send(wire.post({**wire.BODY, "stream": True, "stream_options": {"include_usage": True}}))
    for piece in stream.pieces:
        stream.go.release()
        if piece is wire.STREAM_HEAD:
            head = await client.head()
            assert (head.status, head["transfer-encoding"]) == (200, "chunked")
        else:
            await client.exactly(piece)
    settled = await fence.watcher.settlement()
    assert settled.usage == Usage(input_tokens=3, output_tokens=7)
    assert tokens(fence.buckets.adjustments) == [7]


async def test_neither_the_end_of_an_answer_nor_the_next_call_waits_for_the_store_to_settle(fence, upstream, wire):
    fence.buckets.settle_hangs = True
    client = await fence.connect()
    for _ in range(3):
        upstream.answers.append(wire.STREAM_HEAD + wire.chunk(wire.event("word")) + b"0\r\n\r\n")
        await client.send(wire.post({**wire.BODY, "stream": True}))
        assert (await client.answer()).status == 200
    assert (fence.watcher.admitted, fence.watcher.settlements) == (3, [])
    fence.buckets.released.set()
    await fence.watcher.settlement(3)
    await fence.addon.all_settled()


async def test_a_fence_is_not_settled_while_the_store_is_asked_beside_what_comes_next(fence, wire):
    fence.buckets.settle_hangs = True
    assert (await fence.exchange(wire.post())).status == 200
    settled = asyncio.create_task(fence.addon.all_settled())
    finished, _ = await asyncio.wait([settled], timeout=0.1)
    assert not finished
    fence.buckets.released.set()
    async with asyncio.timeout(WITHIN_S):
        await settled
    assert len(fence.watcher.settlements) == 1


async def test_a_store_that_never_settles_holds_up_what_is_settled_for_no_longer_than_a_hook_may_take(
    start_fence, wire
):
    fence = await start_fence(hook_deadline_s=0.05)
    fence.buckets.settle_hangs = True
    assert (await fence.exchange(wire.post())).status == 200
    async with asyncio.timeout(WITHIN_S):
        await fence.addon.all_settled()
    assert (fence.watcher.settlements, fence.watcher.failures) == ([], 1)
    fence.buckets.released.set()
    await fence.fence.charging.settle_late()  # it was kept
    assert tokens(fence.buckets.adjustments) == [7]


async def test_a_chunked_answer_cut_anywhere_is_passed_on_whole(fence, upstream, wire):
    whole = wire.STREAM_HEAD + wire.chunk(wire.event("one")) + wire.chunk(wire.event("two")) + b"0\r\n\r\n"
    client = await fence.connect()
    for size in (1, 7, 50):
        pieces = [whole[place : place + size] for place in range(0, len(whole), size)]
        stream = Held(*pieces)
        upstream.answers.append(stream)
        for _ in pieces:
            stream.go.release()
        await client.send(wire.post())
        assert (await client.answer()).body == wire.event("one") + wire.event("two")


async def test_a_plain_answer_is_settled_to_the_usage_it_reports(fence, upstream, wire):
    answer = await fence.exchange(wire.post())
    assert (answer.status, answer.body) == (200, wire.PLAIN)
    settled = await fence.watcher.settlement()
    assert (settled.usage, settled.status) == (Usage(input_tokens=3, output_tokens=7), 200)
    assert tokens(fence.buckets.adjustments) == [7]
    assert len(upstream.requests) == 1


async def test_a_stream_without_usage_is_settled_by_what_passed(fence, upstream, wire):
    upstream.answers.append(wire.STREAM_HEAD + wire.chunk(wire.event("x" * 40)) + b"0\r\n\r\n")
    await fence.exchange(wire.post({**wire.BODY, "stream": True}))
    usage = (await fence.watcher.settlement()).usage
    assert usage.estimated
    assert usage.output_tokens >= 10


ERRORS = ["400 Bad Request", "401 Unauthorized", "404 Not Found", "429 Too Many Requests", "500 Oops", "529 Overloaded"]


@pytest.mark.parametrize("status", ERRORS)
async def test_an_error_of_the_upstream_passes_unchanged_and_its_tokens_are_given_back(fence, upstream, wire, status):
    body = b'{"error": {"message": "theirs"}, "usage": {"prompt_tokens": 9, "completion_tokens": 9}}'
    upstream.answers.append(wire.answer(body, status, "Retry-After: 7", "X-Theirs: a"))
    answer = await fence.exchange(wire.post())
    assert (answer.first_line, answer.body) == (f"HTTP/1.1 {status}", body)
    assert (answer["retry-after"], answer["x-theirs"]) == ("7", "a")
    settled = await fence.watcher.settlement()
    assert (settled.usage, settled.status) == (None, int(status[:3]))
    assert tokens(fence.buckets.adjustments) == [0]


async def test_a_client_that_leaves_in_the_middle_ends_the_upstreams_work_and_is_settled(fence, upstream, wire):
    stream = held_stream(wire, "x" * 40, "never sent")
    upstream.answers.append(stream)
    client = await fence.connect()
    await client.send(wire.post({**wire.BODY, "stream": True}))
    stream.go.release()
    stream.go.release()
    await client.head()
    await client.exactly(stream.pieces[1])
    client.close()
    settled = await fence.watcher.settlement()
    assert settled.usage.output_tokens >= 10
    assert settled.status == 200
    stream.go.release()  # an upstream finds out when it writes
    async with asyncio.timeout(wire.WITHIN_S):
        while not upstream.closed.is_set():
            stream.go.release()
            await asyncio.sleep(0)


async def test_a_client_that_leaves_before_the_answer_is_settled_and_the_upstream_left(fence, upstream, wire):
    stream = held_stream(wire, "one")
    upstream.answers.append(stream)
    client = await fence.connect()
    await client.send(wire.post())
    async with asyncio.timeout(wire.WITHIN_S):
        await upstream.arrived.wait()
    client.close()
    settled = await fence.watcher.settlement()
    assert (settled.usage, settled.status) == (ONLY_THE_QUESTION, None)


async def test_a_client_that_closes_its_sending_side_has_left(fence, upstream, wire):
    stream = held_stream(wire, "one")
    upstream.answers.append(stream)
    client = await fence.connect()
    await client.send(wire.post())
    async with asyncio.timeout(wire.WITHIN_S):
        await upstream.arrived.wait()
    client.writer.write_eof()
    assert await client.rest() == b""
    assert (await fence.watcher.settlement()).usage == ONLY_THE_QUESTION


async def test_our_own_refusals_are_neither_counted_as_answers_nor_settled(fence, upstream, wire):
    client = await fence.connect()
    for request in (
        wire.post(key="sk-nobody"),
        wire.post(b"{"),
        wire.post(path="/v1//x"),
        wire.post(wire.BODY, "X: \xff"),
    ):
        await client.send(request)
        await client.answer()
    assert fence.watcher.began == 1
    await fence.watcher.settlement()
    assert len(fence.watcher.settlements) == len(upstream.requests) == len(fence.watcher.passings) == 1


async def test_many_requests_share_one_connection_on_either_side(fence, upstream, wire):
    client = await fence.connect()
    for number in range(50):
        await client.send(wire.post({**wire.BODY, "user": str(number)}))
        assert (await client.answer()).status == 200
    assert [request.json["user"] for request in upstream.requests] == [str(number) for number in range(50)]
    assert len(upstream.received) == 1
    await fence.watcher.settlement(50)


async def test_pipelined_requests_are_each_judged_and_answered_in_their_order(fence, upstream, wire):
    client = await fence.connect()
    keys = ["sk-acme", "sk-nobody", "sk-acme", "sk-nobody", "sk-acme"]
    for number in (0, 2, 4):
        upstream.answers.append(wire.answer(b'{"number": %d}' % number))
    await client.send(b"".join(wire.post(key=key) for key in keys))
    answers = [await client.answer() for _ in keys]
    assert [answer.status for answer in answers] == [200, 401, 200, 401, 200]
    assert [answer.json.get("number") for answer in answers] == [0, None, 2, None, 4]
    assert len(fence.watcher.calls) == 5


async def test_a_thousand_small_requests_in_one_packet_are_all_answered(fence, upstream, wire):
    client = await fence.connect()
    await client.send(b"GET //x HTTP/1.1\r\nHost: x\r\n\r\n" * 1000 + wire.post())
    assert {(await client.answer()).status for _ in range(1000)} == {400}
    assert (await client.answer()).status == 200
    assert len(upstream.requests) == 1


FLOODS = {"before the first is judged": (True, 0), "while it is judged": (True, 3), "while it is answered": (False, 0)}


@pytest.mark.parametrize(("early", "turns"), FLOODS.values(), ids=FLOODS)
async def test_a_flood_of_pipelined_requests_is_cut_off_and_the_call_settled(fence, upstream, wire, early, turns):
    fence.buckets.turns = turns
    upstream.answers.append(held_stream(wire, "one"))
    client = await fence.connect()
    await client.send(wire.post())
    async with asyncio.timeout(wire.WITHIN_S):
        if not early:
            await upstream.arrived.wait()
        with pytest.raises(ConnectionError):  # noqa: PT012 - when it breaks is the kernel's choice
            while True:
                await client.send(wire.post() * 100)
    assert (await fence.watcher.settlement()).usage == (None if early else ONLY_THE_QUESTION)  # if it was sent at all
    assert len(fence.watcher.calls) == 1


@pytest.mark.parametrize("headers", ["Connection: close", "Connection: Close", "Connection: x, close"])
async def test_a_client_that_asks_for_it_finds_its_connection_closed_after_the_answer(fence, upstream, wire, headers):
    client = await fence.connect()
    await client.send(wire.post(wire.BODY, headers))
    answer = await client.answer()
    assert (answer.body, answer["connection"]) == (wire.PLAIN, "close")
    assert await client.rest() == b""
    assert "connection" not in upstream.requests[0]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_of_http_1_0_gets_an_answer_that_ends_with_its_connection(fence, upstream, wire, stream):
    if stream:
        upstream.answers.append(
            wire.STREAM_HEAD + wire.chunk(b"data: a\n\n") + wire.chunk(b"data: b\n\n") + b"0\r\n\r\n"
        )
    client = await fence.connect()
    await client.send(wire.post(wire.BODY, "Connection: keep-alive").replace(b"HTTP/1.1", b"HTTP/1.0"))
    answer = await client.answer()
    assert "transfer-encoding" not in answer
    assert answer.body == (b"data: a\n\ndata: b\n\n" if stream else wire.PLAIN)
    assert await client.rest() == b""
    assert upstream.requests[0].first_line.endswith("HTTP/1.1")


async def test_what_the_upstream_says_of_its_connection_is_not_the_clients_business(fence, upstream, wire):
    upstream.answers.append(
        wire.answer(wire.PLAIN, "200 OK", "Connection: close, X-Hop", "Keep-Alive: 5", "X-Hop: a", "X-Kept: b")
    )
    client = await fence.connect()
    await client.send(wire.post())
    answer = await client.answer()
    assert [name for name, _ in answer.fields if "ratelimit" not in name] == [
        "content-type",
        "x-kept",
        "content-length",
    ]
    await client.send(wire.post())
    assert (await client.answer()).status == 200
    assert len(upstream.received) == 2


@pytest.mark.parametrize("open_answer", [False, True], ids=["waiting for the upstream", "within an answer"])
async def test_stopping_ends_open_calls_within_a_deadline_and_settles_them(start_fence, upstream, wire, open_answer):
    fence = await start_fence()
    stream = held_stream(wire, "x" * 40, "never sent")
    upstream.answers.append(stream)
    client = await fence.connect()
    await client.send(wire.post({**wire.BODY, "stream": True}))
    async with asyncio.timeout(wire.WITHIN_S):
        await upstream.arrived.wait()
    if open_answer:
        stream.go.release()
        stream.go.release()
        await client.head()
        await client.exactly(stream.pieces[1])
    async with asyncio.timeout(2):
        await fence.proxy.stop()
    assert await client.rest() == b""
    assert len(fence.watcher.settlements) == 1
    usage = fence.watcher.settlements[0].usage
    assert (usage.output_tokens >= 10) if open_answer else (usage == ONLY_THE_QUESTION)


async def test_stopping_waits_for_a_settlement_under_way(start_fence, upstream, wire):
    fence = await start_fence()
    done = []
    take_in = fence.buckets.settle

    async def slowly(adjustments):
        for _ in range(20):
            await asyncio.sleep(0)
        await take_in(adjustments)
        done.append(True)

    fence.buckets.settle = slowly
    assert (await fence.exchange(wire.post())).status == 200
    await fence.proxy.stop()
    assert done
    assert len(upstream.requests) == 1


async def test_a_connection_that_ends_as_more_of_it_comes_is_closed_and_its_call_settled(fence, upstream, wire):
    upstream.answers.append(held_stream(wire, "one"))
    client = await fence.connect()
    await client.send(wire.post())
    async with asyncio.timeout(wire.WITHIN_S):
        await upstream.arrived.wait()
    (handler,) = fence.proxy._handlers
    await client.send(b"more")
    handler.end()
    assert await client.rest() == b""
    assert (await fence.watcher.settlement()).usage == ONLY_THE_QUESTION


@pytest.mark.parametrize("status", ["301 Moved Permanently", "307 Temporary Redirect", "308 Permanent Redirect"])
async def test_a_redirect_leads_nobody_past_the_fence(fence, upstream, wire, status):
    upstream.answers.append(wire.answer(b"{}", status, "Location: https://elsewhere.example/v1/chat/completions"))
    answer = await fence.exchange(wire.post())
    assert (answer.status, "location" in answer) == (int(status[:3]), False)
    assert len(upstream.requests) == 1
