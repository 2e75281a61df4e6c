"""Who is replaced when, and in which order workers are exchanged: with processes and a clock that are made up."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from tests.workers.outside import ON_DISK, TWO, settle

from modelfence.core.problem import Problem
from modelfence.core.unavailable import UnavailableError
from modelfence.settings import CannotStartError
from modelfence.workers import supervisor as module
from modelfence.workers.handing_on import Handed
from modelfence.workers.supervisor import Exit, Phase, Supervisor


def slots(supervisor: Supervisor) -> list[tuple[int, Phase]]:
    return [(worker.slot, worker.phase) for worker in supervisor.workers]


SERVING, STARTING, DRAINING = Phase.SERVING, Phase.STARTING, Phase.DRAINING


async def test_the_first_worker_starts_alone_and_then_the_others(supervisor, outside):
    outside.serves_at_once = False
    starting = asyncio.create_task(supervisor.start())
    await settle()
    assert slots(supervisor) == [(0, STARTING)]
    outside.launched[0].serve()
    assert (await starting).banner == "banner of 0"
    await settle()
    assert slots(supervisor) == [(0, SERVING), (1, STARTING)]
    outside.launched[1].serve()
    await settle()
    assert slots(supervisor) == [(0, SERVING), (1, SERVING)]


async def test_a_first_worker_that_cannot_start_ends_it_all_with_its_problems(supervisor, outside, caplog):
    outside.serves_at_once = False
    starting = asyncio.create_task(supervisor.start())
    await settle()
    outside.launched[0].cannot_start(CannotStartError("no", [Problem("p.yaml", 1, 2, "code", "words")]))
    with pytest.raises(CannotStartError) as raised:
        await starting
    assert raised.value.problems[0].column == 2
    assert caplog.text == "", "an author who mends his policy need not hear how a process ended"
    assert supervisor.workers == []
    assert outside.failures == [Exit.UNSTARTED]


@pytest.mark.parametrize("dies", [True, False])
async def test_a_first_worker_that_dies_or_can_not_even_be_launched_ends_it_all_with_a_sentence(
    supervisor, outside, dies, caplog
):
    outside.serves_at_once = False
    if not dies:
        outside.refuses = UnavailableError("no process can be started")
    starting = asyncio.create_task(supervisor.start())
    await settle()
    for process in outside.launched:
        process.die()
    with pytest.raises(CannotStartError, match="the first worker did not start: "):
        await starting
    assert ("ended: unstarted" in caplog.text) is dies
    assert (supervisor.workers, outside.failures) == ([], [Exit.UNSTARTED])


async def test_a_first_worker_that_is_told_to_end_before_it_serves_is_no_failure(supervisor, outside, caplog):
    outside.serves_at_once = False
    starting = asyncio.create_task(supervisor.start())
    await settle()
    supervisor.kill()
    with pytest.raises(CannotStartError):
        await starting
    assert caplog.text == ""
    assert (supervisor.workers, outside.failures) == ([], [])


async def test_who_dies_is_replaced_at_once_in_the_same_slot_and_again_after_a_while(supervisor, outside):
    await supervisor.start()
    await settle()
    outside.launched[0].die()
    await outside.clock.pass_by(0)
    assert [process.slot for process in outside.launched] == [0, 1, 0]
    assert slots(supervisor) == [(1, SERVING), (0, SERVING)]
    outside.launched[2].die()
    await outside.clock.pass_by(0.09)
    assert slots(supervisor) == [(1, SERVING)]
    await outside.clock.pass_by(0.02)
    assert slots(supervisor) == [(1, SERVING), (0, SERVING)]
    assert outside.failures == [Exit.CRASHED] * 2
    assert outside.ended_slots == [0, 0]


async def test_who_ends_by_itself_after_draining_has_not_crashed_and_is_replaced(supervisor, outside):
    await supervisor.start()
    await settle()
    outside.launched[0].die(0)
    await outside.clock.pass_by(0)
    assert slots(supervisor) == [(1, SERVING), (0, SERVING)]
    assert outside.failures == []


async def test_a_successor_that_cannot_start_is_tried_again(supervisor, outside):
    await supervisor.start()
    await settle()
    outside.refuses = UnavailableError("no process can be started")
    outside.launched[0].die()
    await outside.clock.pass_by(0.35)
    outside.refuses = None
    assert outside.failures == [Exit.CRASHED, Exit.UNSTARTED, Exit.UNSTARTED, Exit.UNSTARTED]
    await outside.clock.pass_by(0.4)
    assert len(supervisor.serving) == 2


async def test_who_is_silent_is_killed_and_replaced(supervisor, outside):
    await supervisor.start()
    await outside.clock.pass_by(2)
    outside.launched[1].is_silent = True
    await outside.clock.pass_by(module.HEARTBEAT_S + module.REAPED_WITHIN_S)
    assert outside.failures == [Exit.SILENT]
    assert [process.slot for process in outside.launched] == [0, 1, 1]
    assert len(supervisor.serving) == 2


async def test_it_is_alive_while_somebody_is_heard_or_nobody_serves(supervisor, outside):
    assert supervisor.is_alive()
    await supervisor.start()
    await outside.clock.pass_by(1)
    asleep = asyncio.Event()
    for process in outside.launched:
        process.ask = lambda *_, **__: asleep.wait()
    await outside.clock.pass_by(module.QUIET_S - 0.5)
    assert supervisor.is_alive()
    await outside.clock.pass_by(1)
    assert not supervisor.is_alive()
    for process in outside.launched:
        process.die()


async def test_a_rolling_restart_starts_each_new_one_before_it_drains_the_old(supervisor, outside):
    await supervisor.start()
    await settle()
    outside.serves_at_once = False
    old = list(outside.launched)
    old[0].drains_slowly = True
    changed = replace(TWO, store="redis://b")
    rolling = asyncio.create_task(supervisor.roll(changed))
    await settle()
    assert slots(supervisor) == [(0, SERVING), (1, SERVING), (2, STARTING)]
    outside.launched[2].serve()
    await settle()
    assert slots(supervisor) == [(0, DRAINING), (1, SERVING), (2, SERVING), (3, STARTING)]
    assert old[0].asked[-1] == "drain"
    outside.launched[3].serve()
    assert await rolling
    old[0].die(0)
    await settle()
    assert slots(supervisor) == [(2, SERVING), (3, SERVING)]
    assert outside.failures == []
    assert [process.settings for process in outside.launched] == [TWO, TWO, changed, changed]
    assert [process.files for process in outside.launched] == [None, ON_DISK, None, ON_DISK], "one reads for all"
    outside.serves_at_once = True
    outside.launched[3].die()
    await outside.clock.pass_by(0)
    assert outside.launched[-1].settings == changed, "who comes later has the new settings, too"
    assert outside.launched[-1].slot == 0, "the lowest free slot is used again"


@pytest.mark.parametrize("error", [CannotStartError("the policy has problems"), UnavailableError("gone")])
async def test_a_rolling_restart_ends_with_the_first_that_cannot_start_and_those_who_serve_go_on(
    supervisor, outside, error, caplog
):
    await supervisor.start()
    await settle()
    outside.serves_at_once = False
    rolling = asyncio.create_task(supervisor.roll(replace(TWO, store="redis://b")))
    await settle()
    outside.launched[2].cannot_start(error)
    assert not await rolling
    assert slots(supervisor) == [(0, SERVING), (1, SERVING)]
    assert f"the workers that serve go on: {error}" in caplog.text
    assert "drain" not in outside.launched[0].asked
    outside.serves_at_once = True
    outside.launched[0].die()
    await outside.clock.pass_by(0)
    assert outside.launched[-1].settings == TWO


async def test_a_worker_that_dies_while_its_successor_rolls_in_has_that_one_successor(supervisor, outside):
    await supervisor.start()
    await settle()
    outside.serves_at_once = False
    rolling = asyncio.create_task(supervisor.roll(TWO))
    await settle()
    outside.launched[0].die()
    await outside.clock.pass_by(0)
    assert slots(supervisor) == [(1, SERVING), (2, STARTING)]
    for at in (2, 3):
        outside.launched[at].serve()
        await settle()
    assert await rolling
    await outside.clock.pass_by(20)
    assert [worker.phase for worker in supervisor.workers] == [SERVING, SERVING]
    assert len(outside.launched) == 4


@pytest.mark.parametrize("wanted", [1, 4])
async def test_a_rolling_restart_brings_as_many_workers_as_the_settings_want(supervisor, outside, wanted):
    await supervisor.start()
    await settle()
    assert await supervisor.roll(replace(TWO, workers=wanted))
    await outside.clock.pass_by(1)
    assert [worker.phase for worker in supervisor.workers] == [SERVING] * wanted
    assert outside.failures == []


async def test_it_stops_when_all_have_drained(supervisor, outside):
    await supervisor.start()
    await settle()
    outside.launched[0].drains_slowly = True
    stopping = asyncio.create_task(supervisor.stop())
    await settle()
    assert slots(supervisor) == [(0, DRAINING)]
    assert not stopping.done()
    outside.launched[0].die(0)
    await stopping
    assert supervisor.workers == []
    assert outside.failures == []
    assert len(outside.launched) == 2, "nobody is replaced"


async def test_who_does_not_hear_that_it_is_to_drain_is_killed(supervisor, outside):
    await supervisor.start()
    await settle()
    outside.launched[0].is_silent = True
    await supervisor.stop()
    assert supervisor.workers == []


async def test_one_that_is_starting_when_it_stops_does_not_stay(supervisor, outside):
    await supervisor.start()
    await settle()
    outside.serves_at_once = False
    outside.launched[0].die()
    await outside.clock.pass_by(0)
    assert (0, STARTING) in slots(supervisor)
    await supervisor.stop()
    assert supervisor.workers == []


async def test_those_who_do_not_answer_are_left_out_of_what_all_are_asked(supervisor, outside):
    await supervisor.start()
    await settle()
    outside.launched[0].is_silent = True
    assert [worker.slot for worker, _ in await supervisor.ask_all("readiness", within_s=1)] == [1]


@pytest.mark.parametrize("hears", [True, False])
async def test_one_that_starts_while_files_are_exchanged_is_handed_the_new_ones_or_ends(supervisor, outside, hears):
    await supervisor.start()
    await settle()
    outside.serves_at_once = False
    outside.launched[0].die()
    await outside.clock.pass_by(0)
    supervisor.take(Handed(Path("new")), {})
    outside.launched[2].is_silent = not hears
    outside.launched[2].serve()
    await settle()
    assert outside.launched[2].asked == ["reload"]
    assert [worker.phase for worker in supervisor.workers if worker.process is outside.launched[2]] == [SERVING] * hears
