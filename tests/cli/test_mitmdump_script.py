"""The script for mitmproxy's stock runner, as the operators' page has it run."""

import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from modelfence.core.call import key_digest

SCRIPT = Path(__file__).parents[2] / "proxy" / "modelfence" / "cli" / "mitmdump_script.py"
MITMDUMP = Path(sys.executable).parent / "mitmdump"
WITHIN_S = 30
ACCOUNTS = f'accounts: [{{id: acme, keys: ["{key_digest("sk-acme")}"], status: active, tier: basic}}]\n'


@pytest.fixture
def mitmdump(tmp_path, environment_of):
    """Starts mitmdump with the script; what it says comes line by line."""
    started = []

    def start(**variables: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(  # noqa: S603 - what we installed
            [MITMDUMP, "-s", SCRIPT, "--mode", "reverse:http://127.0.0.1:9", "--set", "connection_strategy=lazy", "--set", f"confdir={tmp_path}",
             "--listen-host", "127.0.0.1", "--listen-port", "0"],
            cwd=tmp_path, env=environment_of(PYTHONUNBUFFERED="1", **variables), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        started.append((process, threading.Timer(WITHIN_S, process.kill)))
        started[-1][1].start()
        return process

    yield start
    for process, too_late in started:
        too_late.cancel()
        with process:
            process.kill()


def test_it_protects_the_upstream_of_the_settings(mitmdump, tmp_path, upstream, fetch):
    (tmp_path / "accounts.yaml").write_text(ACCOUNTS)
    (tmp_path / "modelfence.yaml").write_text(
        f"accounts: accounts.yaml\ntrusted_proxies: [127.0.0.0/8]\n"
        f"upstreams: [{{name: up, dialect: openai, url: '{upstream}'}}]\n"
    )
    process = mitmdump(MODELFENCE_CONFIG=str(tmp_path / "modelfence.yaml"))
    said, port, warned = "", None, False
    for line in process.stdout:
        said += line
        port = port or re.search(r"listening at \S*127\.0\.0\.1:(\d+)", line)
        warned = warned or "stock runner, which it can't guard" in line
        if port and warned:
            break
    assert port, said
    assert fetch(f"http://127.0.0.1:{port[1]}/v1/chat/completions", key="sk-acme")[0] == 200
    assert fetch(f"http://127.0.0.1:{port[1]}/v1/chat/completions", key="sk-other")[0] == 401


def test_with_a_wrong_setting_nothing_is_served(mitmdump):
    process = mitmdump(MODELFENCE_STORE="sqlite")
    said, _ = process.communicate(timeout=WITHIN_S)
    assert process.returncode != 0
    assert "a store is `memory`" in said
