"""The named lists that come with the fence: real codes, in order, with source and date."""

import re
from datetime import date
from pathlib import Path

import pytest

from modelfence.core.charge import Demand
from modelfence.core.countries import COUNTRIES, EU
from modelfence.core.decision import Effect, decide
from modelfence.policy import compile_policy
from modelfence.policy.compile import compile_text

FOLDER = Path(__file__).parents[2] / "policies" / "lists"
FILES = sorted(FOLDER.glob("*.yaml"))
NAMES = {
    "anthropic_supported", "bis_d1", "bis_d4", "bis_d5", "bis_e1", "bis_e2", "eea", "embargoed", "eu", "five_eyes",
    "openai_supported", "sanctioned_regions",
}  # fmt: skip
REGIONS_OF_UKRAINE = {
    f"UA-{code}"
    for code in [
        "05",
        "07",
        "09",
        "12",
        "14",
        "18",
        "21",
        "23",
        "26",
        "30",
        "32",
        "35",
        "40",
        "43",
        "46",
        "48",
        "51",
        "53",
        "56",
        "59",
        "61",
        "63",
        "65",
        "68",
        "71",
        "74",
        "77",
    ]
}


def lists(path):
    return compile_policy(path).policy.lists


def every_list():
    return {name: codes for path in FILES for name, codes in lists(path).items()}


def test_the_lists_are_those_the_documents_name():
    assert set(every_list()) == NAMES
    page = (FOLDER.parents[1] / "docs" / "geography.md").read_text()
    assert {name for name in NAMES if f"`{name}`" in page} == NAMES
    assert {path.name for path in FILES if f"`lists/{path.name}`" in page} == {path.name for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_code_is_real_and_stands_once_and_in_order(path):
    for name, codes in lists(path).items():
        assert list(codes) == sorted(set(codes)), name
        assert set(codes) <= (REGIONS_OF_UKRAINE if name == "sanctioned_regions" else COUNTRIES), name


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_list_says_where_it_comes_from_and_when_it_was_so(path):
    text = path.read_text()
    head = re.sub(r"\n# ?", "\n", text[: text.index("\nversion:")])
    assert re.search(r"^Source: \S", head, re.MULTILINE)
    as_of = re.search(r"^As of: (\d{4}(?:-\d\d-\d\d)?)\b", head, re.MULTILINE)
    assert as_of
    if "-" in as_of[1]:
        date.fromisoformat(as_of[1])
    assert all(f"`lists.{name}`" in head or f"`{name}`" in head for name in lists(path))


def test_the_lists_of_the_european_union_are_what_the_fact_goes_by():
    found = every_list()
    assert set(found["eu"]) == EU
    assert set(found["eea"]) == EU | {"IS", "LI", "NO"}


@pytest.mark.parametrize(
    ("facts", "effect"),
    [
        ({"client.country": "UA", "client.region": "UA-43"}, Effect.DENY),
        ({"client.country": "UA", "client.region": "UA-30"}, Effect.ALLOW),
        ({"client.country": "UA"}, Effect.DENY),
        ({"client.country": "DE"}, Effect.ALLOW),
        ({"client.country": "DE", "client.region": "DE-BE"}, Effect.ALLOW),
        ({}, Effect.DENY),
    ],
)
def test_the_rule_that_the_sanctioned_regions_come_with_denies_only_where_one_may_be(tmp_path, facts, effect):
    path = FOLDER / "sanctioned-regions.yaml"
    [condition] = re.findall(r"^#     (client\..*)$", path.read_text(), re.MULTILINE)
    root = tmp_path / "policy.yaml"
    root.write_text(
        f"version: 1\ninclude: [{path}]\naccess:\n"
        f"  - {{id: all, allow: 'true'}}\n  - id: sanctioned\n    deny: {condition}\n"
    )
    assert decide(compile_policy(root).policy, facts, Demand()).effect is effect


def test_the_policies_that_the_page_on_geography_shows_have_no_problems():
    page = (FOLDER.parents[1] / "docs" / "geography.md").read_text()
    shown = re.findall(r"^```yaml\n((?:include|access):.*?)^```", page, re.DOTALL | re.MULTILINE)
    assert len(shown) == 3
    for text in shown:
        assert compile_text(f"version: 1\n{text}", path=str(FOLDER.parent / "shown.yaml")).problems == ()


@pytest.mark.parametrize(
    ("facts", "rules"),
    [
        ({"account.recent_countries": ["DE", "FR", "NO"]}, ("all",)),
        ({"account.recent_countries": ["DE", "FR", "NO", "US"]}, ("used-from-many-countries",)),
        ({}, ("used-from-many-countries",)),
    ],
)
def test_the_rule_on_recent_countries_that_the_page_on_geography_shows_denies_from_the_fourth_on(facts, rules):
    page = (FOLDER.parents[1] / "docs" / "geography.md").read_text()
    [shown] = re.findall(r"^```yaml\naccess:\n(  - id: used-from.*?)^```", page, re.DOTALL | re.MULTILINE)
    policy = compile_text(f"version: 1\naccess:\n  - {{id: all, allow: 'true'}}\n{shown}").policy
    assert decide(policy, facts, Demand()).rules == rules


def test_all_lists_can_be_included_together(tmp_path):
    root = tmp_path / "policy.yaml"
    included = ", ".join(str(path) for path in (*FILES, FOLDER.parent / "packs" / "embargoed-regions.yaml"))
    root.write_text(f"version: 1\ninclude: [{included}]\n")
    compiled = compile_policy(root)
    assert compiled.problems == ()
    assert set(compiled.policy.lists) == NAMES
