"""What is asked and answered: the same bytes for every subject, and what reads HTTP/1.1 off a connection.

Twenty accounts ask, each with prompts of its own, so that nothing is measured that is remembered of one call only.
"""

import json
import random
from itertools import cycle, islice, product
from typing import Protocol

ACCOUNTS = 20
PROMPTS = 400
MODEL = "gpt-4o"
ANSWER_WORDS = 150
_WORDS = ["".join(three) for three in product(("ba", "de", "fi", "go", "lu", "me", "no", "ru"), repeat=3)]


def key(account: int) -> str:
    """Return the credential of an account."""
    return f"sk-bench-{account}"


class Questions:
    """The requests for one subject; `headers` are lines that it needs besides."""

    def __init__(self, headers: tuple[str, ...] = ()) -> None:
        self._headers = "".join(f"{line}\r\n" for line in headers)
        choose = random.Random(0)  # noqa: S311 - prompts, the same in every run
        prompts = [" ".join(choose.choices(_WORDS, k=80)) for _ in range(PROMPTS)]
        self._plain = cycle([self._request(n, {"messages": _said(prompt)}) for n, prompt in enumerate(prompts)])
        self._prompts = cycle(enumerate(prompts))

    def plain(self) -> bytes:
        """Return the next request for an answer in one piece."""
        return next(self._plain)

    def streamed(self, name: str, events: int) -> bytes:
        """Return the next request for a stream of so many events, which the upstream knows by that name."""
        n, prompt = next(self._prompts)
        return self._request(n, {"messages": _said(prompt), "stream": True, "max_tokens": events, "user": name})

    def _request(self, n: int, fields: dict[str, object]) -> bytes:
        body = json.dumps({"model": MODEL, **fields}).encode()
        head = (
            "POST /v1/chat/completions HTTP/1.1\r\nHost: bench.test\r\nAccept: */*\r\nUser-Agent: bench\r\n"
            f"Authorization: Bearer {key(n % ACCOUNTS)}\r\nContent-Type: application/json\r\n{self._headers}"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


def _said(prompt: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": prompt}]


def _usage(answered: int) -> dict[str, int]:
    return {"prompt_tokens": 110, "completion_tokens": answered, "total_tokens": 110 + answered}


def _whole() -> bytes:
    message = {"role": "assistant", "content": " ".join(islice(cycle(_WORDS), ANSWER_WORDS))}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": MODEL}
    body = json.dumps({**head, "choices": [choice], "usage": _usage(ANSWER_WORDS)}).encode()
    return (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Request-Id: req_1\r\n"
        b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    )


def _event(choices: list[object], **fields: object) -> bytes:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": MODEL}
    data = f"data: {json.dumps({**head, 'choices': choices, **fields})}\n\n".encode()
    return b"%x\r\n%s\r\n" % (len(data), data)


WHOLE = _whole()
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
EVENT = _event([{"index": 0, "delta": {"content": "lantern "}, "finish_reason": None}])


def stream_end(events: int, *, with_usage: bool) -> bytes:
    """Return what ends a stream after so many events."""
    end = _event([{"index": 0, "delta": {}, "finish_reason": "stop"}])
    usage = _event([], usage=_usage(events)) if with_usage else b""
    done = b"data: [DONE]\n\n"
    return end + usage + b"%x\r\n%s\r\n0\r\n\r\n" % (len(done), done)


class Receiver(Protocol):
    """Who is told what a reader reads."""

    def head(self, head: bytes) -> None: ...
    def piece(self, piece: bytes) -> None: ...
    def end(self) -> None: ...


class Reader:
    """Reads messages whose bodies have a length or come in chunks, and trusts them to be well formed."""

    def __init__(self, told: Receiver) -> None:
        self._told = told
        self._buffer = b""
        self._in_body = False
        self._chunked = False
        self._left = 0

    def feed(self, data: bytes) -> None:
        """Take what has come."""
        self._buffer += data
        while self._buffer and (self._read_body() if self._in_body else self._read_head()):
            pass

    def _read_head(self) -> bool:
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return False
        self._buffer, self._in_body = rest, True
        lower = head.lower()
        self._chunked = b"\r\ntransfer-encoding: chunked" in lower
        self._left = 0 if self._chunked else int(lower.partition(b"\r\ncontent-length:")[2].split(b"\r\n")[0] or 0)
        self._told.head(head)
        if not self._chunked and not self._left:
            self._end()
        return True

    def _read_body(self) -> bool:
        return self._read_chunk() if self._chunked else self._read_length()

    def _read_length(self) -> bool:
        piece, self._buffer = self._buffer[: self._left], self._buffer[self._left :]
        self._left -= len(piece)
        self._told.piece(piece)
        if not self._left:
            self._end()
        return True

    def _read_chunk(self) -> bool:
        line, found, rest = self._buffer.partition(b"\r\n")
        if not found:
            return False
        size = int(line, 16)
        if len(rest) < size + 2:
            return False
        self._buffer = rest[size + 2 :]
        if size:
            self._told.piece(rest[:size])
        else:
            self._end()
        return True

    def _end(self) -> None:
        self._in_body = False
        self._told.end()
