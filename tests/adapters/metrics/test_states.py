"""What is in force in several processes, seen as one."""

from dataclasses import replace

from prometheus_client.parser import text_string_to_metric_families

from modelfence.adapters.metrics.states import State, StateMetrics

STATE = State("abc", "enforce", 20.0, {"country": 34.0}, "closed", cohorts=2, cohort_accounts=14)


def told(*states: State) -> dict[str, dict[tuple[str, ...], float]]:
    """Return the values of each gauge by its labels, in the order of their names."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(StateMetrics().render(states).decode()):
        for sample in family.samples:
            labels = tuple(value for _, value in sorted(sample.labels.items()))
            found.setdefault(sample.name.removeprefix("modelfence_"), {})[labels] = sample.value
    return found


def test_one_process_is_told_as_it_is():
    assert told(STATE) == {
        "policy_info": {("abc", "enforce"): 1},
        "policy_loaded_timestamp_seconds": {(): 20},
        "geo_database_built_timestamp_seconds": {("country",): 34},
        "store_circuit": {("closed",): 1, ("half_open",): 0, ("open",): 0},
        "cohorts": {(): 2},
        "cohort_accounts": {(): 14},
    }


def test_several_are_told_by_each_policy_the_oldest_files_and_how_many_circuits_are_open():
    newer = replace(
        STATE, policy="def", policy_loaded_s=21.0, geo_built_s={"country": 35.0, "asn": 1.0}, circuit="open"
    )
    both = told(newer, STATE, STATE)
    assert both["policy_info"] == {("abc", "enforce"): 1, ("def", "enforce"): 1}
    assert both["policy_loaded_timestamp_seconds"] == {(): 20}
    assert both["geo_database_built_timestamp_seconds"] == {("country",): 34, ("asn",): 1}
    assert both["store_circuit"] == {("closed",): 2, ("half_open",): 0, ("open",): 1}
    assert both["cohorts"] == {(): 2}, "all see the same ones"


def test_without_a_store_that_has_one_there_is_no_circuit_and_without_processes_nothing():
    assert "store_circuit" not in told(replace(STATE, circuit=None))
    assert told() == {}


def test_a_candidate_is_told_beside_the_policy_and_for_whom_it_acts():
    tried = told(replace(STATE, candidate="xyz", canary_ratio=0.05))
    assert tried["policy_info"] == {("abc", "enforce"): 1, ("xyz", "candidate"): 1}
    assert tried["canary_ratio"] == {(): 0.05}


def test_one_process_that_can_not_use_the_candidate_shows():
    both = told(replace(STATE, candidate="xyz", canary_ratio=0.05), replace(STATE, canary_ratio=0.0))
    assert both["canary_ratio"] == {(): 0}
