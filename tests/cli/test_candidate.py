"""A candidate beside the policy of a fence that runs: two workers on a real Redis, told by metrics, audit and probes."""

import json
import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.cli.test_reload import PATH, account, counted, get, until

from modelfence.core.canary import Canary

ACCOUNTS = [f"account-{number}" for number in range(20)]
LIVE = """\
version: 1
tiers: [none, basic]
access:
  - {id: customers, allow: kyc.status == "active"}
throttle:
  - {id: campaign, key: request.provider, rate: 40 per day}
"""
CANDIDATE = LIVE.replace("throttle:", '  - {id: not-17, deny: account.id == "account-17"}\nthrottle:')
SETTINGS = """\
listen: 127.0.0.1:0
admin: 127.0.0.1:0
workers: 2
policy: policy.yaml
candidate: next.yaml
canary: {canary}
accounts: accounts.yaml
audit: {{path: audit.jsonl}}
store: {redis}
store_prefix: {prefix}
limits: {{store_ms: 2000}}
upstreams: [{{name: up, dialect: openai, url: '{upstream}'}}]
"""


@pytest.fixture
def write_settings(redis_server, tmp_path, upstream):
    def write(canary: str) -> None:
        values = {"redis": redis_server.url, "prefix": tmp_path.name, "upstream": upstream}
        (tmp_path / "modelfence.yaml").write_text(SETTINGS.format(canary=canary, **values))

    return write


@pytest.fixture
def start(start_modelfence, write_settings, tmp_path):
    """Starts two workers, whose files are in the folder."""

    def started(canary: str = "0 %", candidate: str = CANDIDATE):
        (tmp_path / "policy.yaml").write_text(LIVE)
        (tmp_path / "next.yaml").write_text(candidate)
        records = "".join(account(name, f"sk-{name}") for name in ACCOUNTS)
        (tmp_path / "accounts.yaml").write_text(f"accounts:\n{records}")
        write_settings(canary)
        fence = start_modelfence("run")
        until(lambda: readiness(fence)["workers"]["serving"] == 2)
        return fence

    return started


def readiness(fence) -> dict[str, Any]:
    return json.loads(get(f"{fence.admin}/readyz"))


def lines(fence, tmp_path) -> list[dict[str, Any]]:
    """Return the audit log of a fence that has stopped."""
    fence.process.send_signal(signal.SIGTERM)
    fence.process.stderr.read()
    assert fence.process.wait(20) == 0
    return [json.loads(line) for path in tmp_path.glob("audit.w?.jsonl") for line in path.read_text().splitlines()]


def compared(fence) -> dict[str, float]:
    return {labels: count for labels, count in counted(fence, "candidate_requests_total").items() if count}


def test_a_candidate_says_what_it_would_do_and_acts_for_nobody(start, fetch, tmp_path):
    fence = start()
    assert "candidate" in fence.said
    assert "only watches" in fence.said
    statuses = {
        name: fetch(f"{fence.url}{PATH}", key=f"sk-{name}")[0] for name in ("account-1", "account-17", "nobody")
    }
    assert statuses == {"account-1": 200, "account-17": 200, "nobody": 401}
    until(lambda: len(compared(fence)) == 3)
    assert compared(fence) == {
        'acted="live",candidate="allow",live="allow"': 1,
        'acted="live",candidate="deny",live="allow"': 1,
        'acted="live",candidate="deny",live="deny"': 1,
    }
    until(lambda: len(counted(fence, "policy_info")) == 2)
    infos = dict(info.split(",") for info in counted(fence, "policy_info"))
    assert set(infos.values()) == {'mode="enforce"', 'mode="candidate"'}
    assert counted(fence, "canary_ratio") == {None or "": 0}
    said = {line["account"]: line["candidate"] for line in lines(fence, tmp_path)}
    assert (said["account-17"]["effect"], said["account-17"]["rules"]) == ("deny", ["not-17"])
    assert (said["account-17"]["acted"], said["account-17"]["live"]["effect"]) == (False, "allow")


@pytest.mark.parametrize("canary", ["30 %", "70 %"])
def test_callers_at_once_on_both_sides_of_a_canary_do_not_overdraw_a_shared_budget(start, fetch, tmp_path, canary):
    fence = start(canary, candidate=LIVE)
    with ThreadPoolExecutor(8) as at_once:
        statuses = Counter(at_once.map(lambda name: fetch(f"{fence.url}{PATH}", key=f"sk-{name}")[0], ACCOUNTS * 5))
    assert statuses == {200: 40, 429: 60}
    said = [line["candidate"] for line in lines(fence, tmp_path)]
    held = [Canary(float(canary.split()[0]), "next.yaml").holds(name) for name in ACCOUNTS]
    assert Counter(one["acted"] for one in said) == {True: 5 * sum(held), False: 5 * (20 - sum(held))}
    # Where many ask at once the two buckets may see them in another order, but both let in the same number.
    assert (
        sum(one["effect"] == "allow" for one in said if not one["acted"])
        + sum(one["live"]["effect"] == "allow" for one in said if one["acted"])
        == 40
    )


def test_the_share_grows_with_a_rolling_restart_and_spent_budgets_stay_spent(start, write_settings, fetch):
    fence = start("0 %")
    ask = lambda: fetch(f"{fence.url}{PATH}", key="sk-account-17")[0]  # noqa: E731
    assert [ask() for _ in range(41)] == [200] * 40 + [429]
    write_settings("100 %")
    fence.process.send_signal(signal.SIGUSR2)
    until(lambda: counted(fence, "canary_ratio") == {"": 1} and readiness(fence)["workers"]["serving"] == 2)
    until(lambda: [ask() for _ in range(10)] == [403] * 10)
    assert fetch(f"{fence.url}{PATH}", key="sk-account-1")[0] == 429
    assert "acts for 100 % of the accounts" in readiness(fence)["candidate"]


def test_a_candidate_is_exchanged_in_all_workers_and_a_broken_one_leaves_the_last_good_one(start, fetch, tmp_path):
    fence = start("100 %")
    ask = lambda: fetch(f"{fence.url}{PATH}", key="sk-account-1")[0]  # noqa: E731
    assert ask() == 200
    (tmp_path / "next.yaml").write_text(CANDIDATE.replace("account-17", "account-1"))
    until(lambda: [ask() for _ in range(10)] == [403] * 10)
    (tmp_path / "next.yaml").write_text(CANDIDATE.replace("account.id ==", "acount.id =="))
    until(lambda: "stale" in readiness(fence))
    assert "unknown fact `acount.id`" in readiness(fence)["stale"]["candidate"]
    assert ask() == 403
    reloads = {labels: count for labels, count in counted(fence, "reloads_total").items() if "candidate" in labels}
    assert reloads == {'part="candidate",result="ok"': 1, 'part="candidate",result="failed"': 1}


def test_a_candidate_that_is_broken_at_the_start_is_left_out_and_said_to_be(start, fetch, tmp_path):
    fence = start("100 %", candidate="acess: []\n")
    assert "not in force: it can't be used" in fence.said
    assert "next.yaml:1:1: unknown key `acess`" in fence.said
    assert fence.said.count("unknown key `acess`") == 1
    assert fetch(f"{fence.url}{PATH}", key="sk-account-17")[0] == 200
    assert readiness(fence)["ready"]
    assert readiness(fence)["candidate"] == "not in force: it can't be used"
    assert counted(fence, "canary_ratio") == {"": 0}
    (tmp_path / "next.yaml").write_text(CANDIDATE)
    until(lambda: all(fetch(f"{fence.url}{PATH}", key="sk-account-17")[0] == 403 for _ in range(10)))
