"""Files exchanged in all workers, when one of them can't."""

from tests.workers.outside import ON_DISK, settle

from modelfence.adapters.metrics.shared_counts import SharedCounts
from modelfence.workers.operators import WorkerMetrics
from modelfence.workers.reloading import Reloading


async def test_a_reader_that_can_not_tell_what_it_read_is_replaced_by_one_that_runs_what_all_run(
    supervisor, outside, tmp_path
):
    reloading = Reloading(supervisor, WorkerMetrics(SharedCounts(tmp_path)), tmp_path)
    await supervisor.start()
    await settle()
    outside.launched[0].is_silent = True  # it may have exchanged its own policy before
    await reloading.reload()
    await outside.clock.pass_by(0)
    assert [(process.slot, process.files) for process in outside.launched[2:]] == [(0, ON_DISK)]
    assert "did not" in reloading.stale["policy"]
