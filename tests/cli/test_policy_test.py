"""`modelfence policy test`: what authors get to read, and what a script learns from it.

The output of some runs is kept beside the cases in `policy_test/`. After a change of wording,
`python tests/cli/test_policy_test.py` writes it anew; read the difference.
"""

import contextlib
import io
import json
import os
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from modelfence.cli import main

FOLDER = Path(__file__).parent / "policy_test"
RUNS = {
    "passing": ["policy.cases.yaml"],
    "verbose": ["-v", "policy.cases.yaml"],
    "failing": ["failing.cases.yaml"],
    "coverage": ["policy.yaml", "--coverage"],
    "coverage-too-low": ["policy.cases.yaml", "--min-coverage", "90"],
    "problems": ["below", "--coverage"],
    "everything": ["--format", "json", "--coverage"],
}


def output(arguments: list[str]) -> str:
    """Return what a run in the folder prints, without how long it took."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        main(["policy", "test", *arguments])
    return re.sub(r'(?<=, in )[\d.]+(?= s)|(?<="took_s": )[\d.e-]+', "0", said.getvalue())


@pytest.mark.parametrize("name", RUNS)
def test_authors_read_what_came_of_their_cases(name, monkeypatch):
    monkeypatch.chdir(FOLDER)
    assert output(RUNS[name]) == (FOLDER / f"{name}.txt").read_text()


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["policy.cases.yaml"], 0),
        (["policy.cases.yaml", "--min-coverage", "50"], 0),
        (["policy.cases.yaml", "--min-coverage", "90%"], 1),
        (["failing.cases.yaml"], 1),
        (["below/faulty.cases.yaml"], 1),
        (["below/faulty.yaml"], 1),
        ([], 1),
        (["none.cases.yaml"], 2),
        (["none"], 2),
        (["policy.cases.yaml", "--min-coverage", "most"], 2),
        (["policy.cases.yaml", "--junit", "none/report.xml"], 2),
    ],
)
def test_the_status_says_whether_all_is_as_expected(run_here, monkeypatch, arguments, status):
    monkeypatch.chdir(FOLDER)
    ended = run_here("policy", "test", *arguments)
    assert ended.returncode == status
    assert bool(ended.stderr) == (status == 2)


def test_a_policy_means_the_cases_that_are_about_it(run_here, tmp_path, monkeypatch):
    (tmp_path / "packs").mkdir()
    (tmp_path / ".hidden").mkdir()
    case = "cases: [{name: one, expect: {effect: allow}}]\n"
    (tmp_path / "p.yaml").write_text("version: 1\naccess: [{id: a, allow: 'true'}]\n")
    (tmp_path / "q.yaml").write_text("version: 1\naccess: [{id: b, allow: 'true'}]\n")
    (tmp_path / "p.cases.yaml").write_text(case)
    (tmp_path / "q.cases.yaml").write_text(case)
    (tmp_path / "packs" / "more.cases.yaml").write_text(f"policy: ../p.yaml\n{case}")
    (tmp_path / ".hidden" / "not.cases.yaml").write_text(f"policy: ../p.yaml\n{case}")
    monkeypatch.chdir(tmp_path)

    def files(*arguments: str) -> list[str]:
        found = json.loads(run_here("policy", "test", "--format", "json", *arguments).stdout)
        return [one["file"] for one in found["files"]]

    assert files("p.yaml") == ["p.cases.yaml", "packs/more.cases.yaml"]
    assert files() == ["p.cases.yaml", "q.cases.yaml", "packs/more.cases.yaml"]
    assert files("packs", "q.yaml", "q.cases.yaml") == ["packs/more.cases.yaml", "q.cases.yaml"]


@pytest.mark.parametrize(
    ("named", "says"),
    [([], "there is no *.cases.yaml in ."), (["p.yaml"], "no cases are about p.yaml")],
)
def test_where_there_are_no_cases_nothing_could_be_tested(run_here, tmp_path, monkeypatch, named, says):
    (tmp_path / "p.yaml").write_text("version: 1\naccess: [{id: a, allow: 'true'}]\n")
    monkeypatch.chdir(tmp_path)
    ended = run_here("policy", "test", *named)
    assert (ended.returncode, ended.stderr) == (2, f"modelfence policy test: {says}\n")


def test_build_servers_read_a_report(run_here, tmp_path, monkeypatch):
    monkeypatch.chdir(FOLDER)
    report = tmp_path / "report.xml"
    run_here("policy", "test", "--junit", report)
    root = ET.parse(report).getroot()  # noqa: S314 - our own report
    assert (root.tag, root.get("tests"), root.get("failures"), root.get("errors")) == ("testsuites", "14", "6", "2")
    suites = {suite.get("name"): suite for suite in root}
    assert list(suites) == [
        "failing.cases.yaml", "policy.cases.yaml", "below/faulty.cases.yaml", "below/of-a-faulty-policy.cases.yaml",
    ]  # fmt: skip
    failing = suites["failing.cases.yaml"]
    assert {failing.get(name) for name in ("tests", "failures")} == {"7", "6"}
    hidden = failing[2]
    assert hidden.get("name") == "one of whom nobody knows whether it hides"
    assert hidden[0].get("message") == "effect: expected allow, came deny"
    assert "doubt counts against the caller" in hidden[0].text
    assert [len(case) for case in failing] == [0, 1, 1, 1, 1, 1, 1]
    assert all(float(case.get("time")) >= 0 and case.get("classname") for suite in root for case in suite)
    [[error]] = suites["below/faulty.cases.yaml"]
    assert (error.tag, error.get("message")) == ("error", "the policy has no rule `custommers`")


def test_a_report_holds_nothing_that_xml_can_not(run_here, tmp_path, monkeypatch):
    (tmp_path / "p.yaml").write_text("version: 1\naccess: [{id: a, allow: 'true'}]\n")
    case = r'{name: "one\x01\x1b<&", expect: {effect: deny}}'
    (tmp_path / "p.cases.yaml").write_text(f"cases: [{case}]\n")
    monkeypatch.chdir(tmp_path)
    run_here("policy", "test", "--junit", "report.xml")
    [[testcase]] = ET.parse("report.xml").getroot()  # noqa: S314 - our own report
    assert testcase.get("name") == "one\ufffd\ufffd<&"


if __name__ == "__main__":
    os.chdir(FOLDER)
    for each, arguments in RUNS.items():
        Path(f"{each}.txt").write_text(output(arguments))
