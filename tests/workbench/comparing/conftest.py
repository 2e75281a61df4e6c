"""Two policies compared on a recording, as the command and the studio do it."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.workbench.comparing.traffic import write_accounts

from modelfence.assembly import anywhere
from modelfence.parts import read_parts, with_policy
from modelfence.policy import compile_text
from modelfence.settings import Settings
from modelfence.workbench.comparing import Comparison, compare


@pytest.fixture(scope="session")
def accounts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_accounts(tmp_path_factory.mktemp("comparing"))


@pytest.fixture(scope="session")
def comparing(accounts: Path) -> Callable[..., Comparison]:
    """Compares two texts of policies."""
    settings = Settings(accounts=accounts, upstreams=anywhere())
    parts = read_parts(settings)

    def parts_of(text: str, name: str):
        compiled = compile_text(text, path=name)
        assert compiled.policy, [problem.render() for problem in compiled.problems]
        return with_policy(settings, parts, (compiled.policy, compiled.problems), Path(name))

    def run(old: str, new: str, lines, **options) -> Comparison:
        sides = parts_of(old, "old.yaml"), parts_of(new, "new.yaml")
        return asyncio.run(compare(settings, *sides, lines, **options))

    return run
