"""Each key of a policy is in an example that has no problems, and without the key the example would not do what it says."""

from datetime import date
from pathlib import Path

import pytest
import yaml
from tests.enforcement.outside import ACME, Clock, Directory, Nowhere, Store, Unwary, Watcher, call

from modelfence.adapters.memory.buckets import MemoryBuckets
from modelfence.core.decision import Effect
from modelfence.enforcement.fence import Fence, Patience
from modelfence.enforcement.in_force import InForce
from modelfence.policy import Compiled, compile_policy
from modelfence.policy.keys import (
    ACCESS_KEYS,
    EXTRACTION_KEYS,
    POLICY_KEYS,
    RESHAPE_KEYS,
    RULE_KEYS,
    THROTTLE_KEYS,
)
from modelfence.policy.lint import lint
from modelfence.source_files import SourceFiles
from modelfence.workbench.cases import CaseFile, read_case_text, run
from modelfence.workbench.reference import KeyExample
from modelfence.workbench.reference.keys import ACCESS, EXTRACTION, FILE, POLICY, RESHAPE, RULE, THROTTLE

NAMES = {
    "file": FILE,
    "rule": RULE,
    "access": ACCESS,
    "reshape": RESHAPE,
    "throttle": THROTTLE,
    "extraction": EXTRACTION,
}
SHOWN_BY = {
    **{key.name: THROTTLE for key in THROTTLE_KEYS},
    **{key.name: RESHAPE for key in RESHAPE_KEYS},
    **{key.name: ACCESS for key in ACCESS_KEYS},
    **{key.name: RULE for key in RULE_KEYS},
    **{key.name: FILE for key in POLICY_KEYS},
    **{key.name: EXTRACTION for key in EXTRACTION_KEYS},
    "when": THROTTLE,
    "extraction": EXTRACTION,
}
SEEN_BY_NO_CASE = {"help_url", "since", "description", "on_store_failure", "extraction", "exempt"}
DAY = date(2026, 3, 2)


def compiled(policy: str, beside: dict[str, str]) -> Compiled:
    texts = {Path(name): text.encode() for name, text in {POLICY: policy, **beside}.items()}
    return compile_policy(Path(POLICY), SourceFiles(texts=texts))


def cases_of(example: KeyExample, policy: Compiled) -> CaseFile:
    return read_case_text(example.cases, policy)


def fine(example: KeyExample) -> Compiled:
    found = compiled(example.policy, dict(example.beside))
    assert (found.problems, lint(found, today=DAY)) == ((), ())
    return found


def without(key: str, text: str) -> str:
    """Return a policy without the entries of a key, wherever they stand."""

    def left(value: object) -> object:
        if isinstance(value, dict):
            return {name: left(inner) for name, inner in value.items() if name != key}
        return [left(inner) for inner in value] if isinstance(value, list) else value

    return yaml.safe_dump(left(yaml.load(text, yaml.BaseLoader)), sort_keys=False)  # noqa: S506 - texts only


@pytest.mark.parametrize("name", NAMES)
def test_an_example_has_no_problems_and_does_what_its_cases_say(name):
    cases = cases_of(NAMES[name], fine(NAMES[name]))
    assert cases.problems == ()
    assert cases.cases
    assert [(one.case.name, one.failure) for one in run(cases).failed] == []


@pytest.mark.parametrize("key", [key for key in SHOWN_BY if key not in SEEN_BY_NO_CASE])
def test_without_a_key_an_example_is_no_policy_or_does_something_else(key):
    example = SHOWN_BY[key]
    assert f"{key}:" in "".join((example.policy, *example.beside.values()))
    less = compiled(without(key, example.policy), {name: without(key, text) for name, text in example.beside.items()})
    if less.policy is not None:
        assert run(cases_of(example, fine(example)), policy=less.policy).failed


def test_every_rule_of_an_example_has_a_part_in_one_of_its_cases():
    for example in NAMES.values():
        policy = fine(example)
        applied = {
            step.rule.id
            for result in run(cases_of(example, policy)).results
            for came in result.seen
            for step in came.decision.trace
            if step.applied
        }
        assert applied == set(policy.written)


def test_the_refusal_has_the_link():
    [refused, *_] = run(cases_of(RULE, fine(RULE))).results
    assert refused.seen[0].decision.help_url == "https://example.com/regions"


def test_the_rule_in_shadow_is_warned_of_on_the_day_that_is_said():
    assert "From 3 March 2026 on" in RULE.more[0]
    policy = fine(RULE)
    assert [problem.code for problem in lint(policy, today=date(2026, 3, 3))] == ["long-in-shadow"]
    assert lint(policy, today=date(2026, 3, 2)) == ()


def test_the_descriptions_are_kept_for_those_who_explain():
    rules = fine(RULE).policy.rules()
    assert [rule.description for rule in rules if rule.description] == [
        "The countries are those of the list that Legal keeps.",
        "First we want to see how many customers this would turn away.",
    ]


async def test_without_a_store_a_worker_counts_for_itself_and_without_the_key_it_refuses():
    for text, effect in ((THROTTLE.policy, Effect.ALLOW), (without("on_store_failure", THROTTLE.policy), Effect.ERROR)):
        clock = Clock()
        fence = Fence(
            InForce(compiled(text, {}).policy, Directory(ACME), Nowhere(), None),
            buckets=Store(clock, away=True),
            local_buckets=MemoryBuckets(clock),
            detector=Unwary(),
            observers=[Watcher()],
            clock_us=clock,
            jitter=lambda: 0.0,
            workers=1,
            patience=Patience(),
        )
        assert (await fence.judge(call())).decision.effect is effect


def test_the_template_is_exempt():
    [exempt] = fine(EXTRACTION).policy.exempt
    assert exempt in EXTRACTION.policy
    assert compiled(without("exempt", EXTRACTION.policy), {}).policy.exempt == ()
