"""A decision of an audit log: no more is said than its line says."""

import gzip
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from tests.workbench.explaining.explained_calls import ACCOUNTS, make, request

from modelfence.assembly import anywhere, replaying
from modelfence.audit.chain import Link, Seals
from modelfence.audit.lines import Lines
from modelfence.enforcement.ports import Settled
from modelfence.parts import read_parts
from modelfence.replay.outcomes import Decided
from modelfence.settings import Settings
from modelfence.workbench.explaining.as_json import as_json
from modelfence.workbench.explaining.as_text import as_text
from modelfence.workbench.explaining.audit_lines import find_decision
from modelfence.workbench.explaining.desk import desk_of, parts_for_logs
from modelfence.workbench.explaining.explanation import Role
from modelfence.workbench.explaining.inquiry import InquiryError
from modelfence.workbench.explaining.logged import explained_decision

GOLDEN = Path(__file__).parent / "golden"
SETTINGS = Settings(accounts=Path("accounts.yaml"), policy=Path("policies/default.yaml"))
CALLS = {
    "let-in": request(),
    "embargoed": request(client_ip="175.45.176.1"),
    "nowhere": request(client_ip="203.0.113.1"),
    "stranger": request("nobody"),
    "research": request("beta", body={"model": "o3-deep-research", "messages": []}),
    "long": request("beta", body={"model": "m" * 200, "messages": []}),
}


pytestmark = pytest.mark.usefixtures("log")


@pytest.fixture
async def log(tmp_path, monkeypatch) -> Path:
    """The log of some calls, in a file that was set aside and compressed and one that was not."""
    make(tmp_path)
    monkeypatch.chdir(tmp_path)
    await write("log", Lines())
    return Path("log")


async def write(folder: str, lines: Lines) -> None:
    settings = replace(SETTINGS, upstreams=anywhere())
    parts = read_parts(settings)
    written, link = [], Link()
    async with replaying(settings, parts) as replay:
        async for outcome in replay.outcomes([json.dumps(one).encode() for one in CALLS.values()]):
            assert isinstance(outcome, Decided)
            judged = replace(outcome.judged, call=replace(outcome.judged.call, id=list(CALLS)[outcome.n]))
            settled = Settled(judged, outcome.usage, 200) if judged.decision.admitted else None
            line, link = Seals().next_line(link, lines.fields(judged, settled, parts.geo.built_s))
            written.append(line)
    Path(folder).mkdir()  # noqa: ASYNC240 - nothing else runs
    put(f"{folder}/audit.w0.000000000001.jsonl.gz", gzip.compress(b"".join(written[:2])))
    put(f"{folder}/audit.w0.jsonl", b"".join(written[2:]))


def put(file: str, text: bytes) -> None:
    Path(file).write_bytes(text)


async def explain(decision: str, settings: Settings = SETTINGS, folder: str = "log"):
    return await explained_decision(
        find_decision(decision, [Path(folder)]), desk_of(settings, parts_for_logs(settings))
    )


def change_policy() -> None:
    policy = Path("policies/default.yaml")
    policy.write_text(policy.read_text().replace("burst: 120", "burst: 121"))


@pytest.mark.parametrize(("decision", "is_changed"), [("embargoed", False), ("stranger", False), ("long", True)])
async def test_what_people_read_of_a_decision(decision, is_changed):
    if is_changed:
        change_policy()
    shown = as_text(await explain(decision), width=80)
    settled = re.sub(r"\b[0-9a-f]{16}\b|(?<= of )\d{4}-\d\d-\d\d", "…", shown)
    assert settled == (GOLDEN / f"decision_{decision}.txt").read_text()


@pytest.mark.parametrize(
    ("decision", "answer"),
    [
        ("let-in", "Was let in: the allow `active-customers` applied."),
        ("embargoed", "Was refused: the deny `embargoed-region` applied."),
        ("stranger", "Was refused: no allow applied."),
        ("research", "Was refused: the deny `deep-research-needs-verification` applied."),
    ],
)
async def test_what_the_line_says_comes_first(decision, answer):
    assert (await explain(decision)).answer == f"{answer} The policy is the same today."


@pytest.mark.parametrize(
    ("decision", "today"),
    [
        ("let-in", "Today's policy would also let it in, if no throttle is against it (`active-customers`)."),
        ("embargoed", "Today's policy would also refuse it (`embargoed-region`)."),
        ("stranger", "Today's policy would also refuse it: no allow applies."),
        (
            "long",
            "What today's policy would do can't be told: `deep-research-needs-verification` reads what is not in the log.",
        ),
    ],
)
async def test_another_policy_is_asked_about_what_the_line_says(decision, today):
    change_policy()
    explanation = await explain(decision)
    assert explanation.answer.endswith(today)
    assert explanation.notes[0].startswith("the policy is another today")


async def test_a_record_counts_only_in_the_version_of_the_line():
    facts = {one.name: one for one in (await explain("let-in")).facts}
    assert facts["kyc.owned_by.embargoed"].value == 0.5
    assert facts["account.labels"].value == {"plan": "gold"}
    put("accounts.yaml", ACCOUNTS.replace("plan: gold", "plan: silver").encode())
    explanation = await explain("let-in")
    facts = {one.name: one for one in explanation.facts}
    assert (facts["kyc.owned_by.embargoed"].value, facts["kyc.owned_by.embargoed"].is_logged) == (None, False)
    assert any("the record of `acme` is another today" in note for note in explanation.notes)
    [owned] = [rule for rule in explanation.rules if rule.explained.rule.id == "owned-from-embargoed-region"]
    assert (owned.role, owned.explained.applies, owned.explained.unknown) == (Role.UNTOLD, False, None)


async def test_without_accounts_what_the_line_says_is_explained_all_the_same():
    explanation = await explain("let-in", replace(SETTINGS, accounts=None))
    assert any("give --accounts" in note for note in explanation.notes)


async def test_what_the_line_calls_unknown_was_unknown_and_what_it_leaves_out_is_not_in_the_log():
    explanation = await explain("nowhere")
    facts = {one.name: one for one in explanation.facts}
    assert (facts["client.country"].value, facts["client.country"].is_logged) == (None, True)
    assert (facts["client.asn"].value, facts["client.asn"].is_logged) == (None, False)
    assert explanation.rules[0].explained.unknown.facts == ("client.country",)
    assert as_json(explanation)["facts"]


async def test_of_a_stranger_the_facts_of_accounts_were_unknown():
    facts = {one.name: one for one in (await explain("stranger")).facts}
    assert (facts["kyc.status"].value, facts["account.id"].is_logged, facts["kyc.purpose"].is_logged) == (
        "unknown",
        True,
        True,
    )


async def test_a_hashed_address_is_not_taken_for_one():
    await write("hashed", Lines(address_key=b"k" * 32))
    explanation = await explain("let-in", folder="hashed")
    facts = {one.name: one for one in explanation.facts}
    assert (facts["client.ip"].value, facts["client.ip"].is_logged) == (None, False)
    assert any("as a digest only" in note for note in explanation.notes)


async def test_rules_that_are_no_more_are_named():
    put("own.yaml", b'version: 1\ntiers: [none]\naccess: [{id: all, allow: "true"}]\n')
    explanation = await explain("embargoed", replace(SETTINGS, accounts=None, policy=Path("own.yaml")))
    assert any("`embargoed-region`, which decided then, is no rule" in note for note in explanation.notes)
    assert any("has no tier `verified`" in note for note in explanation.notes)


@pytest.mark.parametrize(
    ("acted", "note"),
    [
        (
            True,
            "the candidate decided, and the live policy watched: its answer was deny (`old-rule`), by the policy of hash aa",
        ),
        (
            False,
            "the live policy decided, and the candidate watched: its answer was allow, by the policy of hash bb",
        ),
    ],
)
async def test_of_two_policies_it_is_told_which_one_decided_and_what_the_other_said(acted, note):
    line = dict(find_decision("long", [Path("log")]).values)
    live = {"policy": "aa", "effect": "deny", "rules": ["old-rule"], "unknown": [], "reshape": []}
    candidate = {"policy": "bb", "effect": "allow", "rules": [], "unknown": [], "reshape": []}
    line |= {"id": "both", "candidate": {"acted": acted, **candidate, "live": live}}
    put("both.jsonl", json.dumps(line, separators=(",", ":")).encode() + b"\n")
    explanation = await explained_decision(
        find_decision("both", [Path("both.jsonl")]), desk_of(SETTINGS, parts_for_logs(SETTINGS))
    )
    assert explanation.notes[0] == note


def test_what_is_in_no_log_is_complained_of():
    with pytest.raises(InquiryError, match="no decision `absent` is in the 2 files"):
        find_decision("absent", [Path("log")])


async def test_a_line_with_other_types_is_complained_of():
    put("odd.jsonl", b'{"seq":1,"id":"odd","rules":"all"}\n')
    line = find_decision("odd", [Path("odd.jsonl")])
    with pytest.raises(InquiryError, match="`rules` is not what an audit log has there"):
        await explained_decision(line, desk_of(SETTINGS, parts_for_logs(SETTINGS)))
