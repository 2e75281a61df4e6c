"""Several workers behind one port: real processes over a real Redis, some of which are killed or halted."""

import os
import signal
import subprocess
import time
from functools import partial

from tests.workers.conftest import WITHIN_S, answered_more, calling, is_gone, until


def test_one_scrape_counts_what_all_workers_served_the_dead_ones_too(start_fence, settings):
    fence = start_fence(settings)
    assert [fence.call() for _ in range(60)] == [200] * 60
    assert fence.counted("requests_total", effect="allow") == 60
    victim, other = fence.workers
    os.kill(victim, signal.SIGKILL)
    fence.replaces(victim)
    assert [fence.call() for _ in range(60)] == [200] * 60
    assert fence.counted("requests_total", effect="allow") == 120
    assert fence.counted("worker_exits_total", reason="crashed") == 1
    assert other in fence.workers


def test_what_is_typed_on_a_terminal_is_for_the_supervisor_alone(start_fence, settings):
    fence = start_fence({**settings, "workers": 1})
    [worker] = fence.workers
    assert os.getpgid(worker) != os.getpgid(fence.process.pid)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR2):
        os.kill(worker, number)
    assert fence.call() == 200
    assert fence.workers == [worker]


def test_a_second_signal_ends_it_at_once(start_fence, settings, endless):
    url, begun = endless
    upstream = {"name": "up", "dialect": "openai", "url": url}
    fence = start_fence({**settings, "workers": 1, "upstreams": [upstream], "limits": {"drain_s": 600}})
    with begun(fence):
        fence.process.send_signal(signal.SIGTERM)
        until(lambda: "it is stopping" in fence.ask("/readyz")[1], "the drain to begin")
        fence.process.send_signal(signal.SIGINT)
        assert fence.process.wait(WITHIN_S) == 0


def test_calls_fail_that_were_under_way_on_a_killed_worker_and_no_others(start_fence, settings, unhurried):
    fence = start_fence({**settings, "upstreams": [{"name": "up", "dialect": "openai", "url": unhurried}]})
    kills = []
    with calling(fence) as callers:
        for _ in range(2):
            victim, killed_s = fence.workers[0], time.monotonic()
            os.kill(victim, signal.SIGKILL)
            until(partial(is_gone, victim), "the victim to be gone")
            kills.append((killed_s, time.monotonic()))
            fence.replaces(victim)
            answered_more(callers)
        fence.has_workers(2)
    failures = [failure for caller in callers for failure in caller.failures]
    answered = sum(caller.answered for caller in callers)
    for began_s, ended_s, how in failures:
        assert any(began_s <= gone_s and killed_s <= ended_s for killed_s, gone_s in kills), how
    assert len(failures) <= 2 * len(callers)
    assert answered <= fence.counted("requests_total", effect="allow") <= answered + 2 * len(callers)


def test_connections_wait_for_the_successor_when_all_are_killed(start_fence, settings):
    fence = start_fence({**settings, "workers": 1})
    [victim] = fence.workers
    os.kill(victim, signal.SIGKILL)
    until(lambda: is_gone(victim), "the worker to be gone")
    assert fence.call() == 200
    assert fence.workers != [victim]


def test_a_worker_that_hangs_is_replaced_and_meanwhile_the_other_serves(start_fence, settings):
    fence = start_fence(settings)
    victim = fence.workers[0]
    os.kill(victim, signal.SIGSTOP)
    assert {fence.call() for _ in range(10)} == {200}
    assert fence.ask("/livez")[0] == 200
    until(lambda: is_gone(victim), "the hung worker to be killed")
    fence.has_workers(2)
    assert fence.counted("worker_exits_total", reason="silent") == 1


def test_no_worker_and_no_file_outlives_its_supervisor(start_fence, settings, tmp_path):
    (tmp_path / "temporary").mkdir()
    fence = start_fence(settings, TMPDIR=str(tmp_path / "temporary"))
    workers = fence.workers
    fence.process.kill()
    until(lambda: all(is_gone(pid) for pid in workers), "the workers to end")
    assert list((tmp_path / "temporary").iterdir()) == []


def test_what_a_dead_worker_streamed_is_no_longer_open(start_fence, settings, endless):
    url, begun = endless
    upstream = {"name": "up", "dialect": "openai", "url": url}
    fence = start_fence({**settings, "workers": 1, "upstreams": [upstream]})
    with begun(fence):
        assert fence.counted("open_streams") == 1
        os.kill(fence.workers[0], signal.SIGKILL)
        until(lambda: fence.counted("open_streams") == 0, "the gauge to vanish")


def test_each_worker_records_in_a_file_of_its_own_and_merged_they_are_one_recording(
    start_fence, modelfence, settings, tmp_path
):
    fence = start_fence({**settings, "record": {"path": "calls.jsonl"}})
    with calling(fence) as callers:
        until(lambda: all(caller.answered > 20 for caller in callers), "both workers to have been called")
    fence.end()
    files = [tmp_path / name for name in ("calls.jsonl", "calls.w1.jsonl")]
    lines = [file.read_text().splitlines() for file in files]
    assert all(lines)
    assert sum(map(len, lines)) == sum(caller.answered for caller in callers)
    merged = subprocess.run(["sort", "-m", *files], env={"LC_ALL": "C"}, capture_output=True, check=True)  # noqa: S603, S607
    (tmp_path / "merged.jsonl").write_bytes(merged.stdout)
    replayed = modelfence("replay", "merged.jsonl", "--accounts", "accounts.yaml", "--out", "decisions.jsonl")
    assert replayed.returncode == 0, replayed.stderr
    assert len((tmp_path / "decisions.jsonl").read_text().splitlines()) == sum(map(len, lines))
