"""Files exchanged in all workers, when one of them can't."""

from pathlib import Path

import pytest
from tests.workers.outside import ON_DISK, settle

from modelfence.adapters.metrics.shared_counts import SharedCounts
from modelfence.workers.handing_on import Handed
from modelfence.workers.operators import WorkerMetrics
from modelfence.workers.reloading import Reloading


@pytest.fixture
def reloading(supervisor, tmp_path) -> Reloading:
    return Reloading(supervisor, WorkerMetrics(SharedCounts(tmp_path)), tmp_path)


READ = {"changed": ["policy"], "failures": {}, "warnings": [], "files": Handed(Path("new")).as_text(), "stamps": []}


@pytest.fixture
async def changed(supervisor, tmp_path) -> Path:
    """Return a file that has changed since two workers began to serve."""
    await supervisor.start()
    await settle()
    file = tmp_path / "policy.yaml"
    supervisor.take(ON_DISK, {file: None})
    file.write_text("new")
    return file


def is_seen_to_change(supervisor) -> bool:
    return [supervisor.watch.has_changed() for _ in range(2)][-1]


@pytest.mark.usefixtures("changed")
async def test_what_a_reader_ended_over_is_read_by_another_one(supervisor, outside, reloading):
    outside.launched[0].is_silent, outside.launched[1].says = True, READ
    await reloading.reload()
    assert "did not" in reloading.stale["policy"]
    assert is_seen_to_change(supervisor)
    await settle()
    await reloading.reload()
    assert reloading.stale == {}


async def test_what_two_readers_ended_over_is_left_alone_until_it_changes(supervisor, outside, reloading, changed):
    for process in outside.launched:
        process.is_silent = True
        assert is_seen_to_change(supervisor)
        await reloading.reload()
        await settle()
    assert not is_seen_to_change(supervisor)
    changed.write_text("newer")
    assert is_seen_to_change(supervisor)


@pytest.mark.usefixtures("changed")
async def test_a_worker_that_has_been_silent_for_a_while_is_not_the_one_to_read(outside, reloading):
    silent, heard = outside.launched
    silent.is_silent, heard.says = True, READ
    await outside.clock.pass_by(2)
    await reloading.reload()
    assert (silent.asked[-1], heard.asked[-1], reloading.stale) == ("reload", "read", {})


async def test_a_reader_that_can_not_tell_what_it_read_is_replaced_by_one_that_runs_what_all_run(
    supervisor, outside, reloading
):
    await supervisor.start()
    await settle()
    outside.launched[0].is_silent = True  # it may have exchanged its own policy before
    await reloading.reload()
    await outside.clock.pass_by(0)
    assert [(process.slot, process.files) for process in outside.launched[2:]] == [(0, ON_DISK)]
    assert "did not" in reloading.stale["policy"]
