"""`modelfence accounts import` and `sync`, against real Redis servers."""

import asyncio
import json
import signal
import socket
import subprocess

import pytest
from tests.cli.conftest import COMMAND, WITHIN_S

from modelfence.adapters.redis.accounts import RedisAccounts
from modelfence.adapters.redis.accounts_writer import RedisAccountsWriter
from modelfence.cli import main
from modelfence.core.account import Account, Check, Entry, Key
from modelfence.core.call import key_digest

HEAD = "id,status,tier,keys\n"
ACME = f"acme,active,basic,{key_digest('sk-acme')}\n"
OTHERS = "".join(f"a-{n},active,basic,{key_digest(f'sk-{n}')}\n" for n in range(450))


class Accounts:
    """The accounts in a Redis of the test's own, and the commands that change them."""

    def __init__(self, url, folder, capsys) -> None:
        self.url, self.folder, self.capsys = url, folder, capsys
        (folder / "policy.yaml").write_text("version: 1\naccess: [{id: all, allow: 'true'}]\ntiers: [none, basic]\n")

    def run(self, command: str, text: str, *flags: str, name: str = "accounts.csv") -> tuple[int, str, str]:
        """Run a command on a file that holds this; return status, output and complaints."""
        (self.folder / name).write_text(text)
        words = [command, str(self.folder / name), "--store", self.url, "--policy", str(self.folder / "policy.yaml")]
        status = main(["accounts", *words, *flags])
        return status, *self.capsys.readouterr()

    def find(self, key: str) -> tuple[Check, str]:
        async def found():
            accounts = RedisAccounts(self.url, deadline_s=20)
            try:
                return await accounts.find(key_digest(key), 0)
            finally:
                await accounts.close()

        one = asyncio.run(found())
        return one.check, one.owner.id if one.owner else ""

    def put(self, *entries: Entry) -> None:
        async def written():
            writer = RedisAccountsWriter(self.url, deadline_s=20)
            await writer.put(entries)
            await writer.close()

        asyncio.run(written())


@pytest.fixture
def accounts(start_redis, tmp_path, capsys, monkeypatch) -> Accounts:
    monkeypatch.chdir(tmp_path)
    return Accounts(start_redis().url, tmp_path, capsys)


def test_what_is_imported_can_call_and_the_report_says_what_changed(accounts):
    assert accounts.run("import", HEAD + ACME) == (0, "+ acme\n1 added, 0 unchanged\n", "")
    assert accounts.find("sk-acme") == (Check.VALID, "acme")
    changed = ACME.replace("active", "suspended").replace("basic", "none")
    status, said, _ = accounts.run("import", HEAD + changed + OTHERS)
    assert status == 0
    assert "~ acme (status, tier)\n" in said
    assert said.endswith("+ a-19\n+ 430 more\n~ acme (status, tier)\n450 added, 1 changed, 0 unchanged\n")
    assert accounts.run("import", HEAD + changed + OTHERS)[1] == "451 unchanged\n"


def test_a_dry_run_changes_nothing_and_says_what_would_be_changed(accounts):
    accounts.run("import", HEAD + ACME)
    status, said, _ = accounts.run("sync", HEAD + OTHERS, "--dry-run", "--max-removed", "1")
    assert (status, said.splitlines()[-2:]) == (0, ["- acme", "450 would be added, 1 would be removed, 0 unchanged"])
    assert accounts.find("sk-0")[0] is Check.UNKNOWN
    assert accounts.find("sk-acme")[0] is Check.VALID


def test_a_sync_removes_who_is_not_in_the_file_and_an_import_does_not(accounts):
    accounts.run("import", HEAD + OTHERS)
    accounts.run("import", HEAD + ACME)
    assert accounts.find("sk-0") == (Check.VALID, "a-0")
    lines = OTHERS.splitlines(keepends=True)
    status, said, _ = accounts.run("sync", HEAD + ACME + "".join(lines[5:]))
    assert (status, said) == (0, "- a-0\n- a-1\n- a-2\n- a-3\n- a-4\n5 removed, 446 unchanged\n")
    assert accounts.find("sk-0")[0] is Check.UNKNOWN
    assert accounts.find("sk-5")[0] is Check.VALID


@pytest.mark.parametrize(("most", "allowed"), [(None, 45), ("44", 44), ("9%", 40), ("0", 0), ("0%", 0)])
def test_a_sync_that_would_remove_too_many_changes_nothing(accounts, most, allowed):
    accounts.run("import", HEAD + OTHERS)
    kept = "".join(OTHERS.splitlines(keepends=True)[46:]).replace("active", "closed")
    flags = ("--max-removed", most) if most else ()
    status, said, complaint = accounts.run("sync", HEAD + kept, *flags)
    assert (status, said) == (2, "")
    assert complaint == (
        f"modelfence accounts: 46 of 450 accounts would be removed, and --max-removed {most or '10%'} allows {allowed}; "
        "nothing was changed\n"
    )
    assert accounts.run("sync", HEAD + OTHERS)[1] == "450 unchanged\n"


def test_json_holds_the_counts_and_the_first_of_each_kind(accounts):
    accounts.run("import", HEAD + ACME)
    text = json.dumps({"id": "acme", "status": "closed", "tier": "basic", "keys": []})
    status, said, _ = accounts.run("sync", text, "--format", "json", name="accounts.jsonl")
    assert status == 0
    assert json.loads(said) == {
        "dry_run": False,
        "added": 0,
        "changed": 1,
        "removed": 0,
        "unchanged": 0,
        "fields": {"keys": 1, "status": 1},
        "first": {"added": [], "changed": [{"account": "acme", "fields": ["status", "keys"]}], "removed": []},
    }


def test_nothing_is_written_when_anything_is_wrong(accounts):
    status, said, _ = accounts.run("import", HEAD + ACME + "b,active,gold,\n")
    assert status == 1
    assert said.startswith(f"{accounts.folder}/accounts.csv:3:10: the policy has no tier `gold` [unknown-tier]\n")
    assert said.endswith("accounts.csv: 1 problem; nothing was changed\n")
    assert accounts.find("sk-acme")[0] is Check.UNKNOWN
    status, said, _ = accounts.run("import", HEAD + "b,active,gold,\n", "--format", "json")
    assert (status, json.loads(said)["problems"][0]["code"]) == (1, "unknown-tier")


def test_a_key_is_not_taken_from_an_account_that_is_not_in_the_file(accounts):
    accounts.put(Entry(Account("umbrella", "active", "basic"), (Key(key_digest("sk-acme")),)))
    status, said, _ = accounts.run("import", HEAD + OTHERS + ACME)
    digits = key_digest("sk-acme").removeprefix("sha256:")[:12]
    assert status == 1
    assert (
        f"accounts.csv:452:1: the key {digits}… of `acme` is a key of `umbrella` in Redis, which is not in this file "
        "[shared-key]\n"
    ) in said
    assert accounts.find("sk-0")[0] is Check.UNKNOWN
    assert accounts.find("sk-acme") == (Check.VALID, "umbrella")
    assert accounts.run("import", HEAD + ACME + "umbrella,closed,basic,\n")[0] == 0
    assert accounts.find("sk-acme") == (Check.VALID, "acme")


def test_what_a_file_is_can_be_said_where_its_name_does_not(accounts):
    status, _, complaint = accounts.run("import", HEAD + ACME, name="accounts.txt")
    assert (status, complaint.partition("say what ")[2]) == (
        2,
        f"{accounts.folder}/accounts.txt is: --from csv, jsonl, yaml\n",
    )
    assert accounts.run("import", HEAD + ACME, "--from", "csv", name="accounts.txt")[0] == 0


def test_without_a_redis_nothing_can_be_done(accounts):
    status, _, complaint = accounts.run("import", HEAD + ACME, "--store", str(accounts.folder / "other.yaml"))
    assert (status, complaint) == (
        2,
        "modelfence accounts: name the Redis with the accounts: --store redis://…, or `accounts` in the settings\n",
    )
    accounts.url = "redis://:hunter2@127.0.0.1:1"
    status, said, complaint = accounts.run("import", HEAD + ACME)
    assert (status, said) == (2, "")
    assert complaint.startswith("modelfence accounts: the accounts in redis://127.0.0.1:1 can't be used: Redis: ")
    assert "hunter2" not in complaint


@pytest.mark.parametrize("most", ["", "ten", "101%", "-1", "1.5%"])
def test_what_may_be_removed_is_a_number_or_a_share(accounts, most):
    with pytest.raises(SystemExit):
        accounts.run("sync", HEAD + ACME, f"--max-removed={most}")


def test_one_that_is_interrupted_says_so(environment_of, tmp_path):
    (tmp_path / "some.csv").write_text("id,status,tier\na,active,basic\n")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}"
        with subprocess.Popen(  # noqa: S603 - our own command
            [*COMMAND, "accounts", "import", "some.csv", "--store", url],
            cwd=tmp_path, env=environment_of(), stderr=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            silent.settimeout(WITHIN_S)
            with silent.accept()[0]:
                process.send_signal(signal.SIGINT)
                _, said = process.communicate(timeout=WITHIN_S)
    assert (process.returncode, said) == (2, "interrupted\n")
