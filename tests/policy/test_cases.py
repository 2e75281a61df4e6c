"""The cases beside the shipped policies: what each rule does, in the words of its readers."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from modelfence.core.charge import Demand
from modelfence.core.decision import Decision, decide
from modelfence.policy import compile_policy

FOLDER = Path(__file__).parents[2] / "policies"
FILES = sorted(FOLDER.rglob("*.cases.yaml"))
DEMAND = Demand(input_tokens=100, output_tokens=200)


@dataclass
class Case:
    file: Path
    facts: dict[str, Any]
    expect: dict[str, Any]

    def decision(self) -> Decision:
        policy = compile_policy(self.file.parent / yaml.safe_load(self.file.read_text())["policy"]).policy
        return decide(policy, self.facts | {"kyc.tier": policy.tier(self.facts["kyc.tier"])}, DEMAND)


def cases():
    for file in FILES:
        written = yaml.safe_load(file.read_text())
        for case in written["cases"]:
            # YAML 1.1 reads NO as false; it is Norway here.
            given = {
                name: "NO" if name.endswith("country") and value is False else value
                for name, value in (written["given"] | case["given"]).items()
                if value is not None
            }
            yield pytest.param(Case(file, given, case["expect"]), id=f"{file.stem}: {case['name']}")


def shown(decision: Decision) -> dict[str, Any]:
    return {
        "effect": str(decision.effect),
        "rules": list(decision.rules),
        "remove": sorted(decision.reshaping.remove, reverse=True),
        "charges": {charge.throttle: pytest.approx(charge.amount) for charge in decision.charges},
        "keys": {charge.throttle: charge.key for charge in decision.charges},
    }


@pytest.mark.parametrize("case", list(cases()))
def test_a_case_is_decided_as_it_says(case):
    decided = shown(case.decision())
    keys = {name: decided["keys"].get(name) for name in case.expect.get("keys", {})}
    assert {**{name: decided[name] for name in case.expect}, "keys": keys} == {"keys": {}, **case.expect}


def rules_of(file: Path) -> set[str]:
    """Return the rules that a file holds itself: what it includes has cases of its own."""
    included = yaml.safe_load(file.read_text()).get("include", [])
    theirs = {rule.id for name in included for rule in compile_policy(file.parent / name).policy.rules()}
    return {rule.id for rule in compile_policy(file).policy.rules()} - theirs


RULES = sorted({*FOLDER.glob("*.yaml"), *FOLDER.glob("packs/*.yaml")} - {*FILES})


@pytest.mark.parametrize("file", [one for one in RULES if rules_of(one)], ids=lambda file: file.stem)
def test_every_rule_that_is_shipped_has_a_case(file):
    written = file.with_suffix(".cases.yaml")
    expected = [case.values[0].expect for case in cases() if case.values[0].file == written]
    named = {name for expect in expected for name in (*expect["rules"], *expect.get("charges", {}))}
    reshaping = {entry.rule.id for entry in compile_policy(file).policy.reshapes}
    reshaped = reshaping if any(expect.get("remove") for expect in expected) else set()
    assert rules_of(file) <= named | reshaped
