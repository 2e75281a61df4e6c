"""`modelfence run` is told to stop: it is not ready, refuses whoever comes new, lets a stream end whole, and exits with 0."""

import http.client
import json
import signal
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from tests.cli.test_run import ACCOUNTS, get

WITHIN_S = 20
WORDS = 50
STREAM = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}], "stream": True})


class Streaming:
    """An API whose streams wait in the middle until they are let go."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                self.send_response(200)
                self.send_header("content-type", "text/event-stream")
                self.send_header("connection", "close")
                self.end_headers()
                for nth in range(WORDS):
                    if nth == WORDS // 2:
                        self.wfile.flush()
                        api.go_on.wait(WITHIN_S)
                    self.wfile.write(word(nth))
                self.wfile.write(b"data: [DONE]\n\n")
                self.close_connection = True

            def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002 - its name in the library

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


def word(nth: int) -> bytes:
    choice = {"index": 0, "delta": {"content": f"w{nth} "}, "finish_reason": None}
    return f"data: {json.dumps({'choices': [choice]})}\n\n".encode()


@pytest.fixture
def api():
    streaming = Streaming()
    thread = threading.Thread(target=streaming.server.serve_forever)
    thread.start()
    yield streaming
    streaming.go_on.set()
    streaming.server.shutdown()
    thread.join()
    streaming.server.server_close()


@pytest.fixture
def start(start_modelfence, tmp_path, api):
    """A function that starts a fence, and returns it with the answer that is under way and the first line of that."""
    (tmp_path / "accounts.yaml").write_text(ACCOUNTS)
    connections: list[http.client.HTTPConnection] = []

    def begun(**variables):
        fence = start_modelfence(
            "run", "--upstream", api.url, "--accounts", "accounts.yaml", "--listen", "127.0.0.1:0",
            MODELFENCE_ADMIN="127.0.0.1:0", MODELFENCE_TRUSTED_PROXIES="127.0.0.0/8", **variables,
        )  # fmt: skip
        connection = http.client.HTTPConnection(fence.url.removeprefix("http://"), timeout=WITHIN_S)
        connections.append(connection)
        headers = {"authorization": "Bearer sk-acme", "x-forwarded-for": "8.8.8.8", "connection": "close"}
        connection.request("POST", "/v1/chat/completions", STREAM, headers)
        answer = connection.getresponse()
        assert answer.status == 200
        return fence, answer, answer.readline()

    yield begun
    for connection in connections:
        connection.close()


def until_refused(fence) -> None:
    """Connect again and again until nobody accepts. Each attempt waits for an answer, or for the refusal."""
    host, port = fence.url.removeprefix("http://").split(":")
    while True:
        try:
            socket.create_connection((host, int(port)), WITHIN_S).close()
        except ConnectionResetError:
            pass  # it came in the moment between the last look into the queue and the end of it
        except ConnectionRefusedError:
            return


def test_a_stream_under_way_ends_whole_while_nobody_else_is_let_in(start, api):
    fence, answer, begun = start()
    fence.process.terminate()
    until_refused(fence)
    status, readiness = get(f"{fence.admin}/readyz")
    assert (status, json.loads(readiness)["missing"]) == (503, {"fence": "it is stopping"})
    assert get(f"{fence.admin}/livez") == (200, "alive\n")
    assert "modelfence_open_streams 1.0" in get(f"{fence.admin}/metrics")[1]
    api.go_on.set()
    assert begun + answer.read() == b"".join(map(word, range(WORDS))) + b"data: [DONE]\n\n"
    assert fence.process.wait(WITHIN_S) == 0


def test_at_the_deadline_a_stream_ends_in_its_apis_words_and_what_it_used_is_recorded(start, tmp_path):
    fence, answer, begun = start(MODELFENCE_LIMITS_DRAIN_S="0", MODELFENCE_RECORD_PATH="calls.jsonl")
    fence.process.terminate()
    *events, last, done = (begun + answer.read()).split(b"\n\n")[:-1]
    assert events == [word(nth).removesuffix(b"\n\n") for nth in range(WORDS // 2)]
    assert json.loads(last.removeprefix(b"data: "))["choices"][0]["finish_reason"] == "length"
    assert done == b"data: [DONE]"
    assert fence.process.wait(WITHIN_S) == 0
    [line] = map(json.loads, (tmp_path / "calls.jsonl").read_text().splitlines())
    assert (line["status"], line["usage"]["output_tokens"]) == (200, WORDS // 2)


def test_told_twice_it_ends_at_once(start):
    fence, _answer, _begun = start(MODELFENCE_LIMITS_DRAIN_S="3600")
    fence.process.terminate()
    until_refused(fence)
    fence.process.terminate()
    assert fence.process.wait(WITHIN_S) == 0


def test_signals_that_come_until_it_has_ended_make_no_failure_of_its_end(start, api):
    fence, _answer, _begun = start()
    api.go_on.set()
    fence.process.terminate()
    give_up_s = time.monotonic() + WITHIN_S
    while fence.process.poll() is None:
        assert time.monotonic() < give_up_s
        fence.process.send_signal(signal.SIGHUP)
        fence.process.send_signal(signal.SIGUSR2)
        time.sleep(0.002)  # without a pause it would do nothing but to take signals
    assert fence.process.returncode == 0
