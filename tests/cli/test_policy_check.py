"""`modelfence policy check`."""

import json

FINE = 'version: 1\naccess:\n  - {id: all, allow: "true"}\n'
BAD = "version: 1\nmode: enforc\naccess:\n  - id: a\n    deny: client.contry in lists.embargoed\n"


def test_a_policy_without_problems_is_fine(modelfence, tmp_path):
    (tmp_path / "p.yaml").write_text(FINE)
    ended = modelfence("policy", "check", "p.yaml")
    assert ended.returncode == 0
    assert ended.stdout.startswith("p.yaml: fine, 1 rules, hash ")


def test_every_problem_is_printed_with_its_place(modelfence, tmp_path):
    (tmp_path / "p.yaml").write_text(BAD)
    ended = modelfence("policy", "check", "p.yaml")
    assert ended.returncode == 1
    assert (
        ended.stdout
        == """\
p.yaml:2:7: `enforc` is not possible here [unknown-value]
  |
2 | mode: enforc
  |       ^^^^^^
  = did you mean `enforce`?

p.yaml:5:11: unknown fact `client.contry` [unknown-fact]
  |
5 |     deny: client.contry in lists.embargoed
  |           ^^^^^^^^^^^^^
  = did you mean `client.country`?

p.yaml:5:28: unknown list `embargoed` [unknown-list]
  |
5 |     deny: client.contry in lists.embargoed
  |                            ^^^^^^^^^^^^^^^

"""
    )


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
    (tmp_path / "p.yaml").write_text(FINE + "throttle: [{id: t, key: extraction.cohort, rate: 1 per day}]\n")
    assert modelfence("policy", "check", "p.yaml").returncode == 0
    strict = modelfence("policy", "check", "--strict", "p.yaml")
    assert strict.returncode == 1
    assert "warning" in strict.stdout


def test_a_file_that_is_not_there_could_not_be_checked(modelfence):
    ended = modelfence("policy", "check", "none.yaml")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "none.yaml can't be read: No such file or directory\n"
