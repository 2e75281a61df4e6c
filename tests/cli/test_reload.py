"""Files that change while the fence runs: seen, exchanged in all workers, or reported."""

import json
import os
import re
import signal
import socket
import ssl
import threading
import time
import urllib.request
from urllib.parse import urlsplit

import pytest
from tests.geo import write_database
from tests.tls_front import Authority

from modelfence.core.call import key_digest

WITHIN_S = 20.0
POLICY = "version: 1\ntiers: [none, basic]\naccess:\n  - {id: open, allow: 'kyc.status == \"active\"'}\n"
CLOSED = POLICY + "  - {id: closed, deny: 'true', message: Closed for today.}\n"
ACCOUNT = '  - {{id: {id}, keys: ["{digest}"], status: active, tier: basic}}\n'
PATH = "/v1/chat/completions"


def account(id: str, key: str) -> str:  # noqa: A002 - as in the file
    return ACCOUNT.format(id=id, digest=key_digest(key))


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=WITHIN_S) as answer:  # noqa: S310 - on this machine
        return answer.read().decode()


def until(is_so) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not is_so():
        assert time.monotonic() < deadline, "it never was"


@pytest.fixture
def fence(start_modelfence, redis_server, tmp_path, upstream):
    """Two workers, whose files are in the folder."""
    (tmp_path / "policy.yaml").write_text(POLICY)
    (tmp_path / "accounts.yaml").write_text("accounts:\n" + account("acme", "sk-acme"))
    write_database(tmp_path / "geo.mmdb", "GeoLite2-Country", {"127.0.0.0/8": {"country": {"iso_code": "US"}}})
    (tmp_path / "modelfence.yaml").write_text(
        f"listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nworkers: 2\npolicy: policy.yaml\naccounts: accounts.yaml\n"
        f"geo: {{country: geo.mmdb}}\nstore: {redis_server.url}\nstore_prefix: {tmp_path.name}\nlimits: {{store_ms: 2000}}\n"
        f"upstreams: [{{name: up, dialect: openai, url: '{upstream}'}}]\n"
    )
    (tmp_path / "temporary").mkdir()
    fence = start_modelfence("run", TMPDIR=str(tmp_path / "temporary"))
    until(lambda: json.loads(get(f"{fence.admin}/readyz"))["workers"]["serving"] == 2)
    return fence


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path, "authority")


@pytest.fixture
def tls_fence(start_modelfence, tmp_path, upstream, authority):
    """One worker, which serves TLS."""
    (tmp_path / "cert.pem").write_bytes(authority.certificate("localhost").read_bytes())
    (tmp_path / "accounts.yaml").write_text("accounts:\n" + account("acme", "sk-acme"))
    fence = start_modelfence(
        "run", "--upstream", upstream, "--accounts", "accounts.yaml", "--listen", "127.0.0.1:0",
        MODELFENCE_ADMIN="127.0.0.1:0", MODELFENCE_TLS_CERT="cert.pem",
    )  # fmt: skip
    context, port = ssl.create_default_context(cafile=authority.file), urlsplit(fence.url).port

    def met_with() -> bytes | None:
        with (
            socket.create_connection(("127.0.0.1", port), WITHIN_S) as connection,
            context.wrap_socket(connection, server_hostname="localhost") as secured,
        ):
            return secured.getpeercert(binary_form=True)

    fence.met_with = met_with
    return fence


def counted(fence, name: str) -> dict[str, float]:
    found = re.findall(rf"^modelfence_{name}(?:{{(.*)}})? (\S+)$", get(f"{fence.admin}/metrics"), re.MULTILINE)
    return {labels: float(value) for labels, value in found}


class Answers:
    """Asks again and again, on a new connection each time, so that all workers are asked."""

    def __init__(self, fence, fetch, key: str = "sk-acme") -> None:
        self.ask = lambda: fetch(f"{fence.url}{PATH}", key=key)

    def all_are(self, status: int, times: int = 40) -> bool:
        return all(self.ask()[0] == status for _ in range(times))


def test_a_policy_that_is_written_is_live_in_all_workers(fence, fetch, tmp_path):
    answers = Answers(fence, fetch)
    assert answers.all_are(200, times=10)
    for text, status in ((CLOSED, 403), (POLICY, 200)):
        (tmp_path / "policy.yaml").write_text(text)
        until(lambda status=status: answers.all_are(status))
    assert counted(fence, "policy_reloads_total") == {'result="ok"': 2, 'result="failed"': 0}


def test_what_workers_can_not_hand_each_other_is_live_in_none_until_they_can(fence, fetch, tmp_path):
    answers = Answers(fence, fetch)
    (folder,) = (tmp_path / "temporary").iterdir()
    folder.rename(away := tmp_path / "away")
    (tmp_path / "policy.yaml").write_text(CLOSED)
    until(lambda: "hand each other nothing" in get(f"{fence.admin}/readyz"))
    assert answers.all_are(200)
    away.rename(folder)
    fence.process.send_signal(signal.SIGHUP)
    until(lambda: answers.all_are(403))
    assert {*counted(fence, "worker_exits_total").values()} == {0}


def test_what_a_changed_policy_warns_of_is_told_once(fence, fetch, tmp_path):
    (tmp_path / "policy.yaml").write_text(CLOSED.replace("deny: 'true'", "deny: client.region == 'UA-43'"))
    until(lambda: Answers(fence, fetch).all_are(403))
    fence.process.terminate()
    _, said = fence.process.communicate(timeout=WITHIN_S)
    assert said.count("warning: the policy reads `client.region`, and no database under `geo` says it") == 1


def test_a_hangup_reloads_at_once(fence, fetch, tmp_path):
    answers = Answers(fence, fetch, key="sk-new")
    assert answers.ask()[0] == 401
    accounts = tmp_path / "accounts.yaml"
    accounts.write_text(accounts.read_text() + account("new", "sk-new"))
    fence.process.send_signal(signal.SIGHUP)
    until(lambda: answers.all_are(200))
    assert counted(fence, "reloads_total")['part="accounts",result="ok"'] == 1


def test_a_bad_policy_leaves_the_last_good_one_even_in_a_worker_that_takes_anothers_place(fence, fetch, tmp_path):
    said = threading.Thread(target=lambda: lines.extend(iter(fence.process.stderr.readline, "")))
    lines: list[str] = []
    said.start()
    (tmp_path / "policy.yaml").write_text(CLOSED.replace("deny: 'true'", "deny: client.contry == 'US'"))
    until(lambda: counted(fence, "policy_reloads_total")['result="failed"'] == 1)
    ready = json.loads(get(f"{fence.admin}/readyz"))
    assert ready["ready"] is True
    assert "policy.yaml:5:" in ready["stale"]["policy"]
    assert "unknown fact `client.contry`" in ready["stale"]["policy"]
    before = fence.workers()
    os.kill(before[0], signal.SIGKILL)
    until(lambda: len(fence.workers()) == 2 and set(fence.workers()) != set(before))
    until(lambda: json.loads(get(f"{fence.admin}/readyz"))["workers"]["serving"] == 2)
    os.kill(before[1], signal.SIGKILL)
    until(lambda: not set(fence.workers()) & set(before) and len(fence.workers()) == 2)
    until(lambda: json.loads(get(f"{fence.admin}/readyz"))["workers"]["serving"] == 2)
    assert Answers(fence, fetch).all_are(200)
    (tmp_path / "policy.yaml").write_text(CLOSED)
    until(lambda: Answers(fence, fetch).all_are(403))
    until(lambda: "stale" not in json.loads(get(f"{fence.admin}/readyz")))
    fence.process.terminate()
    said.join(WITHIN_S)
    assert any("unknown fact `client.contry`" in line for line in lines)


def test_a_bad_certificate_leaves_the_last_good_one_even_when_all_workers_are_replaced(tls_fence, authority, tmp_path):
    first = tls_fence.met_with()
    (tmp_path / "cert.pem").write_text("half a certificate")
    until(lambda: counted(tls_fence, "reloads_total")['part="tls",result="failed"'] == 1)
    (tmp_path / "accounts.yaml").write_text("accounts:\n" + account("other", "sk-other"))
    until(lambda: counted(tls_fence, "reloads_total")['part="accounts",result="ok"'] == 1)
    assert "cert.pem" in json.loads(get(f"{tls_fence.admin}/readyz"))["stale"]["tls"]
    (before,) = tls_fence.workers()
    os.kill(before, signal.SIGKILL)
    until(lambda: tls_fence.workers() != [before])
    assert tls_fence.met_with() == first  # once another one serves
    (tmp_path / "cert.pem").write_bytes(authority.certificate("localhost").read_bytes())
    until(lambda: tls_fence.met_with() != first)
    until(lambda: "stale" not in json.loads(get(f"{tls_fence.admin}/readyz")))


def test_a_database_that_is_written_over_in_place_ends_no_worker(fence, fetch, tmp_path):
    workers, database = fence.workers(), tmp_path / "geo.mmdb"
    whole = database.read_bytes()
    with database.open("r+b") as file:
        file.truncate(100)
    until(lambda: counted(fence, "reloads_total")['part="geo",result="failed"'] == 1)
    assert Answers(fence, fetch).all_are(200)
    database.write_bytes(whole)
    until(lambda: "stale" not in json.loads(get(f"{fence.admin}/readyz")))
    assert fence.workers() == workers


def test_a_database_that_takes_its_time_to_arrive_holds_no_policy_up(fence, fetch, tmp_path):
    arrived = threading.Event()

    def arrive() -> None:
        with (tmp_path / "geo.mmdb").open("r+b") as file:
            while not arrived.wait(0.05):
                file.write(b"x")
                file.flush()

    arriving = threading.Thread(target=arrive)
    arriving.start()
    try:
        (tmp_path / "policy.yaml").write_text(CLOSED)
        until(lambda: Answers(fence, fetch).all_are(403))
        assert counted(fence, "reloads_total")['part="geo",result="failed"'] == 0
    finally:
        arrived.set()
        arriving.join(WITHIN_S)
    until(lambda: counted(fence, "reloads_total")['part="geo",result="failed"'] == 1)


def test_files_that_are_exchanged_by_a_symbolic_link_are_seen(start_modelfence, tmp_path, upstream, fetch):
    for name, text in (("old", POLICY), ("new", CLOSED)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "policy.yaml").write_text(text)
    (tmp_path / "data").symlink_to("old")
    (tmp_path / "accounts.yaml").write_text("accounts:\n" + account("acme", "sk-acme"))
    fence = start_modelfence(
        "run", "--upstream", upstream, "--accounts", "accounts.yaml", "--policy", "data/policy.yaml",
        "--listen", "127.0.0.1:0", MODELFENCE_ADMIN="127.0.0.1:0",
    )  # fmt: skip
    assert Answers(fence, fetch).ask()[0] == 200
    (tmp_path / "next").symlink_to("new")
    (tmp_path / "next").replace(tmp_path / "data")
    until(lambda: Answers(fence, fetch).ask()[0] == 403)


def test_nothing_is_left_of_what_workers_handed_each_other(fence, tmp_path):
    (folder,) = (tmp_path / "temporary").iterdir()
    for n in range(3):
        (tmp_path / "policy.yaml").write_text(POLICY + f"# {n}\n")
        until(lambda n=n: counted(fence, "policy_reloads_total")['result="ok"'] == n + 1)

    def handed() -> list[str]:
        return sorted(path.suffix for path in folder.iterdir() if path.suffix != ".db")

    assert handed() == [".files", ".mmdb"]
    before = set(fence.workers())
    fence.process.send_signal(signal.SIGUSR2)
    until(lambda: not before & set(fence.workers()))
    until(lambda: handed() == [".files", ".mmdb"])
    fence.process.terminate()
    assert fence.process.wait(WITHIN_S) == 0
    assert list((tmp_path / "temporary").iterdir()) == []
