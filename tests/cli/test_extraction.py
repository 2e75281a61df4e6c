"""`modelfence extraction`: what a running fence knows of cohorts, and the fingerprints of templates."""

import json
import urllib.request

import pytest

from modelfence.core.call import key_digest

TEMPLATE = (
    "Below is a riddle from the northern isles. Say what it is about, show every step by which you came to that, and"
    " then make up one more of the same kind that nobody has heard before. The riddle:"
)
ACCOUNTS = 12
POLICY = "version: 1\naccess: [{id: all, allow: kyc.tier >= tier.basic}]\n"


@pytest.fixture
def running(start_modelfence, upstream, tmp_path):
    """A fence that has seen a campaign of twelve accounts."""
    lines = [
        f"  - {{id: a{n}, keys: ['{key_digest(f'sk-{n}')}'], status: active, tier: basic}}" for n in range(ACCOUNTS)
    ]
    (tmp_path / "accounts.yaml").write_text("accounts:\n" + "\n".join(lines) + "\n")
    (tmp_path / "policy.yaml").write_text(POLICY)

    def start(*more: str):
        fence = start_modelfence(
            "run", "--listen", "127.0.0.1:0", "--upstream", upstream, "--accounts", "accounts.yaml",
            "--policy", "policy.yaml", *more, MODELFENCE_ADMIN="127.0.0.1:0",
        )  # fmt: skip
        for turn in range(3):
            for n in range(ACCOUNTS):
                ask(fence.url, f"sk-{n}", f"{TEMPLATE} x{n} y{turn} walks on z{n * 7 + turn}")
        return fence

    return start


def ask(url: str, key: str, text: str) -> None:
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]}).encode()
    headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}
    with urllib.request.urlopen(urllib.request.Request(f"{url}/v1/chat/completions", body, headers), timeout=10):  # noqa: S310
        pass


def test_a_running_fence_lists_its_cohorts(running, modelfence, tmp_path):
    admin = running().admin.removeprefix("http://")
    listed = modelfence("extraction", "cohorts", "--admin", admin, "--format", "json")
    assert (listed.returncode, listed.stderr) == (0, "")
    [cohort] = json.loads(listed.stdout)
    assert (cohort["accounts"], cohort["tiers"], cohort["countries"]) == (
        ACCOUNTS,
        {"basic": ACCOUNTS},
        {"unknown": 12},
    )
    assert cohort["score"] > 0.5

    shown = modelfence("extraction", "cohorts", "--admin", admin).stdout
    assert shown.splitlines()[0].split()[:5] == ["cohort", "score", "accounts", "calls", "tokens"]
    assert f"fingerprint  {cohort['fingerprint']}" in shown
    assert "because      shared_template +0." in shown

    (tmp_path / "template.txt").write_text(TEMPLATE)
    printed = modelfence("extraction", "fingerprint", "template.txt").stdout.strip()
    (tmp_path / "policy.yaml").write_text(f"{POLICY}extraction: {{exempt: ['{printed}']}}\n")
    exempting = running().admin.removeprefix("http://")
    assert "is exempt by" in modelfence("extraction", "cohorts", "--admin", exempting).stdout


def test_cohorts_are_read_from_the_redis_that_fences_share(running, modelfence, start_redis):
    redis_server = start_redis()
    running("--store", redis_server.url)
    listed = modelfence("extraction", "cohorts", "--store", redis_server.url, "--format", "json")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert [cohort["accounts"] for cohort in json.loads(listed.stdout)] == [ACCOUNTS]
    gone = modelfence("extraction", "cohorts", "--store", "redis://127.0.0.1:9")
    assert gone.returncode == 2
    assert "can't be used" in gone.stderr


def test_where_no_fence_runs_that_is_said(modelfence):
    ended = modelfence("extraction", "cohorts", "--admin", "127.0.0.1:9")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "is a fence running" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_template_has_a_fingerprint_and_so_has_each_part_of_a_request(modelfence, tmp_path):
    (tmp_path / "template.txt").write_text(TEMPLATE)
    alone = modelfence("extraction", "fingerprint", "template.txt")
    assert (alone.returncode, len(alone.stdout.strip())) == (0, 64)
    messages = [{"role": "system", "content": TEMPLATE}, {"role": "user", "content": "hello"}]
    (tmp_path / "call.json").write_text(json.dumps({"messages": messages}))
    parts = modelfence("extraction", "fingerprint", "call.json")
    assert parts.stdout == f"system: {alone.stdout}"
    assert "the message has too few words" in parts.stderr
    as_json = modelfence("extraction", "fingerprint", "--format", "json", "call.json")
    assert json.loads(as_json.stdout) == {"system": alone.stdout.strip()}


@pytest.mark.parametrize(
    ("file", "text", "status", "said"),
    [
        ("short.txt", "just hello to you", 1, "too few words"),
        ("absent.txt", None, 2, "absent.txt can't be read"),
        ("bytes.txt", "\udcff", 2, "is not UTF-8 text"),
    ],
)
def test_what_has_no_fingerprint_is_told_why(modelfence, tmp_path, file, text, status, said):
    if text is not None:
        (tmp_path / file).write_bytes(text.encode(errors="surrogateescape"))
    ended = modelfence("extraction", "fingerprint", file)
    assert (ended.returncode, ended.stdout) == (status, "")
    assert said in ended.stderr


def test_a_key_of_ones_own_makes_other_fingerprints_and_must_be_long(modelfence, tmp_path):
    (tmp_path / "template.txt").write_text(TEMPLATE)
    (tmp_path / "key").write_text("0123456789abcdef\n")
    (tmp_path / "modelfence.yaml").write_text("extraction: {key_file: key}\n")
    own = modelfence("extraction", "fingerprint", "template.txt").stdout
    (tmp_path / "modelfence.yaml").unlink()
    assert own != modelfence("extraction", "fingerprint", "template.txt").stdout
    (tmp_path / "key").write_text("short")
    ended = modelfence("extraction", "fingerprint", "template.txt", MODELFENCE_EXTRACTION_KEY_FILE="key")
    assert ended.returncode == 2
    assert "openssl rand -hex 32" in ended.stderr
