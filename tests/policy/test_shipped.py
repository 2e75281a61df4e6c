"""The policies that come with the package."""

from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

import pytest

from modelfence.policy import compile_policy
from modelfence.workbench.checking import case_files_near, problems_of

FOLDER = Path(__file__).parents[2] / "policies"
SHIPPED = sorted(path for path in FOLDER.rglob("*.yaml") if not path.name.endswith(".cases.yaml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(FOLDER)))
def test_a_shipped_policy_checks_clean(path):
    compiled = compile_policy(path)
    assert problems_of(compiled, today=datetime.now(UTC).date(), cases=case_files_near(compiled)) == ()
    assert compiled.policy is not None


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(FOLDER)))
def test_a_shipped_policy_begins_with_words_for_its_readers(path):
    lines = path.read_text().splitlines()
    head = lines[: next(n for n, line in enumerate(lines) if not line.startswith("#"))]
    assert len(head) >= 5
    assert any("What to change" in line for line in head)


def test_the_policies_are_part_of_the_package():
    installed = files("modelfence") / "policies"
    assert (installed / "default.yaml").read_text() == (FOLDER / "default.yaml").read_text()
    assert (installed / "packs" / "embargoed-regions.yaml").is_file()
