"""`modelfence policy diff`: what is printed, what the exit status says, and what is complained of."""

import json
import re
from pathlib import Path

import pytest
from tests.workbench.comparing.traffic import AT_S, NEW, OLD, line, recording, redacted, write_accounts

GOLDEN = Path(__file__).parent / "policy_diff_output"
TOOK = re.compile(r"(compared in|\"took_s\":) [0-9.]+")


@pytest.fixture
def diff(tmp_path, monkeypatch, run_here):
    """Compares two policies on a recording, in a folder of their own."""
    monkeypatch.chdir(tmp_path)
    write_accounts(tmp_path)

    def run(*options: str, old: str = OLD, new: str = NEW, lines=()):
        Path("live.yaml").write_text(old)
        Path("new.yaml").write_text(new)
        Path("day.jsonl").write_bytes(b"".join(one + b"\n" for one in (lines or recording())))
        return run_here(
            "policy", "diff", "live.yaml", "new.yaml", "--on", "day.jsonl", "--accounts", "accounts.yaml", *options
        )

    return run


def committed(name: str) -> str:
    return (GOLDEN / name).read_text()


def untimed(said: str) -> str:
    return TOOK.sub(r"\1 0.1", said)


def test_the_report_is_as_committed(diff):
    ended = diff()
    assert (ended.returncode, ended.stderr) == (0, "")
    assert untimed(ended.stdout) == committed("report.txt")


def test_the_report_as_json_is_as_committed(diff):
    ended = diff("--format", "json")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert untimed(ended.stdout) == committed("report.json")


def test_a_report_on_nothing_but_the_policy_is_as_committed(diff):
    long = "client.country in lists.closed_models || " * 8 + 'request.model == "x"'
    old = OLD.replace("lists:", f"lists:\n  many: [{', '.join(f'w{n}' for n in range(40))}]\n  few: [a, b]")
    new = (
        OLD.replace("version: 1", "version: 1\nmode: shadow")
        .replace("request.model in lists.closed_models && kyc.tier < tier.verified", long)
        .replace("id: requests", "id: calls")
        .replace("lists:", "lists:\n  few: [b, c, d]\n  one: [e]")
    )
    ended = diff(old=old, new=new, lines=[line()])
    assert ended.returncode == 0
    assert untimed(ended.stdout) == committed("edits.txt")


def test_a_recording_with_all_that_can_be_odd_about_it_is_as_committed(diff):
    shadowed = NEW.replace("id: not-from-germany,", "id: not-from-germany, mode: shadow,")
    lines = [redacted(line(0, "globex", "DE")), line(9, client_ip="10.0.0.1"), b"{", line(3), line(10, body=[])]
    ended = diff(new=shadowed, lines=lines)
    assert ended.returncode == 1
    assert ended.stderr == (
        "day.jsonl:3: it is not JSON: Expecting property name enclosed in double quotes at column 2\n"
        "day.jsonl:4: it is earlier than a line before it, so it is judged at the time of that one\n"
    )
    assert untimed(ended.stdout) == committed("odd.txt")


# The sentence on top


@pytest.mark.parametrize(
    ("old", "new", "lines", "sentence"),
    [
        (OLD, OLD, [line()], "NEW decides about 1 request as OLD does."),
        (OLD, NEW, [b"{"], "The recording holds no request, so there is nothing to compare."),
        (
            OLD,
            NEW,
            [line(0, "globex", "DE"), line(1, "initech", "DE"), line(2)],
            "NEW refuses 2 of the 3 requests that OLD let in (66.67%), from 2 accounts; it lets in none of the 0 that OLD refused.",
        ),
        (
            NEW,
            OLD,
            [line(0, "globex", "DE"), line(2)],
            "NEW refuses none of the 1 request that OLD let in; it lets in 1 of the 1 that OLD refused.",
        ),
        (
            OLD.replace('kyc.status == "active"', "true"),
            OLD,
            [line(0, "nobody")],
            "NEW refuses 1 of the 1 request that OLD let in (100.00%), from callers without an account; it lets in none of the 0 that OLD refused.",
        ),
    ],
    ids=["alike", "nothing", "refused", "allowed", "strangers"],
)  # fmt: skip
def test_one_sentence_says_what_happens(diff, old, new, lines, sentence):
    assert diff(old=old, new=new, lines=lines).stdout.splitlines()[0] == sentence


# The limit


@pytest.mark.parametrize(
    ("most", "status", "words"),
    [
        ("4", 0, "within what --max-newly-refused allows: 4."),
        ("3", 1, "more than what --max-newly-refused allows: 3."),
        ("50%", 0, "within what --max-newly-refused allows: 50% of the 8 that OLD let in, so 4."),
        ("49.9%", 1, "more than what --max-newly-refused allows: 49.9% of the 8 that OLD let in, so 3."),
        ("0", 1, "more than what --max-newly-refused allows: 0."),
        ("100 %", 0, "within what --max-newly-refused allows: 100 % of the 8 that OLD let in, so 8."),
    ],
)
def test_a_limit_on_what_is_newly_refused_decides_the_exit_status(diff, most, status, words):
    ended = diff("--max-newly-refused", most)
    assert (ended.returncode, ended.stdout.splitlines()[1]) == (status, f"That is {words}")
    said = json.loads(diff("--max-newly-refused", most, "--format", "json").stdout)
    assert (said["newly_refused"], said["is_exceeded"]) == (4, status == 1)


def test_nothing_is_too_much_where_nothing_was_let_in(diff):
    ended = diff("--max-newly-refused", "0%", lines=[line(0, "nobody")])
    assert ended.returncode == 0


@pytest.mark.parametrize("most", ["-1", "101%", "few", "1.5", "%", ""])
def test_a_limit_is_a_number_or_a_share(diff, most):
    ended = diff(f"--max-newly-refused={most}")
    assert ended.returncode == 2
    assert f"`{most}` is neither a number, as in 20, nor a share, as in 0.5%" in ended.stderr


# What else may be asked for


def test_a_policy_in_shadow_may_be_taken_as_enforced(diff):
    as_written = json.loads(diff("--format", "json", new="mode: shadow\n" + NEW).stdout)
    enforced = json.loads(diff("--format", "json", "--as-enforced", new="mode: shadow\n" + NEW).stdout)
    assert (as_written["newly_refused"], enforced["newly_refused"]) == (0, 4)
    assert (as_written["new"]["as_enforced"], enforced["new"]["as_enforced"]) == (False, True)
    assert "NEW would refuse" in diff(new="mode: shadow\n" + NEW).stdout


def test_requests_that_fare_otherwise_may_go_into_a_file(diff):
    ended = diff("--out", "changed.jsonl")
    assert ended.returncode == 0
    written = [json.loads(one) for one in Path("changed.jsonl").read_text().splitlines()]
    assert [one["n"] for one in written] == [0, 1, 2, 3, 4, 5, 6, 7, 10]
    assert written[2] == {
        "n": 2,
        "ts": AT_S + 2,
        "account": "acme",
        "changes": ["newly_throttled"],
        "old": {"effect": "allow", "rules": ["customers"], "unknown": [], "retry_after": None},
        "new": {"effect": "throttle", "rules": ["requests"], "unknown": [], "retry_after": 58.0},
    }


def test_they_may_go_to_standard_output_and_then_the_report_does_not(diff):
    ended = diff("--out", "-")
    assert [json.loads(one)["n"] for one in ended.stdout.splitlines()] == [0, 1, 2, 3, 4, 5, 6, 7, 10]
    assert ended.stderr.startswith("NEW refuses 4 of the 8 requests")


def test_settings_name_the_upstreams_and_the_accounts(diff):
    Path("modelfence.yaml").write_text(
        "accounts: accounts.yaml\npolicy: none-such.yaml\nstore: redis://127.0.0.1:1\n"
        "upstreams: [{name: own, url: http://127.0.0.1:1, dialect: openai, prefix: /own}]\n"
    )
    ended = diff(
        "--config", "modelfence.yaml", "--format", "json", lines=[line(path="/own/v1/chat/completions"), line()]
    )
    assert ended.returncode == 0, ended.stderr
    said = json.loads(ended.stdout)
    assert (said["recording"]["rejected"], said["old"]["effects"]) == (1, {"allow": 1, "reject": 1})


# What can't be done


def test_a_policy_with_problems_is_no_policy_to_compare(diff):
    for old, new, named in (
        (OLD, NEW.replace("client.country", "client.contry"), "new"),
        ("version: 2\n", NEW, "live"),
    ):
        ended = diff(old=old, new=new)
        assert (ended.returncode, ended.stdout) == (2, "")
        assert ended.stderr.endswith(f"modelfence policy diff: the policy {named}.yaml has problems\n")
        assert f"{named}.yaml:" in ended.stderr


def test_accounts_of_a_tier_that_the_new_policy_does_not_know_are_told(diff):
    ended = diff(new=NEW.replace("[none, basic, verified]", "[none, verified]").replace("tier.basic", "tier.verified"))
    assert ended.returncode == 2
    assert "unknown-tier" in ended.stderr
    assert ended.stderr.endswith("accounts.yaml has tiers that the policy lacks\n")


def test_of_a_flood_of_problems_the_first_are_told(diff):
    lists = "".join(f"  a{n}: 1\n" for n in range(1_020))
    ended = diff(new=f"version: 1\nlists:\n{lists}")
    assert ended.stderr.count("[wrong-type]") == 20
    assert "\n… and 1,000 more\n" in ended.stderr


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("none.yaml", "new.yaml", "--on", "day.jsonl"), "the policy none.yaml can't be read: No such file or directory"),
        (("live.yaml", "none.yaml", "--on", "day.jsonl"), "the policy none.yaml can't be read: No such file or directory"),
        (("live.yaml", "new.yaml", "--on", "none.jsonl"), "the recording none.jsonl can't be read: No such file or directory"),
        (("live.yaml", "new.yaml", "--on", "day.jsonl", "--out", "day.jsonl"), "--out day.jsonl is the recording itself"),
    ],
    ids=["old", "new", "recording", "out"],
)  # fmt: skip
def test_what_can_not_be_read_is_named(diff, run_here, words, complaint):
    diff()
    ended = run_here("policy", "diff", *words, "--accounts", "accounts.yaml")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == f"modelfence policy diff: {complaint}\n"


def test_a_recording_that_ends_early_is_not_compared(diff, run_here):
    diff()
    Path("day.jsonl.gz").write_bytes(b"\x1f\x8bnot gzip at all")
    ended = run_here("policy", "diff", "live.yaml", "new.yaml", "--on", "day.jsonl.gz", "--accounts", "accounts.yaml")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "can't be read: it is not whole" in ended.stderr


def test_it_runs_as_a_command_of_its_own(diff, modelfence):
    diff()
    ended = modelfence("policy", "diff", "live.yaml", "new.yaml", "--on", "day.jsonl", "--accounts", "accounts.yaml")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("NEW refuses 4 of the 8 requests")


# The page


PAGE = (Path(__file__).parents[2] / "docs/comparing.md").read_text()


def rows_below(heading: str) -> list[tuple[list[str], str]]:
    """Return for each row of the table below a heading the names it begins with, and what it says."""
    _, _, below = PAGE.partition(f"{heading}\n")
    table = below.partition("| --- | --- |\n")[2].partition("\n\n")[0]
    return [(re.findall(r"`([^`]+)`", row.split("|")[1]), row.split("|")[2]) for row in table.splitlines()]


def names_below(heading: str) -> list[str]:
    return [name for names, _ in rows_below(heading) for name in names]


def test_the_page_names_all_of_the_json_and_nothing_else():
    said = json.loads(committed("report.json"))
    for heading, written in (
        ("## JSON", said),
        ("### `old` and `new`", said["old"]),
        ("### `recording`", said["recording"]),
        ("### `policy_changes`", said["policy_changes"]),
        ("### `rules`", said["rules"][0]),
        ("### `reasons`", said["reasons"][0]),
        ("### `by`", said["by"]["country"]),
        ("### `over_time`", said["over_time"]),
        ("## What can change for a request", said["changes"]),
    ):
        assert names_below(heading) == list(written), heading


@pytest.mark.parametrize(
    ("heading", "row", "inner"),
    [
        ("## JSON", "by", lambda said: said["by"]),
        ("### `policy_changes`", "keys", lambda said: said["policy_changes"]["rules"][0]["keys"][0]),
        ("### `policy_changes`", "lists", lambda said: said["policy_changes"]["lists"][0]),
        ("### `policy_changes`", "rules", lambda said: said["policy_changes"]["rules"][0]),
        ("### `reasons`", "old", lambda said: said["reasons"][0]["old"]),
        ("### `reasons`", "examples", lambda said: said["reasons"][0]["examples"][0]),
    ],
    ids=["by", "keys", "lists", "rules", "grounds", "examples"],
)
def test_the_page_names_what_is_within_in_the_row_of_the_whole(heading, row, inner):
    words = next(words for names, words in rows_below(heading) if names[0] == row)
    named = set(re.findall(r"`(\w+)`", words))
    assert set(inner(json.loads(committed("report.json")))) <= named


def test_the_page_says_what_a_row_counts():
    words = next(words for names, words in rows_below("### `by`") if names == ["rows"])
    row = json.loads(committed("report.json"))["by"]["country"]["rows"][0]
    assert set(row) - set(re.findall(r"`(\w+)`", words)) == set(names_below("## What can change for a request"))


def test_the_line_that_the_page_shows_is_one_that_is_written_and_all_its_names_are_explained(diff):
    [shown] = re.findall(r"^```json\n(.*)\n```$", PAGE, re.MULTILINE)
    assert shown in diff("--out", "-").stdout.splitlines()
    assert names_below("## Requests, a line each") == list(json.loads(shown))
    words = rows_below("## Requests, a line each")[-1][1]
    assert list(json.loads(shown)["new"]) == re.findall(r"`(\w+)`", words)


def test_the_page_begins_the_report_as_it_begins():
    [shown] = re.findall(r"^```text\n(.*)\n```$", PAGE, re.MULTILINE)
    assert committed("report.txt").splitlines()[0] == shown


def test_the_page_has_every_option(diff):
    helped = diff("--help").stdout
    options = set(re.findall(r"--[a-z-]+", "".join(row for row in PAGE.splitlines() if row.startswith("| `--"))))
    assert options == set(re.findall(r"--[a-z-]+", helped.partition("options:")[2])) - {"--help"} | {
        "--max-newly-refused"
    }
