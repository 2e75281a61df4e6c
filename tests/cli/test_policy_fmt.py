"""`modelfence policy fmt`: what is written, what is left alone, and what people read of it."""

import io
import sys

import pytest

from modelfence.cli import main

LOOSE = "# head\naccess:\n- allow:   'kyc.status == \"active\"'   # who pays\n  id: active\nversion: 1\n"
FORM = '# head\nversion: 1\n\naccess:\n  - id: active\n    allow: kyc.status == "active"  # who pays\n'
LOOSE_CASES = "cases:\n- {expect: {effect: deny}, name: a}\n"
CASES = "cases:\n  - {name: a, expect: {effect: deny}}\n"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_policies_and_cases_are_written_in_form(folder, capsys):
    (folder / "p.yaml").write_text(LOOSE)
    (folder / "p.cases.yaml").write_text(LOOSE_CASES)
    assert main(["policy", "fmt", "p.yaml", "p.cases.yaml"]) == 0
    assert capsys.readouterr().out == "p.yaml: written anew\np.cases.yaml: written anew\n2 files in form\n"
    assert (folder / "p.yaml").read_text() == FORM
    assert (folder / "p.cases.yaml").read_text() == CASES


def test_what_is_in_form_is_not_written(folder, capsys):
    (folder / "p.yaml").write_text(FORM)
    before = (folder / "p.yaml").stat()
    assert main(["policy", "fmt", "p.yaml"]) == 0
    assert capsys.readouterr().out == "1 file in form\n"
    assert (folder / "p.yaml").stat() == before


def test_a_file_keeps_its_mode(folder):
    (folder / "p.yaml").write_text(LOOSE)
    (folder / "p.yaml").chmod(0o640)
    assert main(["policy", "fmt", "p.yaml"]) == 0
    assert (folder / "p.yaml").stat().st_mode & 0o777 == 0o640
    assert [path.name for path in folder.iterdir()] == ["p.yaml"]


def test_check_lists_what_is_in_another_form_and_changes_nothing(folder, capsys):
    (folder / "p.yaml").write_text(LOOSE)
    (folder / "fine.yaml").write_text(FORM)
    assert main(["policy", "fmt", "--check", "p.yaml", "fine.yaml"]) == 1
    assert capsys.readouterr().out == "p.yaml: in another form\n"
    assert (folder / "p.yaml").read_text() == LOOSE
    assert main(["policy", "fmt", "--check", "fine.yaml"]) == 0


def test_of_a_file_with_problems_it_says_what_check_says_and_leaves_it(folder, capsys):
    faulty = LOOSE.replace("kyc.status", "kyc.state")
    (folder / "p.yaml").write_text(faulty)
    assert main(["policy", "fmt", "p.yaml"]) == 1
    said, complaint = capsys.readouterr()
    assert complaint == "p.yaml has problems and is left as it is\n"
    assert said.startswith("p.yaml:3:13: unknown fact `kyc.state` [unknown-fact]\n")
    assert (folder / "p.yaml").read_text() == faulty
    assert main(["policy", "check", "p.yaml"]) == 1
    assert capsys.readouterr().out.startswith(said)


@pytest.mark.parametrize(
    ("loose", "form"), [(LOOSE, FORM), (f"policy: p.yaml\n{LOOSE_CASES}", f"policy: p.yaml\n\n{CASES}")]
)
def test_from_stdin_the_form_goes_to_stdout(folder, monkeypatch, capsys, loose, form):
    (folder / "p.yaml").write_text(FORM)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(loose.encode())))
    assert main(["policy", "fmt", "-"]) == 0
    assert capsys.readouterr().out == form


def test_problems_of_stdin_are_no_part_of_the_result(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"version: 2\n")))
    assert main(["policy", "fmt", "-"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("-:1:10: `2` is not possible here")


def test_a_file_that_is_not_there_and_one_that_is_too_odd_can_not_be_done(folder, capsys):
    (folder / "odd.yaml").write_text("version: 1\nlists:\n  a:\n    - |-\n      a\u2028      b\n", encoding="utf8")
    (folder / "p.yaml").write_text(LOOSE)
    assert main(["policy", "fmt", "missing.yaml", "odd.yaml", "p.yaml"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "missing.yaml can't be read: No such file or directory",
        "odd.yaml is left as it is: in the form it would not say the same",
    ]
    assert (folder / "p.yaml").read_text() == FORM
