"""`modelfence audit`: what it says of logs that were tampered with, and of a period. The golden files hold each word."""

import gzip
import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from tests.audit.calls import ALLOWED, DENIED, GEO_BUILT_S, THROTTLED, USED, judged, nth

from modelfence.adapters.audit.file import AuditFile
from modelfence.audit.chain import Seals
from modelfence.audit.files import ChainFiles
from modelfence.audit.lines import Lines
from modelfence.cli import main
from modelfence.core.account import Account
from modelfence.core.call import Reading
from modelfence.enforcement.ports import Settled

GOLDEN = Path(__file__).parent / "audit_output"
KEY = "0123456789abcdef0123456789abcdef"
LOG = Path("log")
FIRST, SECOND, CURRENT, HEAD = (
    LOG / f"audit.w0{rest}" for rest in (".000000000001.jsonl", ".000000000005.jsonl", ".jsonl", ".head")
)
PLACES = [("US", "gpt-4o"), ("US", "gpt-4o"), ("DE", "gpt-4o-mini"), ("KP", "o3"), (None, '=HYPERLINK("x")')]


def write(worker: int = 0, seals: Seals = Seals(), decisions: int = 12) -> None:  # noqa: B008 - frozen
    """Write a log of three files, of four decisions each."""
    LOG.mkdir(exist_ok=True)
    lines = []
    for n in range(decisions):
        country, model = PLACES[n % len(PLACES)] if n < 12 else ("US", f"model-{n}")
        call = nth(n, id=f"{n:032x}", reading=Reading("chat", model))
        decision = DENIED if country == "KP" else THROTTLED if n == 11 else ALLOWED
        of = judged(call, decision, Account(f"account-{n % 3}", "active", "basic") if n % 4 else None, country)
        end = Settled(of, USED, 200) if decision.admitted and n != 10 else None
        lines.append(Lines(worker).fields(of, end, GEO_BUILT_S))
    for at in range(0, decisions, 4):
        files = ChainFiles.of(LOG / "audit.jsonl", worker)
        file = AuditFile(files, seals, max_bytes=1 << 20, max_age_s=4, clock_s=partial(float, at))
        assert file.write(lines[at : at + 4]) == min(4, decisions - at)
        file.close()


@pytest.fixture(autouse=True)
def log(tmp_path, monkeypatch):
    """A log in the current folder."""
    monkeypatch.chdir(tmp_path)
    write()


def audit(capsys, *arguments: str) -> tuple[int, str, str]:
    status = main(["audit", *arguments])
    said = capsys.readouterr()
    return status, said.out, said.err


def edit(path: Path, change: Callable[[list[bytes]], object]) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    change(lines)
    path.write_bytes(b"".join(lines))


def swap(lines: list[bytes], one: int, other: int) -> None:
    lines[one], lines[other] = lines[other], lines[one]


def untouched() -> None: ...


def changed() -> None:
    edit(SECOND, lambda lines: lines.insert(1, lines.pop(1).replace(b'"US"', b'"NO"')))


def removed() -> None:
    edit(SECOND, lambda lines: lines.__delitem__(slice(1, 3)))


def newest_removed() -> None:
    edit(CURRENT, lambda lines: lines.pop())


def oldest_of_a_file_removed() -> None:
    edit(FIRST, lambda lines: lines.pop(0))


def file_removed() -> None:
    SECOND.unlink()


def reordered() -> None:
    edit(FIRST, lambda lines: swap(lines, 0, 3))


def duplicated() -> None:
    edit(CURRENT, lambda lines: lines.insert(2, lines[0]))


def inserted() -> None:
    edit(CURRENT, lambda lines: lines.insert(1, b"a line of another kind\n"))


def made_anew() -> None:
    def forge(lines: list[bytes]) -> None:
        text = lines[2][: lines[2].index(b',"hash":')].replace(b'"deny"', b'"allow"')
        lines[2] = b'%b,"hash":"%b"}\n' % (text, Seals().of(text).encode())

    edit(FIRST, forge)


def unfinished() -> None:
    edit(CURRENT, lambda lines: lines.append(lines[0][:100]))


def shipped() -> None:
    FIRST.unlink()


def without_head() -> None:
    HEAD.unlink()


def nothing_left() -> None:
    for path in (FIRST, SECOND, CURRENT):
        path.unlink()


def two_workers() -> None:
    write(worker=1, decisions=4)
    edit(LOG / "audit.w1.jsonl", lambda lines: lines.pop())


WHOLE = [untouched, unfinished, shipped, without_head]
BROKEN = [
    changed, removed, newest_removed, oldest_of_a_file_removed, file_removed, reordered, duplicated, inserted, made_anew,
    nothing_left, two_workers,
]  # fmt: skip


@pytest.mark.parametrize("happened", [*WHOLE, *BROKEN], ids=lambda happened: happened.__name__)
def test_what_happened_to_a_log_is_said_in_words(capsys, happened):
    happened()
    status, out, err = audit(capsys, "verify", "log")
    assert (status, err) == (0 if happened in WHOLE else 1, "")
    assert out == (GOLDEN / f"verify_{happened.__name__}.txt").read_text()


def test_the_golden_files_are_those_of_the_table():
    names = {f"verify_{happened.__name__}.txt" for happened in (*WHOLE, *BROKEN)}
    assert {path.name for path in GOLDEN.iterdir()} == {*names, "report.txt", "report.csv", "report.json"}


def test_as_json_every_break_has_its_place(capsys):
    removed()
    status, out, _ = audit(capsys, "verify", "log", "--format", "json")
    (chain,) = json.loads(out)
    assert status == 1
    assert (chain["chain"], chain["lines"], chain["whole"]) == ("log/audit.w0", 10, False)
    assert chain["breaks"] == [
        {
            "kind": "removed",
            "file": str(SECOND),
            "line": 2,
            "seq": 6,
            "last_seq": 7,
            "what": "2 lines, 6 to 7, are missing before this one",
        }
    ]


def test_one_file_is_looked_at_by_itself(capsys):
    for path, seqs in ((FIRST, "1 to 4"), (SECOND, "5 to 8")):
        status, out, _ = audit(capsys, "verify", str(path))
        assert (status, seqs in out, "in 1 file" in out) == (0, True, True)


def test_a_compressed_file_and_a_copy_under_another_name_are_looked_at(capsys):
    FIRST.with_suffix(".jsonl.gz").write_bytes(gzip.compress(FIRST.read_bytes()))
    FIRST.unlink()
    status, out, _ = audit(capsys, "verify", "log")
    assert (status, "12 lines" in out) == (0, True)
    CURRENT.rename("evidence")
    status, out, _ = audit(capsys, "verify", "evidence")
    assert (status, "evidence: whole (4 lines, 9 to 12" in out) == (0, True)


def test_recordings_in_the_same_folder_are_no_logs(capsys):
    (LOG / "calls.w1.jsonl").write_text('{"ts": 1.5, "client_ip": "8.8.8.8"}\n')
    status, out, _ = audit(capsys, "verify", "log")
    assert (status, out) == (0, (GOLDEN / "verify_untouched.txt").read_text())
    Path("calls.w1.jsonl").write_text('{"ts": 1.5, "client_ip": "8.8.8.8"}\n')
    assert audit(capsys, "verify", ".")[0] == 2


def test_a_log_with_a_key_is_verified_with_it_only(capsys):
    for path in (FIRST, SECOND, CURRENT, HEAD):
        path.unlink()
    write(seals=Seals(KEY.encode()))
    Path("key").write_text(f"{KEY}\n")
    Path("other").write_text("another key of enough bytes")
    assert audit(capsys, "verify", "log", "--key-file", "key")[0] == 0
    status, _, err = audit(capsys, "verify", "log")
    assert (status, err) == (2, "modelfence audit: the log was sealed with a key: give its --key-file\n")
    status, _, err = audit(capsys, "verify", "log", "--key-file", "other")
    assert (status, err) == (2, "modelfence audit: no line of log/audit.w0 was sealed with the key in other\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["verify", "nowhere"], "nowhere can't be read: No such file or directory"),
        (["verify", "."], ". holds no audit log"),
        (["verify", "log", "--key-file", "nowhere"], "the key file nowhere can't be read: No such file or directory"),
        (["report", "nowhere"], "nowhere can't be read: No such file or directory"),
        (["report", "."], ". holds no audit log"),
    ],
)
def test_what_can_not_be_done_is_said(capsys, arguments, words):
    assert audit(capsys, *arguments) == (2, "", f"modelfence audit: {words}\n")


@pytest.mark.parametrize(("form", "name"), [("text", "report.txt"), ("csv", "report.csv"), ("json", "report.json")])
def test_a_report_says_who_used_which_models_from_where(capsys, form, name):
    edit(CURRENT, lambda lines: lines.append(b"{}\n"))
    status, out, _ = audit(capsys, "report", "log", "--format", form)
    assert status == 0
    assert out == (GOLDEN / name).read_text()


def test_what_callers_wrote_steers_neither_a_terminal_nor_a_spreadsheet(capsys):
    edit(CURRENT, lambda lines: lines.append(lines[1].replace(b"=HYPERLINK", b"\\u001b[2J")))
    _, out, _ = audit(capsys, "report", "log", "--by", "model")
    assert "\x1b" not in out
    assert "?[2J" in out
    _, out, _ = audit(capsys, "report", "log", "--by", "model", "--format", "csv")
    assert """model,"'=HYPERLINK(""x"")",""" in out


@pytest.mark.parametrize("sign", "=+-@\uff1d\uff0b\uff0d\uff20", ids=ascii)
def test_no_sign_that_begins_a_formula_begins_a_cell(capsys, sign):
    edit(CURRENT, lambda lines: lines.append(lines[1].replace(b"=HYPERLINK", json.dumps(sign)[1:-1].encode() + b"A1")))
    _, out, _ = audit(capsys, "report", "log", "--by", "model", "--format", "csv")
    assert f"model,\"'{sign}A1" in out


def test_a_period_that_ends_before_it_begins_is_refused(capsys):
    for begin in ("2026-05-29", "2026-05-28"):
        status, out, err = audit(capsys, "report", "log", "--from", begin, "--to", "2026-05-28")
        assert (status, out) == (2, "")
        assert "`--from` has to be earlier than `--to`" in err


def test_what_was_written_into_a_log_steers_no_terminal(capsys):
    CURRENT.write_text(CURRENT.read_text().replace('"policy":"', '"policy":"\\u001b[2J'))
    main(["audit", "report", str(LOG)])
    out = capsys.readouterr().out
    assert "policies   ?[2J" in out
    assert "\x1b" not in out


def test_a_report_is_of_a_period_by_what_is_asked_for(capsys):
    _, out, _ = audit(
        capsys, "report", "log", "--by", "day,effect+tier", "--format", "json",
        "--from", "2026-05-28T20:26:43Z", "--to", "2026-05-28T22:26:46+02:00",
    )  # fmt: skip
    report = json.loads(out)
    assert report["all"]["decisions"] == 3
    assert [table["by"] for table in report["tables"]] == [["day"], ["effect", "tier"]]
    assert audit(capsys, "report", "log", "--from", "2026-05-29")[1].startswith("0 decisions in 3 files")
    assert audit(capsys, "report", "log", "--to", "2026-05-29")[1].startswith("12 decisions")


def test_a_long_table_is_cut_in_text_and_whole_elsewhere(capsys):
    write(worker=1, decisions=40)
    _, out, _ = audit(capsys, "report", "log", "--by", "model")
    (rows,) = re.findall(r"^20 of (\d+) rows; the others are in --format csv and json:$", out, re.MULTILINE)
    _, out, _ = audit(capsys, "report", "log", "--by", "model", "--format", "csv")
    assert len(out.splitlines()) == int(rows) + 2 > 22


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--by", "contry"], "there is no `contry`; there are: country, tier"),
        (["--from", "yesterday"], "yesterday is no day like 2026-11-01 and no time like 2026-11-01T12:00:00Z"),
    ],
)
def test_what_is_no_table_and_no_time_is_refused(capsys, arguments, words):
    with pytest.raises(SystemExit) as ended:
        audit(capsys, "report", "log", *arguments)
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("command", ["verify", "report"])
def test_the_page_on_the_log_says_what_the_help_says(capsys, command):
    page = (Path(__file__).parents[2] / "docs" / "audit.md").read_text()
    with pytest.raises(SystemExit):
        audit(capsys, command, "--help")
    options = set(re.findall(r"^  (--[\w-]+)", capsys.readouterr().out, re.MULTILINE))
    (section,) = re.findall(rf"^## modelfence audit {command}\n(.*?)(?=^## |\Z)", page, re.DOTALL | re.MULTILINE)
    assert set(re.findall(r"^\| `(--[\w-]+)", section, re.MULTILINE)) == options
