"""`modelfence replay`, run as a person does: what goes in, what comes out, and where."""

import gzip
import json
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

from modelfence.core.call import key_digest

POLICY = """\
version: 1
access:
  - {id: customers, allow: kyc.status == "active" && request.operation != "unknown"}
  - {id: no-secrets, deny: request.model == "secret"}
  - {id: not-from-there, deny: request.provider == "second"}
throttle:
  - {id: calls, key: account.id, rate: 60 per hour, burst: 2}
  - {id: tokens, key: account.id, unit: output_tokens, rate: 3600 per hour, burst: 500}
  - {id: soon, key: account.id, rate: 1 per hour, mode: shadow}
"""
AT_S = 1772409600
CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 100}


def line(ts=AT_S, key="sk-acme", **changes):
    """Return a line of a chat completion, with some fields replaced and those that become ... left out."""
    fields = {
        "ts": ts,
        "client_ip": "8.8.4.4",
        "method": "POST",
        "path": "/v1/chat/completions",
        "headers": {"authorization": f"Bearer {key}", "content-type": "application/json"},
        "body": CHAT,
        "usage": {"input_tokens": 9, "output_tokens": 10},
    } | changes
    return json.dumps({name: value for name, value in fields.items() if value is not ...})


def decisions(text):
    return [json.loads(one) for one in text.splitlines()]


def effects(text):
    return [one.get("effect", "broken") for one in decisions(text)]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "policy.yaml").write_text(POLICY)
    account: dict[str, object] = {"status": "active", "tier": "basic", "country": "US"}
    accounts = [account | {"id": name, "keys": [key_digest(f"sk-{name}")]} for name in ("acme", "other")]
    (tmp_path / "accounts.yaml").write_text(json.dumps({"accounts": accounts}))
    return tmp_path


@pytest.fixture
def replay(folder, modelfence):
    """Replays these lines, and gives what the command printed; `--out` goes to standard output unless told otherwise."""

    def run(lines, *arguments: str, out="-", **variables):
        (folder / "recording.jsonl").write_text("".join(f"{one}\n" for one in lines))
        files = ("--policy", "policy.yaml", "--accounts", "accounts.yaml")
        where = ("--out", out) if out else ()
        return modelfence("replay", "recording.jsonl", *files, *where, *arguments, **variables)

    return run


# What comes of each line


def test_each_line_gets_a_decision(replay):
    ended = replay([line(), line(AT_S + 1.5), line(AT_S + 2), line(AT_S + 2, key="sk-nobody")])
    assert ended.returncode == 0, ended.stderr
    nothing = {"extraction": {"score": 0.0, "cohort": "", "signals": []}, "unknown": []}
    alone: dict[str, object] = {"would": None, "shadow_rules": []}
    assert decisions(ended.stdout) == [
        {"n": 0, "ts": AT_S, "effect": "allow", "rules": ["customers"], "account": "acme", **nothing, "retry_after": None, **alone},
        {
            "n": 1, "ts": AT_S + 1.5, "effect": "allow", "rules": ["customers"], "account": "acme", **nothing, "retry_after": None,
            "would": "throttle", "shadow_rules": ["soon"],
        },
        {"n": 2, "ts": AT_S + 2, "effect": "throttle", "rules": ["calls"], "account": "acme", **nothing, "retry_after": 58.0, **alone},
        {"n": 3, "ts": AT_S + 2, "effect": "deny", "rules": [], "account": None, **nothing, "retry_after": None, **alone},
    ]  # fmt: skip


def test_buckets_fill_by_the_recordings_clock(replay):
    at_s = [AT_S, AT_S, AT_S + 59.999999, AT_S + 60, AT_S + 60, AT_S + 86_400, AT_S + 86_400, AT_S + 86_400]
    ended = replay(map(line, at_s))
    assert effects(ended.stdout) == ["allow", "allow", "throttle", "allow", "throttle", "allow", "allow", "throttle"]


@pytest.mark.parametrize(
    ("end", "next_effect", "retry_after"),
    [
        ({"usage": {"output_tokens": 10}}, "allow", None),
        ({"usage": {"output_tokens": 401}}, "throttle", 1.0),
        ({"usage": {"output_tokens": 1_000}}, "throttle", 600.0),  # debt
        ({"usage": {"output_tokens": 1_000}, "status": 500}, "allow", None),
        ({"usage": None, "status": None}, "allow", None),
        ({"usage": ..., "status": ...}, "allow", None),  # its limit: 100
        ({"usage": ..., "body": {**CHAT, "max_tokens": 401}}, "throttle", 1.0),
        ({"usage": ..., "body": {**CHAT, "max_tokens": 401, "stream": True}}, "throttle", 1.0),
        ({"usage": ..., "body": {**CHAT, "max_tokens": None}}, "throttle", 624.0),  # 1,024 are assumed
    ],
)
def test_a_call_is_charged_what_its_line_says_or_an_estimate(replay, end, next_effect, retry_after):
    ended = replay([line(**end), line()])
    first, second = decisions(ended.stdout)
    assert first["effect"] == "allow"
    assert (second["effect"], second["retry_after"]) == (next_effect, retry_after)


@pytest.mark.parametrize(
    "changes",
    [
        {"body": {"messages": []}},
        {"body": {**CHAT, "max_tokens": "100"}},
        {"body": ...},
        {"body": [1]},
        {"headers": {"authorization": "Bearer sk-acme", "x-api-key": "sk-other"}},
        {"headers": {"authorization": "Bearer sk-acme", "content-type": "text/plain"}},
        {"headers": {"authorization": "Bearer sk-acme", "content-encoding": "br"}},
        {"headers": {"authorization": "Bearer sk-acme\n"}},
        {"path": "/v1/../v1/chat/completions"},
        {"path": "/v1/chät"},
        {"method": "TRACE"},
        {"bytes": 21 << 20},
    ],
)
def test_what_the_live_fence_refuses_unjudged_is_rejected(replay, changes):
    ended = replay([line(**changes), line()])
    rejected, after = decisions(ended.stdout)
    assert (rejected["effect"], rejected["rules"], rejected["account"]) == ("reject", [], None)
    assert (ended.returncode, after["effect"]) == (0, "allow")


def test_a_body_that_gives_a_key_twice_is_rejected_where_the_fence_reads_it(replay):
    twice = line().replace('"model"', '"model": "secret", "model"')
    elsewhere = twice.replace("/v1/chat/completions", "/v1/elsewhere")
    assert effects(replay([twice, elsewhere]).stdout) == ["reject", "deny"]


def test_a_query_does_not_hide_a_path(replay):
    assert effects(replay([line(path="/v1/chat/completions?a=/b")]).stdout) == ["allow"]


def test_a_line_may_give_the_keys_digest_in_place_of_headers(replay):
    lines = [
        line(headers=..., credential=credential)
        for credential in (key_digest("sk-acme"), key_digest("sk-nobody"), None, "malformed")
    ]
    assert effects(replay(lines).stdout) == ["allow", "deny", "deny", "deny"]


def test_a_line_may_say_whose_token_it_was(replay):
    of = {"headers": ..., "credential": key_digest("eyJhIjoxfQ.e30.c2ln")}
    ended = replay([line(**of, account="acme"), line(**of, account="nobody"), line(**of), line(**of, account=7)])
    assert effects(ended.stdout) == ["allow", "deny", "deny", "broken"]


def test_a_line_may_give_what_was_read_in_place_of_the_body(replay):
    reading = {"operation": "chat", "model": "secret"}
    redacted = {"headers": ..., "body": ..., "credential": key_digest("sk-acme"), "provider": "first", "bytes": 7}
    lines = [
        line(**redacted, reading=reading),
        line(**redacted, reading=reading | {"model": "gpt-4o"}, fingerprint={"item": 7, "last": [1, 2, 3]}),
        line(**redacted | {"provider": "second"}, reading=reading | {"model": "gpt-4o"}),
    ]
    assert [one["rules"] for one in decisions(replay(lines).stdout)] == [
        ["no-secrets"],
        ["customers"],
        ["not-from-there"],
    ]


# Broken and late lines


def test_broken_lines_are_named_and_do_not_stop_the_run(replay):
    ended = replay([line(), "{", line(path=...), "", line(AT_S + 1)])
    assert ended.returncode == 1
    assert effects(ended.stdout) == ["allow", "broken", "broken", "broken", "allow"]
    assert decisions(ended.stdout)[1:4] == [
        {"n": 1, "error": "it is not JSON: Expecting property name enclosed in double quotes at column 2"},
        {"n": 2, "error": "`path` is missing"},
        {"n": 3, "error": "it is empty"},
    ]
    assert ended.stderr.startswith(
        "recording.jsonl:2: it is not JSON: Expecting property name enclosed in double quotes at column 2\n"
        "recording.jsonl:3: `path` is missing\n"
        "recording.jsonl:4: it is empty\n"
    )
    assert "broken    3 lines not judged" in ended.stderr


def test_not_all_of_many_broken_lines_are_complained_of(replay):
    ended = replay(["{}"] * 25, out=None)
    assert ended.returncode == 1
    assert ended.stderr.count("`ts` is missing") == 20
    assert ended.stderr.endswith("… and 5 more broken lines; the decisions (--out) name all of them\n")


def test_time_does_not_go_back(replay):
    ended = replay([line(), line(), line(AT_S - 3_600), line(AT_S - 60), line(AT_S + 60)])
    assert effects(ended.stdout) == ["allow", "allow", "throttle", "throttle", "allow"]
    assert decisions(ended.stdout)[2]["ts"] == AT_S - 3_600
    assert decisions(ended.stdout)[2]["retry_after"] == 60.0
    late = "it is earlier than a line before it, so it is judged at the time of that one"
    assert ended.stderr.startswith(f"recording.jsonl:3: {late}\n")
    assert ended.stderr.count(late) == 1
    assert "late      2 lines earlier than a line before, judged at the time of that one" in ended.stderr


# Where it comes from and goes to


def test_a_recording_may_be_gzip_or_standard_input(replay, folder, modelfence):
    lines = [line(), line(AT_S + 1), line(AT_S + 2)]
    plain = replay(lines)
    recorded = (folder / "recording.jsonl").read_bytes()
    # Two members, as a recording has that was added to.
    (folder / "recording.jsonl.gz").write_bytes(gzip.compress(recorded[:500]) + gzip.compress(recorded[500:]))
    files = ("--policy", "policy.yaml", "--accounts", "accounts.yaml", "--out", "-")
    assert modelfence("replay", "recording.jsonl.gz", *files).stdout == plain.stdout
    for sent in (recorded, gzip.compress(recorded)):
        piped = subprocess.run(  # noqa: S603 - our own command
            [
                sys.executable,
                "-c",
                "import sys; from modelfence.cli import main; sys.exit(main())",
                "replay",
                "-",
                *files,
            ],
            cwd=folder,
            input=sent,
            capture_output=True,
            timeout=30,
            check=True,
        )
        assert piped.stdout.decode() == plain.stdout


def test_the_last_line_needs_no_end(folder, modelfence):
    (folder / "recording.jsonl").write_text(line())
    ended = modelfence(
        "replay", "recording.jsonl", "--policy", "policy.yaml", "--accounts", "accounts.yaml", "--out", "-"
    )
    assert (ended.returncode, effects(ended.stdout)) == (0, ["allow"])


def test_a_gzip_file_that_is_not_whole_can_not_be_replayed_to_its_end(folder, modelfence):
    packed = gzip.compress("".join(line(AT_S + n) + "\n" for n in range(50)).encode())
    (folder / "cut.gz").write_bytes(packed[: len(packed) // 2])
    ended = modelfence("replay", "cut.gz", "--policy", "policy.yaml", "--accounts", "accounts.yaml")
    assert ended.returncode == 2
    assert ended.stderr.startswith("modelfence replay: the recording cut.gz can't be read: it is not whole: ")


def test_decisions_go_to_a_file_and_the_summary_to_standard_output(replay, folder):
    lines = [
        line(AT_S + n / 10, key) for n, key in enumerate(["sk-acme", "sk-other", "sk-nobody", "sk-acme", "sk-acme"])
    ]
    lines += [line(AT_S + 5, body=[])]
    ended = replay(lines, out="decisions.jsonl")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert effects((folder / "decisions.jsonl").read_text()) == [
        "allow",
        "allow",
        "deny",
        "allow",
        "throttle",
        "reject",
    ]
    first, policy, *rest = ended.stdout.splitlines()
    assert first.startswith("6 requests replayed in ")
    assert policy.startswith("policy    policy.yaml (")
    assert rest == [
        "from      2026-03-02 00:00:00 UTC",
        "to        2026-03-02 00:00:05 UTC",
        "",
        "effect    requests   share  in shadow",
        "allow            3  50.00%          0",
        "deny             1  16.67%          0",
        "throttle         1  16.67%          1",
        "reject           1  16.67%          0",
        "",
        "effect    rule         mode     requests   share",
        "allow     customers    enforce         3  50.00%",
        "deny      (no allow)   enforce         1  16.67%",
        "throttle  calls        enforce         1  16.67%",
        "throttle  soon         shadow          1  16.67%",
        "reject    (malformed)  enforce         1  16.67%",
        "",
        "account  tier   cohort  score  requests  refused  tokens in  out",
        "acme     basic           0.00         3        1         18   20",
        "(none)   none            0.00         1        1          0    0",
        "other    basic           0.00         1        0          9   10",
        "(none): callers whose key belongs to no account",
    ]


def test_the_summary_is_json_when_asked_for(replay):
    ended = replay([line(), line(AT_S + 1), "{}", line(AT_S + 2)], "--format", "json", out=None)
    summary = json.loads(ended.stdout)
    assert summary.pop("took_s") > 0
    assert len(summary.pop("policy")) == 16
    assert summary == {
        "lines": 4,
        "broken": 1,
        "late": 0,
        "first_ts": AT_S,
        "last_ts": AT_S + 2,
        "effects": {"allow": 2, "throttle": 1},
        "would": {"throttle": 1},
        "rules": [
            {"effect": "allow", "rule": "customers", "mode": "enforce", "calls": 2},
            {"effect": "throttle", "rule": "calls", "mode": "enforce", "calls": 1},
            {"effect": "throttle", "rule": "soon", "mode": "shadow", "calls": 1},
        ],
        "accounts": [
            {
                "account": "acme",
                "tier": "basic",
                "calls": 3,
                "refused": 1,
                "input_tokens": 18,
                "output_tokens": 20,
                "score": 0.0,
                "cohort": "",
            }
        ],
    }


def test_an_empty_recording_is_fine(replay):
    ended = replay([], out=None)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("0 requests replayed in ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("none.jsonl",), "modelfence replay: the recording none.jsonl can't be read: No such file or directory"),
        ((".",), "modelfence replay: the recording . can't be read: Is a directory"),
        (("recording.jsonl", "--policy", "none.yaml"), "none.yaml can't be read: No such file or directory"),
        (("recording.jsonl", "--policy", "bad.yaml"), "bad.yaml:3:20: unknown fact `kyc.statuss` [unknown-fact]"),
        (("recording.jsonl", "--accounts", "none.yaml"), "none.yaml"),
        (
            ("recording.jsonl", "--store", "redis://127.0.0.1:1"),
            "modelfence replay: the store redis://127.0.0.1:1 can't be used",
        ),
        (("recording.jsonl", "--store", "bedis://127.0.0.1:1"), "[bad-store]"),
        (("recording.jsonl", "--out", "recording.jsonl"), "--out recording.jsonl is the recording itself"),
        (
            ("recording.jsonl", "--out", "none/out.jsonl"),
            "--out none/out.jsonl can't be written: No such file or directory",
        ),
        (("recording.jsonl", "--config", "none.yaml"), "none.yaml"),
        (("recording.jsonl", "--config", "a.yaml", "--dialect", "openai"), "not allowed with argument"),
    ],
)
def test_what_can_not_be_done_is_said(folder, modelfence, arguments, words):
    recorded = line() + "\n"
    (folder / "recording.jsonl").write_text(recorded)
    (folder / "bad.yaml").write_text('version: 1\naccess:\n  - {id: a, allow: kyc.statuss == "active"}\n')
    files = ("--policy", "policy.yaml", "--accounts", "accounts.yaml")
    ended = modelfence("replay", *files, *arguments)
    assert ended.returncode == 2
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""
    assert (folder / "recording.jsonl").read_text() == recorded


def test_the_upstreams_of_a_settings_file_say_which_paths_are_for_whom(replay, folder):
    upstreams: list[dict[str, object]] = [
        {"name": "first", "dialect": "openai", "url": "https://a.test", "credential": {"env": "NOT_SET"}},
        {"name": "second", "dialect": "openai", "url": "https://b.test", "prefix": "/b", "max_output_tokens": 7},
    ]
    # The store is that of a running fence, and not meant.
    settings = {
        "upstreams": upstreams,
        "policy": "policy.yaml",
        "accounts": "accounts.yaml",
        "store": "redis://127.0.0.1:1",
    }
    (folder / "modelfence.yaml").write_text(json.dumps(settings | {"limits": {"request_bytes": "200B"}}))
    lines = [
        line(),
        line(path="/b/v1/chat/completions"),
        line(path="/v1/chat/completions", headers=..., credential=key_digest("sk-acme"), provider="second"),
        line(body={**CHAT, "messages": [{"role": "user", "content": "Hi" * 100}]}),
        line(path="/bb/v1/chat/completions"),
    ]
    ended = replay(lines, "--config", "modelfence.yaml", MODELFENCE_STORE="redis://127.0.0.1:1")
    first, *others = [one["rules"] for one in decisions(ended.stdout)]
    assert (first, others) == (["customers"], [["not-from-there"], ["not-from-there"], [], ["no-secrets"]])
    assert effects(ended.stdout) == ["allow", "deny", "deny", "reject", "deny"]
    upstreams[0]["prefix"] = "/a"
    (folder / "modelfence.yaml").write_text(json.dumps(settings | {"upstreams": upstreams}))
    assert effects(replay(lines[:2], "--config", "modelfence.yaml").stdout) == ["reject", "deny"]
    # Where no settings are named, none are read.
    assert effects(replay(lines[:2]).stdout) == ["allow", "deny"]


# The same again


@pytest.fixture
def day():
    """A recording of everything: several accounts, streams, limits, errors, late, broken and redacted lines."""
    dice = random.Random(7)  # noqa: S311 - a test's dice
    lines, at_s = [], float(AT_S)
    for n in range(400):
        at_s += dice.choice([0, 0.001, 1, 20, -5, 90])
        body = {**CHAT, "max_tokens": dice.choice([None, 5, 100]), "stream": dice.random() < 0.5}
        changes = {"body": body, "usage": dice.choice([..., {"output_tokens": dice.randrange(200)}])}
        if n % 10 == 0:
            changes |= {"status": dice.choice([200, 500])}
        lines.append(
            "{" if n % 50 == 0 else line(round(at_s, 3), f"sk-{dice.choice(['acme', 'other', 'x'])}", **changes)
        )
    return lines


def test_the_same_recording_gives_the_same_decisions_in_memory_and_in_redis(replay, day, redis_server, redis_cluster):
    once = replay(day)
    assert {"allow", "throttle", "deny", "broken"} <= set(effects(once.stdout))
    for store in ("memory", redis_server.url, redis_cluster.url):
        again = replay(day, "--store", store)
        assert again.returncode == 1, again.stderr
        assert again.stdout == once.stdout
    assert redis_server.command("KEYS", "modelfence:replay*") == []


def test_a_store_that_fails_ends_the_replay(replay, day, start_redis):
    server = start_redis("--maxmemory", "1")
    ended = replay(day, "--store", server.url)
    assert ended.returncode == 2
    assert f"modelfence replay: the store {server.url} can't be used: Redis: " in ended.stderr
    assert effects(ended.stdout) == ["broken"]


def test_no_key_is_ever_printed(replay, day):
    ended = replay(day)
    assert "sk-" not in ended.stdout + ended.stderr


def test_it_starts_without_what_only_traffic_needs(folder):
    (folder / "recording.jsonl").write_text(line())
    told = subprocess.run(  # noqa: S603 - our own command
        [
            sys.executable,
            "-c",
            "import sys; from modelfence.cli import main; main(sys.argv[1:]); sys.exit('mitmproxy' in sys.modules)",
            *("replay", "recording.jsonl", "--policy", "policy.yaml", "--accounts", "accounts.yaml"),
        ],
        cwd=folder,
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert told.returncode == 0, told.stderr


def test_the_example_of_the_documents_is_what_comes_out(folder, modelfence):
    page = (Path(__file__).parents[2] / "docs" / "replay.md").read_text()
    recorded, decided = re.findall(r"^```json\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    [policy] = re.findall(r"^```yaml\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    [command] = re.findall(r"^```sh\nmodelfence (.*?)\n```", page, re.DOTALL | re.MULTILINE)
    (folder / "day.jsonl").write_text(recorded)
    (folder / "new.yaml").write_text(policy)
    assert modelfence(*command.split()).returncode == 1
    assert (folder / "decisions.jsonl").read_text() == decided


def test_accounts_may_be_in_redis_and_a_directory_that_fails_ends_the_replay(replay, start_redis, modelfence):
    server = start_redis()
    recording = [line(), line(key="sk-nobody")]
    in_file = replay(recording).stdout
    imported = modelfence("accounts", "import", "accounts.yaml", "--policy", "policy.yaml", "--store", server.url)
    assert imported.returncode == 0, imported.stderr
    assert effects(in_file) == effects(replay(recording, "--accounts", server.url).stdout) == ["allow", "deny"]
    server.command("SET", "modelfence:account:acme", "{}")
    ended = replay(recording, "--accounts", server.url)
    assert ended.returncode == 2
    assert f"modelfence replay: the accounts in {server.url} can't be used: Redis: the record of `acme`" in ended.stderr
