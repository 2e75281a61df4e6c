"""A small simulated day through the shipped policy: what docs/detection.md says, in a few seconds."""

from dataclasses import replace
from pathlib import Path

import pytest
from bench.detection.prompts import read_prompts
from bench.detection.replaying import Traffic, Variant, read_traffic, run, without
from bench.detection.report import Changed, Findings, failures, page
from bench.detection.scenario import Scenario, read_scenario
from bench.detection.scoring import FIRST_PROBES, bar_of, worst_benign
from bench.detection.simulate import simulate, write

from modelfence.extraction.weights import Scope

OPENED = [f"attack:{name}" for name in ("template-before", "template-after", "template-in-system", "mixed")]
SCENARIO = Path(__file__).parent / "small_day.yaml"


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return read_scenario(SCENARIO)


@pytest.fixture(scope="module")
def traffic(scenario, tmp_path_factory) -> Traffic:
    folder = tmp_path_factory.mktemp("small_day")
    write(scenario, read_prompts(), folder)
    return read_traffic(folder)


@pytest.fixture(scope="module")
def shipped(traffic):
    return run(traffic)


@pytest.mark.parametrize("label", OPENED)
def test_a_campaign_is_held_to_its_bucket(shipped, label):
    one = shipped[label]
    assert one.leaked <= bar_of(label).most
    assert one.accounts_hit >= 0.9
    assert one.suspected_first.calls < 60


def test_logit_probing_is_refused_soon(shipped):
    assert shipped["attack:logits"].furthest <= FIRST_PROBES


def test_one_heavy_account_runs_out_of_its_budget(shipped):
    assert shipped["attack:single"].leaked <= 0.6, "a third of a day's work: the bar of the whole day is lower"


def test_nobody_else_is_touched(shipped):
    assert worst_benign(shipped).refused == 0


def test_without_the_signals_of_cohorts_campaigns_are_open(traffic):
    blind = run(traffic, without(Scope.COHORT, name="no cohorts"))
    assert {label: blind[label].leaked >= 0.9 for label in OPENED} == dict.fromkeys(OPENED, True)


def test_the_threshold_and_the_rate_of_the_pack_can_be_varied(traffic, shipped):
    never = run(traffic, Variant(threshold=1.1))
    slower = run(traffic, Variant(rate=0.5))
    assert never["attack:template-before"].leaked >= 0.9
    assert slower["attack:template-before"].leaked < shipped["attack:template-before"].leaked


def test_the_same_scenario_gives_the_same_bytes(scenario, tmp_path):
    for name in ("one", "two"):
        write(scenario, read_prompts(), tmp_path / name)
    for file in ("recording.jsonl", "accounts.yaml"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_another_seed_gives_others(scenario):
    lines, accounts = simulate(scenario, read_prompts())
    other_lines, other_accounts = simulate(replace(scenario, seed=2), read_prompts())
    assert lines != other_lines
    assert not {account["id"] for account in accounts} & {account["id"] for account in other_accounts}


def test_a_recording_with_a_broken_line_is_none(tmp_path):
    (tmp_path / "recording.jsonl").write_text("{}\n")
    with pytest.raises(ValueError, match="line 1 of the recording: `ts` is missing"):
        read_traffic(tmp_path)


def test_the_page_names_every_class_and_each_change(shipped):
    found = Findings("2026-01-01", "0123456789abcdef", None, [shipped], [Changed("without it", shipped)], [])
    text = page(found)
    assert all(f"`{label}`" in text for label in shipped)
    assert "without it" in text
    assert "FAIL" in text or not failures(shipped)


def test_the_own_scenario_can_be_read_and_has_prompts_for_all():
    prompts = read_prompts()
    for one in read_scenario().classes:
        assert one.asks in prompts.texts
        for frame in one.frames:
            assert prompts.named(frame.of, frame.name)
