"""`modelfence accounts key …`, `suspend`, `close` and `activate`, and a fence that hears of them."""

import json
import signal
import time
import urllib.request
from datetime import UTC, datetime, timedelta

import pytest

from modelfence.core.call import key_digest
from modelfence.core.virtual_key import is_damaged

TODAY = datetime.now(UTC).date()
TEXT = f"""\
# Customers.
accounts:
  - id: acme   # the first
    keys:
      - "{key_digest("sk-1")}"   # made by hand
    status: active
    tier: basic
    country: US
"""


@pytest.fixture(autouse=True)
def accounts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "accounts.yaml").write_text(TEXT)
    (tmp_path / "modelfence.yaml").write_text("accounts: accounts.yaml\n")
    return tmp_path / "accounts.yaml"


def day(number: int) -> str:
    return str(TODAY + timedelta(days=number))


def minted(ran) -> str:
    assert ran.returncode == 0, ran.stderr
    secret = ran.stdout.removesuffix("\n")
    assert secret.startswith("mf_")
    assert not is_damaged(secret)
    return secret


def listed(run_here) -> list[tuple[str, str, str, str | None]]:
    keys = json.loads(run_here("accounts", "key", "list", "acme", "--format", "json").stdout)
    return [(key["digest"], key["name"], key["state"], key["expires"]) for key in keys]


def test_a_key_is_printed_once_and_its_digest_kept(run_here, accounts):
    ran = run_here("accounts", "key", "new", "acme", "--name", "ci", "--expires", "90d")
    secret = minted(ran)
    assert ran.stderr == f"`acme` has the key {key_digest(secret)[7:19]}; it is shown this once\n"
    added = f'      - {{digest: "{key_digest(secret)}", name: ci, expires: {day(91)}}}\n'
    assert accounts.read_text() == TEXT.replace("   # made by hand\n", f"   # made by hand\n{added}")
    assert secret not in accounts.read_text()
    assert minted(run_here("accounts", "key", "new", "acme")) != secret
    assert len(listed(run_here)) == 3


def test_a_key_can_be_printed_with_the_line_to_add(run_here, accounts):
    ran = run_here("accounts", "key", "new", "acme", "--name", "ci", "--expires", "2999-01-01", "--print-only")
    secret, item = ran.stdout.splitlines()
    assert item == f'{{digest: "{key_digest(secret)}", name: ci, expires: 2999-01-01}}'
    assert accounts.read_text() == TEXT


def test_a_key_is_rotated_with_an_overlap(run_here):
    old = minted(run_here("accounts", "key", "new", "acme", "--name", "ci"))
    ran = run_here("accounts", "key", "rotate", "acme", "--name", "ci", "--overlap", "7d", "--expires", "30d")
    new = minted(ran)
    assert f"the old one is valid until {day(8)} at the latest" in ran.stderr
    assert listed(run_here)[1:] == [
        (key_digest(old), "ci", "valid", day(8)),
        (key_digest(new), "ci", "valid", day(31)),
    ]
    ran = run_here("accounts", "key", "rotate", "acme", "--name", "ci")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert f"say which by --digest: {key_digest(old)[7:19]}, {key_digest(new)[7:19]}" in ran.stderr


def test_a_key_is_revoked(run_here):
    ran = run_here("accounts", "key", "revoke", "acme", "--digest", key_digest("sk-1")[7:19])
    assert (ran.returncode, ran.stdout) == (0, "revoked a key of `acme`\n")
    assert run_here("accounts", "key", "list", "acme").stdout == f"{key_digest('sk-1')[7:19]}  -  revoked\n"


@pytest.mark.parametrize(("command", "status"), [("suspend", "suspended"), ("close", "closed"), ("activate", "active")])
def test_the_status_of_an_account_is_changed(run_here, accounts, command, status):
    ran = run_here("accounts", command, "acme", "--accounts", "accounts.yaml")
    assert (ran.returncode, ran.stdout) == (0, f"`acme` is {status}\n")
    assert accounts.read_text() == TEXT.replace("status: active", f"status: {status}")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("key", "new", "acne"), "there is no account `acne`"),
        (("key", "list", "acne"), "there is no account `acne`"),
        (("suspend", "acne"), "there is no account `acne`"),
        (("key", "new", "acme", "--accounts", "none.yaml"), "can't read the accounts"),
        (("key", "new", "acme", "--name", "a\nb"), "a name has 1 to 64 printable characters"),
        (("key", "new", "acme", "--name", "a" * 65), "a name has 1 to 64 printable characters"),
        (("key", "new", "acme", "--name", " "), "a name has 1 to 64 printable characters"),
        (("key", "new", "acme", "--expires", "2020-01-01"), "2020-01-01 is past"),
        (("key", "new", "acme", "--expires", day(0)), "is past"),
        (("key", "new", "acme", "--expires", "soon"), "a number of days like 30d is expected here"),
        (("key", "revoke", "acme", "--name", "none"), "`acme` has no such key that is not revoked"),
        (("key", "revoke", "acme", "--digest", "ab"), "give at least 8 digits of a digest"),
        (("key", "revoke", "acme"), "one of the arguments --name --digest is required"),
        (("key", "rotate", "acme", "--name", "none"), "`acme` has no such valid key"),
    ],
)
def test_what_can_not_be_done_is_said_and_nothing_changed(run_here, accounts, arguments, words):
    ran = run_here("accounts", *arguments)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert words in ran.stderr
    assert accounts.read_text() == TEXT


def test_no_key_is_handed_out_for_a_file_with_errors(run_here, accounts):
    accounts.write_text(TEXT.replace("status: active", "status: activ"))
    ran = run_here("accounts", "key", "new", "acme")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "did you mean `active`?" in ran.stderr


def test_a_running_fence_lets_a_new_key_in_and_a_revoked_one_no_more(
    run_here, start_modelfence, upstream, fetch, tmp_path
):
    settings = {"listen": "127.0.0.1:0", "admin": "127.0.0.1:0", "accounts": "accounts.yaml", "policy": "policy.yaml"}
    (tmp_path / "policy.yaml").write_text('version: 1\naccess: [{id: customers, allow: kyc.status == "active"}]\n')
    (tmp_path / "modelfence.yaml").write_text(json.dumps(settings))
    running = start_modelfence("run", "--upstream", upstream)
    url = running.url + "/v1/chat/completions"

    def read_again_until(key: str, status: int) -> None:
        running.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 20.0
        while fetch(url, key=key)[0] != status:
            assert time.monotonic() < deadline, f"never {status}"

    key = minted(run_here("accounts", "key", "new", "acme", "--name", "ci"))
    assert fetch(url, key=key[:-1])[0] == 401
    with urllib.request.urlopen(f"{running.admin}/metrics", timeout=20) as answer:  # noqa: S310 - on this machine
        assert b'modelfence_credentials_total{check="malformed"} 1.0\n' in answer.read()
    read_again_until(key, 200)
    assert run_here("accounts", "key", "revoke", "acme", "--name", "ci").returncode == 0
    read_again_until(key, 401)
