"""What a schema accepts, the reader accepts, and what the reader refuses for its form, the schema refuses."""

import json
import re
import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from modelfence.adapters.accounts.reader import read_records
from modelfence.core.problem import Problem, errors
from modelfence.document import Document
from modelfence.policy.compile import compile_policy, compile_text
from modelfence.settings_reading import load
from modelfence.workbench.cases import read_case_text
from modelfence.workbench.schema import KINDS, schema_of
from modelfence.yaml_nodes import RefusedError, compose

from .editor import as_editors_read

ROOT = Path(__file__).parents[3]
VALIDATORS = {kind: Draft202012Validator(schema_of(kind)) for kind in KINDS}

FORM = frozenset(
    (
        "wrong-type", "unknown-key", "missing-key", "empty-value", "unknown-value", "out-of-range", "bad-name", "too-long",
        "bad-url", "bad-rate", "deny-or-allow", "duplicate-value", "bad-fingerprint", "unknown-setting", "missing-setting",
        "bad-address", "bad-prefix", "bad-network", "bad-country", "bad-account", "bad-edition", "bad-credential",
        "bad-algorithm", "bad-percentage", "bad-store", "bad-key", "bad-certificate", "bad-domain", "unclear-owner", "empty-document",
        "bad-duration", "always-known", "nothing-expected",
    )
)  # fmt: skip
"""Codes of what is wrong with a file's form. What is left takes more than one value, or the language of conditions."""


def refused(kind: str, value: Any) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in VALIDATORS[kind].iter_errors(value)]


def yaml_of(pattern: str) -> list[Path]:
    return [path for path in sorted(ROOT.glob(pattern)) if not path.name.endswith(".cases.yaml")]


POLICIES = yaml_of("policies/**/*.yaml")
CASES = sorted(ROOT.glob("policies/**/*.cases.yaml"))
ACCOUNTS = [ROOT / "deploy/compose/accounts.yaml"]
SETTINGS = yaml_of("deploy/**/modelfence.yaml")
SHIPPED = [("policy", path) for path in POLICIES] + [("accounts", path) for path in ACCOUNTS]
SHIPPED += [("settings", path) for path in SETTINGS] + [("cases", path) for path in CASES]


def shown(kind: str) -> list[str]:
    """Return the whole files of a kind that the documents show."""
    begins = {
        "policy": r"version: 1",
        "accounts": r"accounts:\n",
        "settings": r"listen: ",
        "cases": r"policy: [\s\S]*\ncases:",
    }[kind]
    # What each problem looks like is shown by files that have it.
    pages = [ROOT / "README.md", *(page for page in sorted((ROOT / "docs").glob("*.md")) if page.stem != "problems")]
    blocks = [
        block
        for page in pages
        for block in re.findall(r"^```yaml\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    ]
    return [block for block in blocks if re.match(begins, block)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_schema_is_one_of_draft_2020_12(kind):
    Draft202012Validator.check_schema(schema_of(kind))


def test_the_schemas_that_are_shipped_are_what_the_tables_say():
    for path, text in runpy.run_path(str(ROOT / "tools/write_schemas.py"))["files"]().items():
        assert path.read_text() == text, "run tools/write_schemas.py"


@pytest.mark.parametrize(("kind", "path"), SHIPPED, ids=[str(path.relative_to(ROOT)) for _, path in SHIPPED])
def test_every_shipped_file_is_accepted(kind, path):
    assert refused(kind, as_editors_read(path.read_text())) == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_file_that_the_documents_show_is_accepted(kind):
    assert shown(kind)
    for text in shown(kind):
        assert refused(kind, as_editors_read(text)) == []


CASES_PATH = str(ROOT / "policies/x.cases.yaml")
STRICT = compile_policy(ROOT / "policies/strict.yaml")


def found(kind: str, text: str, folder: Path) -> list[Problem]:
    """Return what the reader of a kind says of a text."""
    if kind == "policy":
        return list(errors(compile_text(text, path=str(folder / "p.yaml")).problems))
    if kind == "accounts":
        return list(errors(read_records(Document("a.yaml", text))[1]))
    if kind == "cases":
        return list(errors(read_case_text(text, STRICT, path=CASES_PATH).problems))
    (folder / "s.yaml").write_text(text)
    return list(errors(load(folder / "s.yaml", {}, {}, with_secrets=False)[1]))


_IN_TEXTS = re.compile(
    "at this rate|a rate of zero|per second$|a (?:size|time) .* not `[0-9]{11,}`$|is longer than a year"
)


def is_of_form(kind: str, problem: Problem) -> bool:
    """Say whether a schema can tell. It can't of a number within a text: a rate's or a size's, or one in quotes."""
    is_quoted = problem.excerpt[problem.column - 1 :].startswith('"')
    is_in_text = _IN_TEXTS.search(problem.message) or (problem.code == "out-of-range" and is_quoted)
    is_of_names = kind != "policy" and problem.code == "unknown-fact"
    return (problem.code in FORM or is_of_names) and not is_in_text


def is_yaml(path: Path) -> bool:
    """Say whether a schema gets to see it; of what is no YAML, editors say so themselves."""
    try:
        compose(path.read_text())
    except (RefusedError, yaml.YAMLError, UnicodeError):
        return False
    return True


GOLDEN = [("policy", path) for path in yaml_of("tests/policy/problems/*.yaml") if is_yaml(path)]
GOLDEN += [("accounts", path) for path in yaml_of("tests/adapters/accounts/problems/*.yaml") if is_yaml(path)]
GOLDEN += [("cases", path) for path in sorted((ROOT / "tests/workbench/cases/problems").glob("*.cases.yaml"))]


@pytest.mark.parametrize(("kind", "path"), GOLDEN, ids=[f"{kind}-{path.stem}" for kind, path in GOLDEN])
def test_a_faulty_file_is_refused_for_its_form_by_both_or_by_neither(kind, path):
    problems = [problem for problem in found(kind, path.read_text(), path.parent) if is_of_form(kind, problem)]
    here = [problem for problem in problems if problem.file in ("a.yaml", str(path.parent / "p.yaml"), CASES_PATH)]
    refusals = refused(kind, as_editors_read(path.read_text()))
    assert bool(refusals) == bool(here), (refusals, [problem.render() for problem in here])


STARTS = {
    "policy": [as_editors_read(path.read_text()) for path in POLICIES] + [as_editors_read(t) for t in shown("policy")],
    "accounts": [as_editors_read(text) for text in shown("accounts")],
    # Read beside a policy that was compiled, a case file's own `policy` is not looked at.
    "cases": [{key: of for key, of in as_editors_read(path.read_text()).items() if key != "policy"} for path in CASES],
    "settings": [as_editors_read(path.read_text()) for path in SETTINGS]
    + [as_editors_read(text) for text in shown("settings")],
}
ODD: list[Any] = [
    "", " ", "x", "12", 12, -1, 0, 1.5, 10**13, True, False, None, [], ["x"], {}, {"x": 1}, "true", "enforce",
    "US", "us", "2026-01-31", "2026-13-01", "60 per minute", "60/minute", "x" * 1001, "10.0.0.0/8", "5 %", "20MB",
]  # fmt: skip
"""Some of them fit in some places."""


def places(value: Any) -> list[tuple[Any, Any]]:
    """Return each mapping with each of its keys, and each list with each of its places."""
    if isinstance(value, dict):
        return [(value, key) for key in value] + [place for one in value.values() for place in places(one)]
    if isinstance(value, list):
        return [(value, at) for at in range(len(value))] + [place for one in value for place in places(one)]
    return []


@pytest.mark.parametrize("kind", ["policy", "accounts", "cases", "settings"])
@settings(max_examples=300, deadline=None, derandomize=True)
@given(data=st.data())
def test_a_file_with_something_changed_is_refused_by_both_or_by_neither(kind, tmp_path_factory, data):
    document = json.loads(json.dumps(data.draw(st.sampled_from(STARTS[kind]))))
    within, key = data.draw(st.sampled_from(places(document)))
    change = data.draw(st.sampled_from(["replace", "remove", "rename", "repeat"]))
    if change == "replace":
        odd = [value for value in ODD if value is not None or isinstance(within, dict)]
        within[key] = data.draw(st.sampled_from(odd))
    elif isinstance(within, list) and change == "repeat":
        within.append(within[key])
    elif change == "remove":
        del within[key]
    elif isinstance(within, dict):
        within["odd_name"] = within.pop(key)
    text = json.dumps(document, ensure_ascii=False).replace(": null", ": ")
    problems = found(kind, text, tmp_path_factory.getbasetemp())
    refusals = refused(kind, document)
    said = (change, key, refusals, [problem.render()[:200] for problem in problems])
    assert refusals or not any(is_of_form(kind, problem) for problem in problems), said
    assert problems or not refusals, said


def test_an_editor_says_in_words_what_is_expected_in_place_of_a_pattern():
    [refusal] = VALIDATORS["policy"].iter_errors(
        {"version": 1, "throttle": [{"id": "a", "key": "account.id", "rate": "60 per minuet"}]}
    )
    said = refusal.schema["patternErrorMessage"]
    assert said == "something like `60 per minute` or `200000 per day` is expected here"
