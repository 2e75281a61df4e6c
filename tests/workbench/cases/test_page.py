"""The page on cases is held to the code: its policy is fine, its cases pass, and one of them fails as it shows."""

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

    def run(policy: str) -> tuple[int, str]:
        Path("policy.yaml").write_text(policy)
        Path("policy.cases.yaml").write_text(CASES)
        status = main(["policy", "test", "policy.yaml", "--coverage"])
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
