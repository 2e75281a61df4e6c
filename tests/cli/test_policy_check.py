"""`modelfence policy check`. What it prints stands in `policy_check_output/`, in each of its formats.

After a change of wording, `python -m tests.cli.test_policy_check` writes these files anew; read the difference.
"""

import contextlib
import io
import json
import os
import signal
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest
from tests.cli.conftest import COMMAND, WITHIN_S

from modelfence.cli import main

FOLDER = Path(__file__).parent / "policy_check_output"
FORMATS = {"text": "text.txt", "json": "problems.json", "sarif": "problems.sarif", "github": "github.txt"}
FINE = 'version: 1\naccess:\n  - {id: active, allow: kyc.status == "active"}\n'
CASES = "given: {kyc.status: active}\ncases: [{name: a, given: {}, expect: {effect: allow}}]\n"
BAD = (FOLDER / "broken.yaml").read_text()


def printed(kind: str) -> str:
    """Return what is printed of two policies; run within their folder, so that paths are shown as they were given."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert main(["policy", "check", "--format", kind, "broken.yaml", "odd.yaml"]) == 1
    return out.getvalue().replace(f'"version": "{version("modelfence")}"', '"version": "(this one)"')


@pytest.mark.parametrize("kind", FORMATS)
def test_problems_are_printed_as_their_readers_want_them(kind, monkeypatch):
    monkeypatch.chdir(FOLDER)
    assert printed(kind) == (FOLDER / FORMATS[kind]).read_text()


def test_a_policy_without_problems_is_fine(modelfence, tmp_path):
    (tmp_path / "p.yaml").write_text(FINE)
    (tmp_path / "p.cases.yaml").write_text(CASES)
    ended = modelfence("policy", "check", "--strict", "p.yaml")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("p.yaml: fine, 1 rule, hash ")
    assert ended.stdout.count("\n") == 1


def test_cases_among_the_files_are_checked_as_cases(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.yaml").write_text(FINE)
    (tmp_path / "p.cases.yaml").write_text(CASES)
    assert main(["policy", "check", "--strict", "p.cases.yaml", "p.yaml"]) == 0
    assert capsys.readouterr().out.startswith("p.cases.yaml: fine, 1 case\n")
    (tmp_path / "p.cases.yaml").write_text(CASES.replace("allow", "alow"))
    assert main(["policy", "check", "p.cases.yaml"]) == 1
    said = capsys.readouterr().out
    assert "p.cases.yaml:2:" in said
    assert "fine" not in said


def test_problems_can_be_had_as_json(modelfence, tmp_path):
    (tmp_path / "p.yaml").write_text(BAD)
    ended = modelfence("policy", "check", "--format", "json", "p.yaml")
    assert ended.returncode == 1
    assert [(p["line"], p["column"], p["code"]) for p in json.loads(ended.stdout)] == [
        (2, 7, "unknown-value"),
        (5, 11, "unknown-fact"),
        (5, 28, "unknown-list"),
    ]


def test_warnings_change_the_status_only_when_strict(modelfence, tmp_path):
    (tmp_path / "p.yaml").write_text(FINE)
    assert modelfence("policy", "check", "p.yaml").returncode == 0
    strict = modelfence("policy", "check", "--strict", "p.yaml")
    assert strict.returncode == 1
    assert "no-cases" in strict.stdout
    assert "\n1 warning in 1 file\n" in strict.stdout


def test_what_two_policies_include_is_told_once(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pack.yaml").write_text('version: 1\naccess:\n  - {id: britain, deny: client.country == "UK"}\n')
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text("version: 1\ninclude: [pack.yaml]\n")
    assert main(["policy", "check", "a.yaml", "b.yaml"]) == 0
    assert capsys.readouterr().out.count("[unknown-country]") == 1


def test_a_rule_that_is_long_in_shadow_is_told_as_of_today(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rule = "{id: no-tor, deny: client.tor, mode: shadow, since: 2020-01-31}"
    (tmp_path / "p.yaml").write_text(f"version: 1\naccess:\n  - {rule}\n")
    main(["policy", "check", "p.yaml"])
    assert "`no-tor` has been in shadow for" in capsys.readouterr().out


def test_a_file_that_is_not_there_could_not_be_checked(modelfence):
    ended = modelfence("policy", "check", "none.yaml")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "none.yaml can't be read: No such file or directory\n"


def test_the_others_are_checked_all_the_same(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.yaml").write_text(FINE)
    assert main(["policy", "check", "none.yaml", "p.yaml"]) == 2
    said = capsys.readouterr()
    assert "\np.yaml: 1 rule, hash " in said.out
    assert said.err == "none.yaml can't be read: No such file or directory\n"


def test_a_pipe_is_not_waited_for_because_it_is_named_as_cases_are(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.yaml").write_text(FINE)
    os.mkfifo("pipe.cases.yaml")
    assert main(["policy", "check", "p.yaml"]) == 0
    assert "[no-cases]" in capsys.readouterr().out


@pytest.mark.parametrize("kind", FORMATS)
def test_a_name_that_is_no_text_is_printed_as_well_as_can_be(kind, modelfence, tmp_path):
    name = os.fsdecode(b"p\xff.yaml")
    (tmp_path / name).write_text(BAD)
    ended = modelfence("policy", "check", "--format", kind, name, PYTHONIOENCODING="ascii:strict")
    assert (ended.returncode, ended.stderr) == (1, "")
    assert ("p%FF.yaml" if kind == "sarif" else "p\\udcff.yaml") in ended.stdout


def test_whoever_interrupts_it_sees_no_traceback(tmp_path):
    os.mkfifo(tmp_path / "slow.yaml")
    running = subprocess.Popen(  # noqa: S603 - our own command
        [*COMMAND, "policy", "check", "slow.yaml"], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    with running, (tmp_path / "slow.yaml").open("wb"):  # it has opened the file when this can be opened
        running.send_signal(signal.SIGINT)
        assert (running.wait(WITHIN_S), running.stderr.read()) == (2, "interrupted\n")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_is_told_without_a_traceback(tmp_path, unbuffered):
    (tmp_path / "p.yaml").write_text(BAD)
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(  # noqa: S603 - our own command
            [*COMMAND, "policy", "check", "p.yaml"],
            cwd=tmp_path,
            env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (ended.returncode, ended.stderr) == (2, "what was found can't be written: No space left on device\n")


def test_nobody_is_told_that_nobody_reads_on(tmp_path):
    (tmp_path / "p.yaml").write_text(BAD)
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(  # noqa: S603 - our own command
        [*COMMAND, "policy", "check", "p.yaml"],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (2, "")


if __name__ == "__main__":
    os.chdir(FOLDER)
    for each, file in FORMATS.items():
        (FOLDER / file).write_text(printed(each))
