"""`modelfence run`: what it says, what it serves, and when it refuses to start."""

import json
import os
import signal
import subprocess
import urllib.error
import urllib.request

import pytest
from tests.cli.conftest import COMMAND
from tests.redis_servers import free_port

from modelfence.core.call import key_digest

WITHIN_S = 10
ACCOUNTS = f'accounts: [{{id: acme, keys: ["{key_digest("sk-acme")}"], status: active, tier: basic}}]\n'


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=WITHIN_S) as answer:  # noqa: S310 - on this machine
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.fixture
def flags(tmp_path, upstream):
    (tmp_path / "accounts.yaml").write_text(ACCOUNTS)
    return ("run", "--upstream", upstream, "--accounts", "accounts.yaml", "--listen", "127.0.0.1:0")


FREE = {"MODELFENCE_ADMIN": "127.0.0.1:0", "MODELFENCE_TRUSTED_PROXIES": "127.0.0.0/8"}


def test_an_api_and_accounts_are_enough_to_protect_it(start_modelfence, flags, upstream, fetch):
    fence = start_modelfence(*flags, **FREE)
    assert f"/ -> {upstream} (openai)" in fence.said
    assert "default.yaml" in fence.said
    assert "country of 2026-06-17" in fence.said
    assert "store     memory" in fence.said
    assert fetch(f"{fence.url}/v1/chat/completions", key="sk-acme") == (
        200,
        {"path": "/v1/chat/completions", "key": "Bearer sk-acme"},
    )
    status, refusal = fetch(f"{fence.url}/v1/chat/completions", key="sk-other")
    assert (status, refusal["error"]["code"]) == (401, "invalid_api_key")
    status, refusal = fetch(f"{fence.url}/v1/chat/completions", key="sk-acme", address="175.45.176.1")
    assert (status, "not available in your region" in refusal["error"]["message"]) == (403, True)


def test_operators_have_a_port_of_their_own(start_modelfence, flags, fetch):
    fence = start_modelfence(*flags, **FREE)
    fetch(f"{fence.url}/v1/chat/completions", key="sk-acme")
    assert get(f"{fence.admin}/livez") == (200, "alive\n")
    assert get(f"{fence.admin}/readyz") == (
        200,
        '{"ready": true, "missing": {}, "workers": {"serving": 1, "wanted": 1}}\n',
    )
    status, metrics = get(f"{fence.admin}/metrics")
    assert status == 200
    assert 'modelfence_requests_total{effect="allow",mode="enforce",operation="chat",provider="openai"} 1.0' in metrics
    assert 'modelfence_geo_database_built_timestamp_seconds{database="country"}' in metrics
    assert get(f"{fence.admin}/elsewhere")[0] == 404
    for path in ("/metrics", "/livez", "/readyz"):
        assert get(f"{fence.url}{path}")[0] in (401, 403)


def test_a_store_that_is_away_makes_it_unready(start_modelfence, flags, start_redis, fetch):
    server = start_redis()
    fence = start_modelfence(*flags, "--store", server.url, **FREE)
    assert get(f"{fence.admin}/readyz")[0] == 200
    server.kill()
    status, answer = get(f"{fence.admin}/readyz")
    assert (status, json.loads(answer)["missing"]) == (
        503,
        {"store": f"{server.url} does not answer, or can't be written to"},
    )
    status, refusal = fetch(f"{fence.url}/v1/chat/completions", key="sk-acme")
    assert (status, refusal["error"]["type"]) == (503, "server_error")
    server.start()


def test_a_store_that_every_throttle_can_do_without_does_not_make_it_unready(
    start_modelfence, flags, start_redis, tmp_path
):
    (tmp_path / "local.yaml").write_text(
        "version: 1\naccess:\n  - {id: all, allow: 'kyc.tier >= tier.basic'}\n"
        "throttle:\n  - {id: t, key: account.id, rate: 60 per minute, on_store_failure: local}\n"
    )
    server = start_redis()
    fence = start_modelfence(*flags, "--store", server.url, "--policy", "local.yaml", **FREE)
    server.kill()
    status, answer = get(f"{fence.admin}/readyz")
    assert (status, json.loads(answer)["store_circuit"]) == (200, "closed")
    server.start()


def test_signals_about_workers_that_come_before_there_are_any_do_no_harm(tmp_path, environment_of):
    os.mkfifo(tmp_path / "settings.yaml")
    command = [*COMMAND, "run", "--config", "settings.yaml"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment_of(), stderr=subprocess.PIPE) as process:  # noqa: S603
        with (tmp_path / "settings.yaml").open("w") as settings:  # waits until it reads
            process.send_signal(signal.SIGHUP)
            process.send_signal(signal.SIGUSR2)
            settings.write("workers: none\n")
        _, said = process.communicate(timeout=WITHIN_S)
    assert process.returncode == 2
    assert b"settings.yaml:1:10" in said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_when_told_to(start_modelfence, flags, number):
    fence = start_modelfence(*flags, **FREE)
    fence.process.send_signal(number)
    assert fence.process.wait(WITHIN_S) == 0


def test_what_it_prints_holds_no_key(start_modelfence, tmp_path, upstream, fetch):
    (tmp_path / "accounts.yaml").write_text(ACCOUNTS)
    (tmp_path / "modelfence.yaml").write_text(
        f"listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\naccounts: accounts.yaml\ntrusted_proxies: [127.0.0.0/8]\n"
        f"upstreams: [{{name: up, dialect: openai, url: '{upstream}', prefix: /up, credential: {{env: UP_KEY}}}}]\n"
    )
    fence = start_modelfence("run", UP_KEY="sk-of-the-fence")
    assert fetch(f"{fence.url}/up/v1/chat/completions", key="sk-acme") == (
        200,
        {"path": "/v1/chat/completions", "key": "Bearer sk-of-the-fence"},
    )
    assert fetch(f"{fence.url}/v1/chat/completions", key="sk-acme")[0] == 404
    fence.process.terminate()
    said = fence.said + fence.process.stderr.read()
    assert "sk-of-the-fence" not in said
    assert "sk-acme" not in said


@pytest.mark.parametrize(("prompts", "kept"), [("false", "without prompts"), ("true", "with the callers' prompts")])
def test_it_says_what_it_records_and_what_it_has_recorded_when_it_stops_can_be_replayed(
    start_modelfence, modelfence, flags, fetch, tmp_path, prompts, kept
):
    record = {"MODELFENCE_RECORD_PATH": "calls.jsonl", "MODELFENCE_RECORD_PROMPTS": prompts}
    fence = start_modelfence(*flags, **FREE, **record)
    assert f"recording {tmp_path}/calls.jsonl ({kept})" in fence.said
    for key in ("sk-acme", "sk-other"):
        fetch(f"{fence.url}/v1/chat/completions", key=key)
    fence.process.terminate()
    assert fence.process.wait(WITHIN_S) == 0
    recording = (tmp_path / "calls.jsonl").read_text()
    lines = [json.loads(line) for line in recording.splitlines()]
    assert [line["credential"] for line in lines] == [key_digest("sk-acme"), key_digest("sk-other")]
    assert [line.get("status") for line in lines] == [200, None]
    assert ["messages" in line.get("body", {}) for line in lines] == [prompts == "true"] * 2
    assert not {"sk-acme", "sk-other"} & set(recording.split('"'))
    assert (tmp_path / "calls.jsonl").stat().st_mode & 0o777 == 0o600
    replayed = modelfence("replay", "calls.jsonl", "--accounts", "accounts.yaml", "--out", "decisions.jsonl")
    assert replayed.returncode == 0, replayed.stderr
    decisions = [json.loads(line) for line in (tmp_path / "decisions.jsonl").read_text().splitlines()]
    assert [(one["effect"], one["account"]) for one in decisions] == [("allow", "acme"), ("deny", None)]


BAD_POLICY = "version: 1\naccess:\n  - id: a\n    deny: client.contry == 'X'\n"


@pytest.mark.parametrize(
    ("files", "arguments", "expected"),
    [
        ({}, [], "there is nothing to protect: give --upstream"),
        ({}, ["--upstream", "https://x.test"], "nobody could ever be let in"),
        ({"a.yaml": "accounts: []"}, ["--upstream", "https://x.test", "--accounts", "a.yaml"], "a.yaml holds none"),
        ({}, ["--upstream", "https://x.test", "--accounts", "no.yaml"], "can't read the accounts: No such file"),
        ({}, ["--upstream", "x.test"], "a URL like https://api.openai.com is expected here"),
        ({}, ["--upstream", "https://x.test", "--policy", "no.yaml"], "no.yaml can't be read: No such file"),
        (
            {"a.yaml": ACCOUNTS, "p.yaml": "version: 1\naccess: [{id: a, allow: 'true', mode: shadow}]"},
            ["--upstream", "https://x.test", "--accounts", "a.yaml", "--policy", "p.yaml"],
            "has no `allow` that is enforced",
        ),
        ({"p.yaml": BAD_POLICY}, ["--upstream", "https://x.test", "--policy", "p.yaml"], "did you mean `client.country`?"),
        ({}, ["--config", "no.yaml"], "can't read the settings: No such file"),
        ({}, ["--upstream", "https://x.test", "--store", "mysql://x"], "a store is `memory`"),
        ({}, ["--upstream", "https://x.test", "--workers", "2"], "--workers:1:1: several workers need a shared store: give `store: redis://…`"),
        (
            {"a.yaml": ACCOUNTS.replace("basic", "basics")},
            ["--upstream", "https://x.test", "--accounts", "a.yaml"],
            "did you mean `basic`?",
        ),
        (
            {"a.yaml": ACCOUNTS, "modelfence.yaml": "geo: {country: a.yaml}"},
            ["--upstream", "https://x.test", "--accounts", "a.yaml"],
            "geo.country",
        ),
        ({"a.yaml": ACCOUNTS}, ["--upstream", "https://x.test", "--accounts", "a.yaml", "--listen", "192.0.2.1:80"], "can't listen on 192.0.2.1:80"),
        (
            {"a.yaml": ACCOUNTS, "modelfence.yaml": "record: {path: nowhere/calls.jsonl}"},
            ["--upstream", "https://x.test", "--accounts", "a.yaml"],
            "nowhere/calls.jsonl: its folder does not exist",
        ),
    ],
)  # fmt: skip
def test_it_refuses_to_start_and_says_what_to_do(files, arguments, expected, modelfence, tmp_path):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    ended = modelfence("run", *arguments, MODELFENCE_ADMIN="127.0.0.1:0", MODELFENCE_LISTEN="127.0.0.1:0")
    assert ended.returncode == 2
    assert expected in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_it_does_not_protect_itself(modelfence, tmp_path, host):
    (tmp_path / "accounts.yaml").write_text(ACCOUNTS)
    port = free_port()
    ended = modelfence(
        "run", "--upstream", f"http://127.0.0.1:{port}", "--accounts", "accounts.yaml", "--listen", f"{host}:{port}",
        MODELFENCE_ADMIN="127.0.0.1:0",
    )  # fmt: skip
    assert ended.returncode == 2
    assert "is this fence itself" in ended.stderr


def test_a_policy_that_lets_in_the_anonymous_needs_no_accounts(start_modelfence, tmp_path, upstream, fetch):
    (tmp_path / "open.yaml").write_text("version: 1\naccess:\n  - {id: all, allow: 'client.country != \"KP\"'}\n")
    fence = start_modelfence("run", "--upstream", upstream, "--policy", "open.yaml", "--listen", "127.0.0.1:0", **FREE)
    assert fetch(f"{fence.url}/v1/chat/completions")[0] == 200
