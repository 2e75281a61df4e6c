"""Problems as code scanning reads them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from modelfence.core.problem import Problem, Severity
from modelfence.workbench.problems import PAGES, sarif

# OASIS's schema as the npm package @microsoft/jest-sarif 1.0.0-beta.0 (MIT) ships it.
SCHEMA = json.loads((Path(__file__).parent / "sarif-2.1.0-rtm.5.json").read_text())
PROBLEM = Problem(
    "policies/my policy.yaml",
    3,
    11,
    "unknown-fact",
    "unknown fact `client.contry`",
    13,
    "    deny: client.contry",
    "did you mean `client.country`?",
)


def run_of(*problems: Problem, folder: Path = Path("/repo")) -> dict[str, Any]:
    log: dict[str, Any] = sarif(problems, PAGES, folder)
    jsonschema.Draft4Validator(SCHEMA).validate(log)
    [run] = log["runs"]
    return run


def test_a_policy_without_problems_has_a_valid_log_without_results():
    run = run_of()
    assert (run["results"], run["tool"]["driver"]["rules"]) == ([], [])


def test_a_problem_has_its_place_its_level_and_its_rule():
    warning = replace(PROBLEM, code="never-true", severity=Severity.WARNING)
    run = run_of(PROBLEM, warning)
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == ["never-true", "unknown-fact"]
    first, second = run["results"]
    assert (first["ruleId"], first["ruleIndex"], first["level"]) == ("unknown-fact", 1, "error")
    assert (second["ruleId"], second["ruleIndex"], second["level"]) == ("never-true", 0, "warning")
    assert first["message"]["text"] == "unknown fact `client.contry` (did you mean `client.country`?)"
    assert first["locations"] == [
        {
            "physicalLocation": {
                "artifactLocation": {"uri": "policies/my%20policy.yaml", "uriBaseId": "%SRCROOT%"},
                "region": {"startLine": 3, "startColumn": 11, "endLine": 3, "endColumn": 24},
            }
        }
    ]


@pytest.mark.parametrize("code", PAGES)
def test_every_rule_brings_its_page(code):
    [rule] = run_of(replace(PROBLEM, code=code))["tool"]["driver"]["rules"]
    assert rule["help"]["text"].startswith(f"{code}: ")
    assert rule["help"]["markdown"].startswith(f"## `{code}`")


@pytest.mark.parametrize(
    ("file", "location"),
    [
        ("/repo/policies/a.yaml", {"uri": "policies/a.yaml", "uriBaseId": "%SRCROOT%"}),
        ("policies/../a.yaml", {"uri": "a.yaml", "uriBaseId": "%SRCROOT%"}),
        ("../a.yaml", {"uri": "file:///a.yaml"}),
    ],
)
def test_a_file_is_named_relative_to_the_folder_where_it_is_below(file, location):
    [result] = run_of(replace(PROBLEM, file=file))["results"]
    assert result["locations"][0]["physicalLocation"]["artifactLocation"] == location


def test_a_fingerprint_outlives_lines_that_are_added_above_and_tells_two_apart():
    def fingerprints(*problems: Problem) -> list[str]:
        return [one["partialFingerprints"]["primaryLocationLineHash"] for one in run_of(*problems)["results"]]

    [before] = fingerprints(PROBLEM)
    first, second = fingerprints(replace(PROBLEM, line=4), replace(PROBLEM, line=9))
    assert before == first
    assert first != second
    assert fingerprints(replace(PROBLEM, code="unknown-list")) != [before]
