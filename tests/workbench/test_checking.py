"""What is said of a policy as a whole: its rules without a case, too."""

from datetime import date

import pytest

from modelfence.policy import compile_policy
from modelfence.workbench.cases import finding
from modelfence.workbench.checking import case_files_near, problems_of

TODAY = date(2026, 11, 29)
PACK = "version: 1\naccess:\n  - {id: no-tor, deny: client.tor}\n"
ROOT = 'version: 1\ninclude: [packs/pack.yaml]\naccess:\n  - {id: active, allow: kyc.status == "active"}\n'
CASES = """\
policy: {policy}
given: {{client.tor: false, kyc.status: active}}
cases:
  - name: a case
    given: {given}
    expect: {{effect: {effect}}}
"""


@pytest.fixture
def said(tmp_path):
    """Writes files, checks one of them, and returns the codes with what they name."""

    def check(file: str, **files: str) -> list[str]:
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/").replace("_cases", ".cases")
            path = path.with_name(f"{path.name}.yaml")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        compiled = compile_policy(tmp_path / file)
        found = problems_of(compiled, today=TODAY, cases=case_files_near(compiled))
        return [f"{problem.code} {problem.excerpt.partition('id: ')[2].partition(',')[0]}".strip() for problem in found]

    return check


def let_in(policy: str) -> str:
    return CASES.format(policy=policy, given="{}", effect="allow")


def refused(policy: str) -> str:
    return CASES.format(policy=policy, given="{client.tor: true}", effect="deny")


def test_a_policy_without_cases_is_told_so_once(said):
    assert said("policy.yaml", policy=ROOT, packs__pack=PACK) == ["no-cases"]


def test_a_rule_that_applies_in_no_case_is_named(said):
    assert said("policy.yaml", policy=ROOT, packs__pack=PACK, policy_cases=let_in("policy.yaml")) == ["no-case no-tor"]


def test_cases_below_that_are_about_a_policy_count(said):
    files = {"policy": ROOT, "packs__pack": PACK, "policy_cases": let_in("policy.yaml")}
    assert said("policy.yaml", **files, packs__pack_cases=refused("../policy.yaml")) == []


def test_cases_about_a_policy_that_includes_a_file_count_for_its_rules(said):
    files = {"policy": ROOT, "packs__pack": PACK, "packs__pack_cases": refused("../policy.yaml")}
    assert said("packs/pack.yaml", **files) == []


def test_cases_about_another_policy_do_not_count(said):
    assert said("policy.yaml", policy=ROOT, packs__pack=PACK, other=PACK, other_cases=refused("other.yaml")) == [
        "no-cases"
    ]


@pytest.mark.parametrize("broken", ["cases: {", "policy: policy.yaml\ncases: [{name: a}]\n"])
def test_nothing_is_said_of_cases_that_can_not_be_read(said, broken):
    assert said("policy.yaml", policy=ROOT, packs__pack=PACK, policy_cases=broken) == []


def test_nothing_is_said_of_cases_where_there_is_too_much_to_look_at(said, monkeypatch):
    monkeypatch.setattr(finding, "MOST_FILES", 1)
    assert said("policy.yaml", policy=ROOT, packs__pack=PACK) == []


def test_a_policy_that_does_not_compile_has_only_those_problems(said):
    assert said("policy.yaml", policy="version: 1\nmode: on\n") == ["unknown-value"]
