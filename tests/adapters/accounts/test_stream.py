"""Accounts line by line: the same in all formats, with the same rules, and every problem in its place."""

import json
from pathlib import Path

import pytest

from modelfence.adapters.accounts.stream import FORMATS, read_stream
from modelfence.core.account import Entry
from modelfence.core.call import key_digest

TIERS = ("none", "basic", "verified")
ONE, OTHER, CERTIFICATE = key_digest("sk-one"), key_digest("sk-other"), "sha256:" + "c" * 64
SECRET = "sk-proj-a-secret-that-nobody-is-shown"
FULL = {
    "id": "acme",
    "status": "active",
    "tier": "verified",
    "keys": [ONE, OTHER],
    "certificates": [CERTIFICATE],
    "country": "US",
    "verified": "2026-01-10",
    "verified_by": "desk",
    "expires": "2027-01-10",
    "owners": [{"country": "US", "share": 0.4}, {"country": "HK", "share": 0.6}],
    "screening": "clear",
    "screened": "2026-01-09",
    "purpose": 'says "hi", and 😀',
    "labels": {"plan": "gold", "team": "a,b"},
    "payer": "card-1",
    "contact_domain": "acme.example",
    "signup_batch": "b-1",
}
LEAST = {"id": "umbrella", "status": "closed", "tier": "none"}
HEAD = (
    "id,status,tier,keys,certificates,country,verified,verified_by,expires,owners,screening,screened,purpose,"
    "label.plan,label.team,payer,contact_domain,signup_batch"
)
AS_CSV = f"""{HEAD}
acme,active,verified,{ONE} {OTHER},{CERTIFICATE},US,2026-01-10,desk,2027-01-10,US:0.4 HK:0.6,clear,2026-01-09,\
"says ""hi"", and 😀",gold,"a,b",card-1,acme.example,b-1

umbrella , closed,"none",,,,,,,,,,,,,,,
"""
AS_JSON = f"{json.dumps(FULL)}\n\n  {json.dumps(LEAST, ensure_ascii=False)}\t\r\n"
AS_YAML = json.dumps({"accounts": [FULL, LEAST]}, ensure_ascii=False)


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Reads a text as a format; returns the accounts, and the problems as they are printed."""
    monkeypatch.chdir(tmp_path)

    def reading(kind: str, text: str | bytes) -> tuple[list[Entry], list[str]]:
        path = Path(f"accounts.{kind}")
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        entries: list[Entry] = []
        problems = read_stream(path, kind, TIERS, lambda record: entries.append(record.entry))
        return entries, [problem.render() for problem in problems]

    return reading


def test_an_account_is_the_same_in_every_format(read):
    expected, problems = read("yaml", AS_YAML)
    assert (len(expected), problems) == (2, [])
    for kind, text in (("jsonl", AS_JSON), ("csv", AS_CSV), ("csv", "\ufeff" + AS_CSV.replace("\n", "\r\n"))):
        entries, problems = read(kind, text)
        assert problems == []
        assert entries == expected
        assert [entry.account.version for entry in entries] == [entry.account.version for entry in expected]


def test_lines_of_entities_come_before_the_accounts_that_they_own(read):
    entities = [
        {"entity": {"id": "holding", "country": "HK", "owners": [{"entity": "top", "share": 0.9}]}},
        {"entity": {"id": "top", "country": "CN"}},
    ]
    owned = LEAST | {"owners": [{"entity": "holding", "share": 0.5}]}
    entries, problems = read("jsonl", "\n".join(json.dumps(line) for line in (*entities, owned)))
    assert problems == []
    assert entries[0].account.ownership == {"HK": 0.5, "CN": 0.45}
    assert [owner.entity for owner in entries[0].owners] == ["holding"]


def test_when_entities_are_wrong_no_account_is_read(read):
    company = {"entity": {"id": "holding", "country": "hk"}}
    owned = LEAST | {"owners": [{"entity": "holding", "share": 0.5}]}
    entries, problems = read("jsonl", lines(company, owned))
    assert (entries, len(problems)) == ([], 1)


def lines(*accounts: object) -> str:
    return "\n".join(one if isinstance(one, str) else json.dumps(one) for one in accounts)


BAD = [
    ("jsonl", lines(LEAST, LEAST | {"status": "open"}), ":2:30: `open` is not possible here [unknown-value]"),
    ("jsonl", lines(LEAST, "", LEAST), ":3:8: two accounts have the id `umbrella`; the other one is in line 1 [duplicate-id]"),
    (
        "jsonl",
        lines(LEAST | {"keys": [ONE]}, LEAST | {"id": "b", "keys": [ONE]}),
        ":2:58: this key is given to `umbrella` already, in line 1 [shared-key]",
    ),
    ("jsonl", lines(LEAST | {"tier": "verifed"}), ":1:48: the policy has no tier `verifed` [unknown-tier]"),
    ("jsonl", lines({"id": "a", "status": "active"}), ":1:1: `tier` is missing [missing-key]"),
    ("jsonl", lines(LEAST | {"tier": None}), ":1:48: a value is expected here [empty-value]"),
    ("jsonl", lines(LEAST | {"plan": "x"}), ":1:56: unknown key `plan` [unknown-key]"),
    ("jsonl", lines(LEAST | {"owners": [{"entity": "x", "share": 1}]}), ":1:78: unknown entity `x` [unknown-entity]"),
    ("jsonl", lines(LEAST | {"owners": [{"country": "US", "share": 2}]}), ":1:94: `2` is not between 0 and 1 [out-of-range]"),
    ("jsonl", lines(LEAST, {"entity": {"id": "x", "country": "US"}}), ":2:1: the entities come before the accounts [late-entity]"),
    ("jsonl", lines({"entity": {"id": "x", "country": "us"}}, LEAST), ":1:35: a country is two capital letters like US, not `us` [bad-country]"),
    ("jsonl", lines("[1]"), ":1:1: a mapping is expected here, not a list [wrong-type]"),
    ("jsonl", lines(LEAST, "{}{}"), ":2:3: this is not one JSON object [json-syntax]"),
    *(
        ("jsonl", text, f":1:{column}: this is not one JSON object [json-syntax]")
        for text, column in (
            ("id: acme", 1), ('{"id" "a"}', 7), ('{"id": }', 8), ('{"id": "a",}', 12), ("{id: a}", 2), ('{"id": "a', 8),
            ('{"id": 01}', 9), ("[1 2]", 4), ("[1,]", 4), ("[" * 5_000, 21), ('{"a": "\x01"}', 8), ("[", 2), ('{"a":1', 7),
            # Half of a surrogate pair is no character, and could not be written anywhere.
            (r'{"id": "a\ud800"}', 8), (r'{"\udc00": 1}', 2), (r'{"id": "a\u0000b"}', 8), (r'{"id": "\udc00\ud800"}', 8),
        )
    ),
    ("csv", "id,status,tier\na,open,none", ":2:3: `open` is not possible here [unknown-value]"),
    ("csv", "id,status,tier\na,active,none\na,closed,none", ":3:1: two accounts have the id `a`; the other one is in line 2 [duplicate-id]"),
    ("csv", "id,status,tier\na,active,best", ":2:10: the policy has no tier `best` [unknown-tier]"),
    ("csv", "id,status,tier\na,active", ":2:1: 2 cells are here, and 3 columns [csv-columns]"),
    ("csv", "id,status,tier\na,active,", ":2:1: `tier` is missing [missing-key]"),
    ("csv", 'id,status,tier\na,"active,none', ":2:3: a cell with a comma or a quote stands in quotes, and each quote in it twice [csv-syntax]"),
    ("csv", 'id,status,tier\na,act"ive,none', ":2:3: a cell with a comma or a quote stands in quotes, and each quote in it twice [csv-syntax]"),
    ("csv", "id,status,teir\n", ":1:11: unknown column `teir` [unknown-column]"),
    ("csv", "id,status\n", ":1:1: there is no column `tier` [missing-column]"),
    ("csv", "id,status,tier,id\n", ":1:1: two columns are called `id` [duplicate-column]"),
    ("csv", "id,status,tier,labels\n", ":1:16: unknown column `labels` [unknown-column]"),
    ("csv", "id,status,tier,label.\n", ":1:16: unknown column `label.` [unknown-column]"),
    ("csv", "id,status,tier,owners\na,active,none,US=1", ":2:15: a mapping is expected here, not a text [wrong-type]"),
    ("csv", "id,status,tier,owners\na,active,none,US:0.6  HK:0.6", ":2:15: these shares sum up to 1.2, which is more than the whole [shares-beyond-whole]"),
    ("csv", "id,status,tier,owners\na,active,none,US:0.5 Hk:x", ":2:22: a country is two capital letters like US, not `Hk` [bad-country]"),
    ("csv", "id,status,tier,expires\na,active,none,soon", ":2:15: a date like 2026-01-31 is expected here, not `soon` [wrong-type]"),
    *((kind, "\n \n", ":1:1: can't read the accounts: it is empty [unreadable-file]") for kind in ("csv", "jsonl")),
    *(
        (kind, b"\n\xff", ":1:1: can't read the accounts: not UTF-8 at byte 0 of line 2 [unreadable-file]")
        for kind in ("csv", "jsonl")
    ),
    ("jsonl", " " * (1 << 20) + "x", ":1:1: can't read the accounts: line 1 is longer than 1 MB [unreadable-file]"),
    ("yaml", "accounts: [{id: a, status: active, tier: best}]", ":1:42: the policy has no tier `best` [unknown-tier]"),
    ("yaml", b"\xff", ":1:1: can't read the accounts: not UTF-8 at byte 0 [unreadable-file]"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "text", "said"), BAD, ids=range(len(BAD)))
def test_a_problem_says_what_is_wrong_and_where(read, kind, text, said):
    _, problems = read(kind, text)
    assert f"accounts.{kind}{said}" in [problem.splitlines()[0] for problem in problems]


def test_a_file_that_is_not_there_is_a_problem(tmp_path):
    for kind in sorted(set(FORMATS.values())):
        (problem,) = read_stream(tmp_path / "none", kind, TIERS, print)
        assert problem.message == "can't read the accounts: No such file or directory"


@pytest.mark.parametrize("field", [*FULL, "other"])
def test_what_may_be_a_key_is_not_shown_whatever_is_wrong(read, field):
    values = {name: value for name, value in FULL.items() if name not in ("owners", "labels")}
    bad = values | {field: SECRET, "status": "open", "keys": [SECRET]}
    _, problems = read("jsonl", json.dumps(bad))
    assert problems
    assert SECRET not in "".join(problems)
    columns = {name: " ".join(value) if isinstance(value, list) else value for name, value in bad.items()}
    _, problems = read("csv", f"{','.join(columns)}\n{','.join(map(str, columns.values()))}")
    assert problems
    assert SECRET not in "".join(problems)


@pytest.mark.parametrize(
    "text", [SECRET, f"{SECRET},active,none\n", f"id,status,tier\n{SECRET},\n", f'id,status,tier\na,"{SECRET}\n']
)
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_what_can_not_be_understood_is_not_shown(read, kind, text):
    _, problems = read(kind, text)
    assert problems
    assert SECRET not in "".join(problems)


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_file_that_is_wrong_throughout_is_not_read_to_its_end(read, kind):
    text = "id,status,tier\n" + "a\n" * 10_000 if kind == "csv" else "{}\n" * 10_000
    _, problems = read(kind, text)
    assert 100 <= len(problems) < 110
