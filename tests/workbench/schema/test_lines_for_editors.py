"""Every shipped file of a kind that has a schema names it in its first line, so that editors check it unasked."""

import re
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from modelfence.workbench.schema import KINDS, schema_of
from modelfence.yaml_nodes import RefusedError

from .editor import as_editors_read

ROOT = Path(__file__).parents[3]
SCHEMAS = ROOT / "policies" / "schemas"
LINE = re.compile(r"# yaml-language-server: \$schema=(\S+)\n")
VALIDATORS = {kind: Draft202012Validator(schema_of(kind)) for kind in KINDS}
SHIPPED_IN = ("bench", "deploy", "docs", "grafana", "policies", "tools")
FILES = sorted(
    path
    for folder in SHIPPED_IN
    for path in (ROOT / folder).rglob("*.y*ml")
    if "node_modules" not in path.relative_to(ROOT).parts
)


def kind_of(path: Path) -> str | None:
    """Return the kind of a file by what is in it: schemas know all keys, so a file fits none or one."""
    try:
        value = as_editors_read(path.read_text())
    except (RefusedError, yaml.YAMLError):
        return None
    fitting = [kind for kind, validator in VALIDATORS.items() if validator.is_valid(value)]
    return fitting[0] if fitting else None


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(ROOT)) for path in FILES])
def test_a_file_names_the_schema_of_its_kind_by_a_relative_path(path):
    kind, line = kind_of(path), LINE.match(path.read_text())
    named = (path.parent / line[1]).resolve() if line else None
    assert named == (SCHEMAS / f"{kind}.json" if kind else None)


def test_there_are_such_files_of_every_kind():
    assert {kind_of(path) for path in FILES} >= KINDS.keys()


def test_no_shipped_folder_is_left_out():
    folders = {path.relative_to(ROOT).parts[0] for path in ROOT.glob("[!.]*/**/*.y*ml")} - {"tests", "node_modules"}
    assert folders <= {*SHIPPED_IN, "proxy"}  # what is below `proxy` is a link to `policies`
