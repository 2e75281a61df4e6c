"""`modelfence throttle show` and `reset`, against a real Redis and while a fence runs on it."""

import json
import re
import uuid

import pytest

from modelfence.core.call import key_digest

POLICY = """\
version: 1
access:
  - {id: customers, allow: kyc.status == "active"}
throttle:
  - {id: requests, key: account.id, rate: 60 per day, burst: 3}
  - {id: tokens, key: account.id, unit: input_tokens, rate: 86400 per day, burst: 100}
"""


@pytest.fixture
def folder(tmp_path, redis_server):
    (tmp_path / "policy.yaml").write_text(POLICY)
    account = {"id": "acme", "keys": [key_digest("sk-acme")], "status": "active", "tier": "basic", "country": "US"}
    (tmp_path / "accounts.yaml").write_text(json.dumps({"accounts": [account]}))
    settings = {
        "listen": "127.0.0.1:0",
        "admin": "127.0.0.1:0",
        "policy": "policy.yaml",
        "accounts": "accounts.yaml",
        "store": redis_server.url,
        "store_prefix": f"cli-{uuid.uuid4()}",
    }
    (tmp_path / "modelfence.yaml").write_text(json.dumps(settings))
    return tmp_path


def rows(printed: str) -> list[list[str]]:
    return [re.split(r" {2,}", line) for line in printed.splitlines()]


def test_buckets_are_shown_and_reset_while_the_fence_runs(modelfence, start_modelfence, upstream, fetch, folder):
    url = start_modelfence("run", "--upstream", upstream).url + "/v1/chat/completions"
    assert [fetch(url, key="sk-acme")[0] for _ in range(4)] == [200, 200, 200, 429]
    shown = modelfence("throttle", "show", "acme")
    assert shown.returncode == 0, shown.stderr
    head, requests, tokens = rows(shown.stdout)
    assert head == ["throttle", "unit", "left", "of", "debt", "full in"]
    assert requests[:5] == ["requests", "requests", "0", "3", "0"]
    assert re.fullmatch(r"1h( \d+m)?", requests[5])
    assert tokens[0] == "tokens"
    assert (folder / "modelfence.yaml").exists()

    reset = modelfence("throttle", "reset", "acme", "--throttle", "requests")
    assert (reset.returncode, reset.stdout) == (0, "full again for `acme`: requests\n")
    assert rows(modelfence("throttle", "show", "acme").stdout)[1] == ["requests", "requests", "3", "3", "0", "full"]
    assert fetch(url, key="sk-acme")[0] == 200


def test_debt_is_shown_and_forgiven(modelfence, redis_server, folder):
    prefix = json.loads((folder / "modelfence.yaml").read_text())["store_prefix"]
    seconds, microseconds = redis_server.command("TIME")
    full_at_us = int(seconds) * 1_000_000 + int(microseconds) + 150_000_000  # of 100 tokens, a second each
    redis_server.command("SET", f"{prefix}:bucket:{{acme}}:tokens", full_at_us, "PX", 150_000)
    [tokens] = json.loads(modelfence("throttle", "show", "acme", "--throttle", "tokens", "--format", "json").stdout)
    assert (tokens["left"], tokens["burst"], tokens["unit"], tokens["key"]) == (0, 100, "input_tokens", "acme")
    assert 40 <= tokens["debt"] <= 50
    assert 140 <= tokens["full_in_s"] <= 150
    assert modelfence("throttle", "reset", "acme").returncode == 0
    [tokens] = json.loads(modelfence("throttle", "show", "acme", "--throttle", "tokens", "--format", "json").stdout)
    assert (tokens["left"], tokens["debt"], tokens["full_in_s"]) == (100, 0, 0)


def test_looking_changes_nothing_and_needs_no_key_of_an_upstream(modelfence, redis_server, folder):
    settings = json.loads((folder / "modelfence.yaml").read_text())
    prefix = settings["store_prefix"]
    settings["upstreams"] = [
        {"name": "a", "dialect": "openai", "url": "http://a.test", "credential": {"env": "NO_KEY"}}
    ]
    (folder / "modelfence.yaml").write_text(json.dumps(settings))
    assert modelfence("throttle", "show", "acme").returncode == 0
    assert redis_server.command("KEYS", f"{prefix}:*") == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--throttle", "reqests"), "the policy has no throttle `reqests`; it has: requests, tokens"),
        (("--store", "memory"), "the buckets are in the memory of the fence"),
        (("--policy", "none.yaml"), "none.yaml can't be read"),
        (("--store", "redis://127.0.0.1:1"), "Redis"),
    ],
)
def test_what_can_not_be_done_is_said_in_a_sentence(modelfence, folder, arguments, words):
    assert folder
    for command in ("show", "reset"):
        ended = modelfence("throttle", command, "acme", *arguments)
        assert ended.returncode == 2
        assert words in ended.stderr
        assert "Traceback" not in ended.stderr


def test_a_throttle_that_only_the_candidate_has_is_shown_once_it_acts(modelfence, folder):
    (folder / "next.yaml").write_text(POLICY + "  - {id: trial, key: account.id, rate: 5 per day}\n")
    settings = json.loads((folder / "modelfence.yaml").read_text()) | {"candidate": "next.yaml"}
    for canary, expected in (("0 %", ["requests", "tokens"]), ("5 %", ["requests", "tokens", "trial"])):
        (folder / "modelfence.yaml").write_text(json.dumps(settings | {"canary": canary}))
        shown = modelfence("throttle", "show", "acme")
        assert sorted(row[0] for row in rows(shown.stdout)[1:]) == expected, shown.stderr
    (folder / "next.yaml").write_text("acess: []\n")
    assert modelfence("throttle", "show", "acme").returncode == 0
