"""What a worker had reserved when it was killed comes back when its lease runs out: real processes on a real Redis."""

import json
import os
import signal
import threading
import time
import urllib.request
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from modelfence.core.call import key_digest

POLICY = """\
version: 1
access:
  - {id: customers, allow: kyc.status == "active"}
throttle:
  - {id: tokens, key: account.id, unit: output_tokens, rate: 3 per day, burst: 1000}
"""
LEASE_S = 2
WITHIN_S = 30


@pytest.fixture
def endless():
    """An API whose streams begin and then say nothing more."""
    begun, over = threading.Event(), threading.Event()

    class Silent(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.end_headers()
            self.wfile.write(b'data: {"choices":[{"index":0,"delta":{"content":"word"}}]}\n\n')
            begun.set()
            over.wait(WITHIN_S)

        def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002 - its name in the library

    server = ThreadingHTTPServer(("127.0.0.1", 0), Silent)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", begun
    over.set()
    server.shutdown()
    thread.join()
    server.server_close()


def test_what_a_killed_worker_had_reserved_comes_back(modelfence, start_modelfence, redis_server, endless, tmp_path):
    url, begun = endless
    account = {"id": "acme", "keys": [key_digest("sk-acme")], "status": "active", "tier": "basic", "country": "US"}
    (tmp_path / "policy.yaml").write_text(POLICY)
    (tmp_path / "accounts.yaml").write_text(json.dumps({"accounts": [account]}))
    settings = {
        "listen": "127.0.0.1:0",
        "admin": "127.0.0.1:0",
        "policy": "policy.yaml",
        "accounts": "accounts.yaml",
        "store": redis_server.url,
        "store_prefix": f"dies-{uuid.uuid4()}",
        "limits": {"lease_s": LEASE_S, "store_ms": 1000},
    }
    (tmp_path / "modelfence.yaml").write_text(json.dumps(settings))

    def left() -> int:
        shown = modelfence("throttle", "show", "acme", "--format", "json")
        assert shown.returncode == 0, shown.stderr
        return json.loads(shown.stdout)[0]["left"]

    fence = start_modelfence("run", "--upstream", url)
    body = json.dumps({"model": "m", "messages": [], "stream": True}).encode()
    headers = {"Authorization": "Bearer sk-acme", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{fence.url}/v1/chat/completions", body, headers)  # noqa: S310 - on this machine
    with urllib.request.urlopen(request, timeout=WITHIN_S):  # noqa: S310
        assert begun.wait(WITHIN_S)
        assert left() == 1000 - 256
        time.sleep(2 * LEASE_S)  # the lease is renewed while the worker lives
        assert left() == 1000 - 256
        [worker] = fence.workers()
        os.kill(worker, signal.SIGKILL)
    until = time.monotonic() + WITHIN_S
    while left() != 1000:
        assert time.monotonic() < until, "what was held never came back"
