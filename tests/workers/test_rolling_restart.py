"""A rolling restart under load: nobody notices, whatever comes of it."""

import signal

from tests.workers.conftest import Fence, answered_more, calling, until


def roll(fence):
    """Ask for a rolling restart, and return when no worker is one of those that are there now."""
    before = set(fence.workers)
    fence.process.send_signal(signal.SIGUSR2)
    until(lambda: not before & set(fence.workers), "the old workers to go")


def test_all_workers_are_replaced_and_no_call_fails(start_fence, settings, unhurried):
    fence = start_fence({**settings, "upstreams": [{"name": "up", "dialect": "openai", "url": unhurried}]})
    with calling(fence) as callers:
        roll(fence)
        answered_more(callers)
    assert [caller.failures for caller in callers] == [[]] * len(callers)
    fence.has_workers(2)
    assert fence.counted("worker_exits_total") == 0
    assert fence.counted("requests_total", effect="allow") == sum(caller.answered for caller in callers)


def test_the_new_workers_have_the_new_settings(start_fence, settings, write, tmp_path):
    fence = start_fence({**settings, "workers": 1})
    assert fence.call(authorization="Bearer sk-other") == 401
    (tmp_path / "open.yaml").write_text("version: 1\naccess:\n  - {id: all, allow: 'true'}\n")
    write({**settings, "workers": 2, "policy": "open.yaml", "listen": "127.0.0.1:1"})
    roll(fence)
    fence.has_workers(2)
    assert fence.call(authorization="Bearer sk-other") == 200
    assert "`listen` stays 127.0.0.1:0 until the fence is started anew" in fence.said
    assert fence.counted("policy_info") == 1


def test_a_worker_that_cannot_start_ends_the_roll_and_the_old_ones_serve_on(start_fence, settings, write):
    fence = start_fence(settings)
    before = fence.workers
    write({**settings, "policy": "none.yaml"})
    fence.process.send_signal(signal.SIGUSR2)
    until(lambda: "the rolling restart ends here" in fence.said, "the roll to end")
    assert fence.workers == before
    assert fence.call() == 200
    assert fence.counted("worker_exits_total", reason="unstarted") == 1


def test_settings_that_are_wrong_change_nothing(start_fence, settings, write):
    fence = start_fence(settings)
    before = fence.workers
    write({**settings, "store": "memory"})
    fence.process.send_signal(signal.SIGUSR2)
    until(lambda: "there is no rolling restart: " in fence.said, "the settings to be read")
    assert "several workers need a shared store" in fence.said
    assert fence.workers == before


def test_a_settings_file_that_has_gone_does_not_mean_the_defaults(start_modelfence, settings, write):
    file = write({**settings, "workers": 1})  # where it is looked for unless it is named
    fence = Fence(start_modelfence("run"))
    before = fence.workers
    file.unlink()
    fence.process.send_signal(signal.SIGUSR2)
    until(lambda: "there is no rolling restart: " in fence.said, "the settings to be read")
    assert fence.workers == before
    fence.end()
