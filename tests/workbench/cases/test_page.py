"""The page on cases is held to the code: its policy is fine, its cases pass, and one of them fails as it shows."""

import json
import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[3] / "docs/cases.md").read_text()
POLICY, CASES = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
SUMMARY, FAILURE = re.findall(r"^```text\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture
def test_policy(tmp_path, monkeypatch, capsys):
    """Runs the page's command on its cases and some policy."""
    from modelfence.cli import main  # noqa: PLC0415 - as its own command would

    monkeypatch.chdir(tmp_path)

    def run(policy: str, *options: str) -> tuple[int, str]:
        Path("policy.yaml").write_text(policy)
        Path("policy.cases.yaml").write_text(CASES)
        status = main(["policy", "test", "policy.yaml", "--coverage", *options])
        return status, capsys.readouterr().out

    return run


def untimed(said: str) -> str:
    return re.sub(r"in [0-9.]+ s", "in 0 s", said)


def test_the_cases_shown_pass_and_leave_nothing_untested(test_policy):
    status, said = test_policy(POLICY)
    assert (status, untimed(said)) == (0, untimed(SUMMARY))


def test_the_failure_shown_is_what_is_told(test_policy):
    status, said = test_policy(POLICY.replace("&&", "||"))
    assert status == 1
    assert said.startswith(FAILURE)


def names_below(heading: str) -> list[str]:
    """Return the names that the rows of the table below a heading begin with."""
    table = PAGE.partition(f"{heading}\n")[2].partition("| --- | --- |\n")[2].partition("\n\n")[0]
    return [name for row in table.splitlines() for name in re.findall(r"`([^`]+)`", row.split("|")[1])]


def test_every_name_of_the_json_is_explained(test_policy):
    said = json.loads(test_policy(POLICY.replace("&&", "||"), "--format", "json")[1])
    failed = next(one for one in said["files"][0]["cases"] if not one["passed"])
    assert names_below("## JSON") == list(said)
    assert names_below("### `cases`") == list(failed)
    assert names_below("### `failure`") == list(failed["failure"])
    assert names_below("### `coverage`") == list(said["coverage"])
    rules = said["coverage"]["rules"]
    part = next(one for rule in rules for parts in rule["expressions"].values() for one in parts)
    for inner in (said["files"][0], *rules, part, *failed["failure"]["differences"], *said["coverage"]["gaps"]):
        for name in inner:
            assert f"`{name}`" in PAGE, name


def test_every_option_is_in_the_table(test_policy, capsys):
    with pytest.raises(SystemExit):
        test_policy(POLICY, "--help")
    helped = capsys.readouterr().out.partition("options:")[2]
    options = {
        option for row in PAGE.splitlines() if row.startswith("| `--") for option in re.findall("--[a-z-]+", row)
    }
    assert options == set(re.findall("--[a-z-]+", helped)) - {"--help"}
