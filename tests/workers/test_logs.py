"""What processes say: as lines of JSON where machines read it, and never a secret."""

import http.client
import json
import logging
import signal
import socket
import subprocess
import sys

import pytest
from tests.workers.conftest import BODY, HEADERS, KEY, WITHIN_S, until

from modelfence.logs import JsonLines
from modelfence.workers.process import MODULE

PASSWORD = "the-password-of-redis"
INJECTED = "sk-of-the-fence"
UNKNOWN = "sk-of-nobody"


def record(message: str, *arguments: object, error: BaseException | None = None) -> logging.LogRecord:
    told = None if error is None else (type(error), error, error.__traceback__)
    return logging.LogRecord("a.b", logging.WARNING, "file", 1, message, arguments, told)


def test_a_record_is_one_line_of_json_whatever_it_holds():
    line = JsonLines(3).format(record('two\nlines, a "quote" and %s', "ü"))
    assert "\n" not in line
    assert {key: value for key, value in json.loads(line).items() if key != "ts"} == {
        "level": "WARNING",
        "logger": "a.b",
        "message": 'two\nlines, a "quote" and ü',
        "worker": 3,
    }


def test_a_traceback_is_inside_its_line():
    try:
        int("broken")
    except ValueError as error:
        line = JsonLines(None).format(record("it failed", error=error))
    assert "\n" not in line
    assert "ValueError: invalid literal" in json.loads(line)["exception"]


FAULTS = """
import logging, threading, warnings
from modelfence.logs import log_as

log_as("json", worker=3)
warnings.warn("a warning", UserWarning)
logging.getLogger("a").error("%d of %s", "one")

class Unclosable:
    def __del__(self):
        raise ValueError("on its way out")

Unclosable()
thread = threading.Thread(target=lambda: int("in a thread"))
thread.start()
thread.join()
raise SystemError("at the end")
"""


def test_what_python_says_by_itself_is_a_line_too():
    """Warnings, records that can't be put together, and errors where nobody is to catch them."""
    command = [sys.executable, "-c", FAULTS]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=WITHIN_S, check=False)  # noqa: S603 - a script of this file
    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    assert [line["level"] for line in lines] == ["WARNING", "ERROR", "ERROR", "ERROR", "CRITICAL"]
    assert {line["worker"] for line in lines} == {3}
    for line, says in zip(lines, ("a warning", "%d of %s", "__del__", "thread", "the process ends"), strict=True):
        assert says in line["message"]
    for line, says in zip(lines[2:], ("on its way out", "in a thread", "at the end"), strict=True):
        assert says in line["exception"]
    assert ended.returncode == 1


def test_a_worker_that_fails_before_it_has_its_orders_says_so_in_a_line():
    command = [sys.executable, "-m", MODULE, "998", "999", "json", "2"]  # of sockets that are not open
    ended = subprocess.run(command, capture_output=True, text=True, timeout=WITHIN_S, check=False)  # noqa: S603 - our own
    [line] = [json.loads(line) for line in ended.stderr.splitlines()]
    assert (line["level"], line["worker"]) == ("CRITICAL", 2)
    assert "Bad file descriptor" in line["exception"]
    assert ended.returncode == 1


@pytest.fixture
def secret_settings(settings, start_redis):
    """Settings with a Redis that asks for a password, and an API whose key the fence holds."""
    server = start_redis("--requirepass", PASSWORD)
    [upstream] = settings["upstreams"]
    return settings | {
        "store": f"redis://:{PASSWORD}@127.0.0.1:{server.port}",
        "upstreams": [upstream | {"credential": {"env": "UP_KEY"}}],
    }


def break_off(fence) -> None:
    """Send what is no request, with a key in it."""
    for broken in (
        f"POST /{KEY} HTTP/9.9\r\n\r\n",
        f"GET / HTTP/1.1\r\nauthorization Bearer {KEY}\r\n\r\n",
        f"{KEY}\r\n\r\n",
    ):
        with socket.create_connection((fence.customers.hostname, fence.customers.port), timeout=WITHIN_S) as raw:
            raw.sendall(broken.encode())
            raw.recv(1000)
    connection = http.client.HTTPConnection(fence.customers.netloc, timeout=WITHIN_S)
    connection.request("POST", "/v1/chat/completions", BODY[:-1], HEADERS)
    connection.getresponse().read()
    connection.close()


@pytest.mark.parametrize("form", ["json", "text"])
def test_no_key_and_no_password_is_in_what_a_run_says(start_fence, secret_settings, write, form, tmp_path):
    fence = start_fence(secret_settings, "--log-format", form, UP_KEY=INJECTED)
    assert fence.call() == 200
    assert fence.call(authorization=f"Bearer {UNKNOWN}") == 401
    break_off(fence)
    (tmp_path / "policy.yaml").write_text("version: 1\naccess: [{id: a, alow: 'true'}]\n")
    fence.process.send_signal(signal.SIGHUP)
    until(lambda: "policy.yaml:2:" in fence.said, "the reload to fail")
    write(secret_settings | {"store": f"redi://:{PASSWORD}@127.0.0.1"})
    fence.process.send_signal(signal.SIGUSR2)
    until(lambda: "there is no rolling restart" in fence.said, "the settings to be read")
    fence.end()
    said = fence.said
    assert not {secret for secret in (KEY, UNKNOWN, INJECTED, PASSWORD) if secret in said}
    assert "modelfence listens on" in said
    if form == "json":
        lines = [json.loads(line) for line in said.splitlines()]
        assert all(line.keys() - {"exception"} == {"ts", "level", "logger", "message", "worker"} for line in lines)
