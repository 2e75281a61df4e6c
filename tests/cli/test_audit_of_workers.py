"""The audit log of real processes: each worker has a chain, and whatever becomes of it leaves one that is whole."""

import json
import signal
import time

import pytest

from modelfence.adapters.audit.reading import verified
from modelfence.audit.chain import Seals
from modelfence.core.call import key_digest

CALLS = 20
WITHIN_S = 20
ACCOUNTS = f'accounts: [{{id: acme, keys: ["{key_digest("sk-acme")}"], status: active, tier: verified}}]\n'
OPEN = "version: 1\naccess: [{id: customers, allow: 'kyc.status == \"active\"'}]\n"


@pytest.fixture
def flags(tmp_path, upstream):
    (tmp_path / "accounts.yaml").write_text(ACCOUNTS)
    (tmp_path / "policy.yaml").write_text(OPEN)
    flags = ("--upstream", upstream, "--accounts", "accounts.yaml", "--policy", "policy.yaml")
    return ("run", *flags, "--listen", "127.0.0.1:0")


VARIABLES = {
    "MODELFENCE_ADMIN": "127.0.0.1:0",
    "MODELFENCE_TRUSTED_PROXIES": "127.0.0.0/8",
    "MODELFENCE_AUDIT_PATH": "audit.jsonl",
}


def test_a_log_is_whole_when_its_fence_was_killed_and_goes_on_with_the_next(start_modelfence, flags, fetch, tmp_path):
    killed = start_modelfence(*flags, **VARIABLES)
    for _ in range(CALLS):
        assert fetch(f"{killed.url}/v1/chat/completions", key="sk-acme")[0] == 200
    killed.process.kill()
    killed.process.wait(WITHIN_S)
    (left,) = verified([tmp_path], Seals())
    assert left.verified.breaks == []
    stopped = start_modelfence(*flags, **VARIABLES)
    assert fetch(f"{stopped.url}/v1/chat/completions", key="sk-acme")[0] == 200
    assert fetch(f"{stopped.url}/v1/chat/completions", key="sk-other")[0] == 401
    stopped.process.send_signal(signal.SIGTERM)
    assert stopped.process.wait(WITHIN_S) == 0
    (then,) = verified([tmp_path], Seals())
    assert then.verified.breaks == []
    assert left.verified.lines + 2 <= then.verified.lines <= CALLS + 2


def test_each_of_several_workers_has_a_chain_and_together_they_have_every_call(
    start_modelfence, flags, fetch, tmp_path, redis_server
):
    variables = {**VARIABLES, "MODELFENCE_WORKERS": "2", "MODELFENCE_STORE": f"{redis_server.url}/11"}
    fence = start_modelfence(*flags, **variables)
    give_up_s = time.monotonic() + WITHIN_S
    while not (tmp_path / "audit.w1.head").exists():
        assert time.monotonic() < give_up_s
        fetch(f"{fence.url}/v1/chat/completions")  # which is refused
    for _ in range(CALLS):
        assert fetch(f"{fence.url}/v1/chat/completions", key="sk-acme")[0] == 200
    fence.process.send_signal(signal.SIGTERM)
    assert fence.process.wait(WITHIN_S) == 0
    assert [(one.chain.name, one.verified.breaks) for one in verified([tmp_path], Seals())] == [
        (str(tmp_path / "audit.w0"), []),
        (str(tmp_path / "audit.w1"), []),
    ]
    lines = [json.loads(line) for path in tmp_path.glob("audit.w*.jsonl") for line in path.read_bytes().splitlines()]
    assert [line["settled"] for line in lines if line["effect"] == "allow"] == [True] * CALLS
