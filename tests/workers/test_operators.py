"""What operators are told of several workers as if they were one."""

import pytest
from tests.workers.outside import settle

from modelfence.adapters.admin_server import Readiness
from modelfence.adapters.metrics.shared_counts import SharedCounts
from modelfence.core.unavailable import UnavailableError
from modelfence.workers.operators import WITHIN_S, Overview, WorkerMetrics
from modelfence.workers.supervisor import Exit

STORE = {"store": "redis does not answer"}
READY = {"missing": {}, "states": {"store_circuit": "closed"}}
UNREADY = {"missing": STORE, "states": {"store_circuit": "open"}}
STOPPING = {"missing": {"fence": "it is stopping"}, "states": {}}
BOTH = {"serving": 2, "wanted": 2}


@pytest.fixture
async def overview(supervisor, tmp_path):
    """An overview of two workers that serve."""
    shared = SharedCounts(tmp_path)
    metrics = WorkerMetrics(shared)
    await supervisor.start()
    await settle()
    return Overview(supervisor, shared, metrics, stale=dict)


def answers(outside, *said: object):
    for process, one in zip(outside.launched, said, strict=True):
        process.is_silent = one is None
        process.says = one


@pytest.mark.parametrize(
    ("said", "missing", "states"),
    [
        ((READY, READY), {}, {"store_circuit": "closed", "workers": BOTH}),
        ((UNREADY, READY), {}, {"store_circuit": "closed, open", "workers": BOTH}),
        ((READY, UNREADY), {}, {"store_circuit": "closed, open", "workers": BOTH}),
        ((UNREADY, UNREADY), STORE, {"store_circuit": "open", "workers": BOTH}),
        ((None, READY), {}, {"store_circuit": "closed", "workers": BOTH}),
        ((None, UNREADY), STORE, {"store_circuit": "open", "workers": BOTH}),
        ((READY, STOPPING), {}, {"store_circuit": "closed", "workers": BOTH}),
        ((STOPPING, READY), {}, {"store_circuit": "closed", "workers": BOTH}),
        ((None, None), {"workers": "none of them answers"}, {"workers": BOTH}),
    ],
)
async def test_one_that_can_serve_is_enough(overview, outside, said, missing, states):
    answers(outside, *said)
    assert await overview.readiness() == Readiness(missing, states)


async def test_all_are_waited_for_when_none_answers_soon(overview, outside):
    answers(outside, READY, READY)
    for process in outside.launched:
        process.takes_s = WITHIN_S
    assert (await overview.readiness()).missing == {}


async def test_who_stops_is_not_ready_though_workers_still_serve(overview, supervisor, outside):
    answers(outside, READY, READY)
    supervisor.is_stopping = True
    assert (await overview.readiness()).missing == {"fence": "it is stopping"}


async def test_anyone_who_answers_tells_of_the_cohorts(overview, outside):
    answers(outside, None, [{"cohort": "c1"}])
    assert await overview.cohorts() == [{"cohort": "c1"}]
    answers(outside, None, None)
    with pytest.raises(UnavailableError, match="silent"):
        await overview.cohorts()


async def test_the_metrics_tell_what_each_worker_does_and_how_workers_ended(overview, outside):
    rendered = overview.render().decode()
    assert 'modelfence_workers{state="serving"} 2.0' in rendered
    assert 'modelfence_workers{state="starting"} 0.0' in rendered
    assert 'modelfence_policy_info{hash="abc",mode="enforce"} 1.0' in rendered
    assert all(f'modelfence_worker_exits_total{{reason="{reason}"}} 0.0' in rendered for reason in Exit)
    outside.serves_at_once = False
    for process in outside.launched:
        process.die()
    await outside.clock.pass_by(0)
    rendered = overview.render().decode()
    assert 'modelfence_workers{state="serving"} 0.0' in rendered
    assert 'modelfence_workers{state="starting"} 2.0' in rendered
    assert "modelfence_policy_info{" not in rendered, "the dead are in no state"
