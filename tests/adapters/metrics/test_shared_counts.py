"""What several processes count is one sum, whoever of them has died."""

import os
import subprocess
import sys

import pytest

from modelfence.adapters.metrics.shared_counts import ROOM_BYTES, SharedCounts

COUNTING = """
import sys
from pathlib import Path
from modelfence.adapters.metrics.shared_counts import share
share(Path(sys.argv[1]), int(sys.argv[2]))
from modelfence.adapters.metrics.calls import PrometheusMetrics
metrics = PrometheusMetrics()
for _ in range(int(sys.argv[3])):
    metrics.connection_cut("head_s")
metrics.store_answered(2_000)
metrics.answer_began()
import os, signal
os.kill(os.getpid(), signal.SIGKILL)
"""

COUNTING_MUCH = """
import sys
from pathlib import Path
from modelfence.adapters.metrics.shared_counts import share
share(Path(sys.argv[1]), 0)
from modelfence.adapters.metrics.calls import PrometheusMetrics
from modelfence.policy.compile import compile_text
rules = "".join(f"  - {{id: a-rule-of-a-long-name-{n}, deny: 'false'}}\\n" for n in range(500))
throttles = "".join(f"  - {{id: a-throttle-of-a-long-name-{n}, key: account.id, rate: 5 per day}}\\n" for n in range(500))
metrics = PrometheusMetrics()
metrics.in_force(compile_text(f"version: 1\\naccess:\\n{rules}throttle:\\n{throttles}").policy)
"""


@pytest.fixture
def count(tmp_path):
    """Counts so many in a process of its own in that slot, which is then killed."""

    def counted(slot: int, times: int) -> None:
        command = [sys.executable, "-c", COUNTING, str(tmp_path), str(slot), str(times)]
        assert subprocess.run(command, check=False).returncode == -9  # noqa: S603 - our own

    return counted


def test_the_dead_are_counted_in_the_sum_but_stream_nothing(tmp_path, count):
    shared = SharedCounts(tmp_path)
    count(0, 3)
    count(1, 4)
    rendered = shared.render().decode()
    assert 'modelfence_connections_cut_total{reason="head_s"} 7.0' in rendered
    assert "modelfence_store_seconds_count 2.0" in rendered
    assert "modelfence_store_seconds_sum 0.004" in rendered
    assert "modelfence_open_streams 2.0" in rendered
    shared.ended(1)
    rendered = shared.render().decode()
    assert 'modelfence_connections_cut_total{reason="head_s"} 7.0' in rendered
    assert "modelfence_open_streams 1.0" in rendered


def test_who_takes_a_slot_goes_on_with_its_counts_in_its_files(tmp_path, count):
    shared = SharedCounts(tmp_path)
    count(0, 3)
    files = sorted(file.name for file in tmp_path.iterdir())
    shared.ended(0)
    count(0, 4)
    assert sorted(file.name for file in tmp_path.iterdir()) == files
    assert 'modelfence_connections_cut_total{reason="head_s"} 7.0' in shared.render().decode()
    assert "modelfence_open_streams 1.0" in shared.render().decode()


def test_there_is_room_for_all_that_is_counted_before_anything_is(tmp_path, count):
    count(0, 1)
    files = {file.name: file.stat() for file in tmp_path.iterdir()}
    assert {name: file.st_size for name, file in files.items()} == {
        f"{kind}_0.db": room_bytes for kind, room_bytes in ROOM_BYTES.items()
    }, "no kind of metric has a file that was not thought of, or is too small for it"
    assert all(file.st_size <= file.st_blocks * 512 for file in files.values())


def test_the_room_is_more_than_enough_for_a_policy_of_a_thousand_rules(tmp_path):
    """A process that needs more on a disk without any is killed as it counts."""
    subprocess.run([sys.executable, "-c", COUNTING_MUCH, str(tmp_path)], check=True)  # noqa: S603 - our own
    assert {file.stat().st_size for file in tmp_path.glob("counter_*")} == {ROOM_BYTES["counter"]}
    assert SharedCounts(tmp_path).render().count(b"\n") > 4_000


def test_who_takes_a_slot_whose_file_has_grown_takes_the_room_that_it_has_not_got(tmp_path, count):
    count(0, 1)
    grown = tmp_path / "counter_0.db"
    os.truncate(grown, 2 * ROOM_BYTES["counter"])
    count(0, 2)
    assert grown.stat().st_size == 2 * ROOM_BYTES["counter"] <= grown.stat().st_blocks * 512
    assert 'modelfence_connections_cut_total{reason="head_s"} 3.0' in SharedCounts(tmp_path).render().decode()


def test_a_disk_without_room_is_an_error_before_it_is_the_end_of_the_process(tmp_path):
    full = f"""
import resource
from pathlib import Path
from modelfence.adapters.metrics.shared_counts import share
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
try:
    share(Path({str(tmp_path)!r}), 0)
except OSError as error:
    print(error.strerror)
"""
    ended = subprocess.run([sys.executable, "-c", full], check=True, capture_output=True, text=True)  # noqa: S603 - our own
    assert ended.stdout == "File too large\n"
    assert SharedCounts(tmp_path).render() == b"", "what was begun is in no scrape's way"


def test_who_takes_a_slot_finds_its_room_there_on_a_disk_that_is_full_by_now(tmp_path, count):
    count(0, 1)
    before = {file.name: file.stat().st_ino for file in tmp_path.iterdir()}
    SharedCounts(tmp_path).ended(0)
    count(0, 1)
    assert {file.name: file.stat().st_ino for file in tmp_path.iterdir()} == before


def test_a_process_that_ended_before_it_had_any_files_is_forgotten(tmp_path, count):
    count(0, 1)
    shared = SharedCounts(tmp_path)
    shared.ended(1)
    assert "modelfence_open_streams 1.0" in shared.render().decode()


def test_a_folder_that_the_environment_names_is_not_counted_in(tmp_path):
    (tmp_path / "own").mkdir()
    (tmp_path / "foreign").mkdir()
    counting = (
        "import sys; from pathlib import Path; from modelfence.adapters.metrics.shared_counts import SharedCounts;"
        "shared = SharedCounts(Path(sys.argv[1])); from prometheus_client import Counter; Counter('a', 'b').inc()"
    )
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "foreign")}
    subprocess.run([sys.executable, "-c", counting, str(tmp_path / "own")], env=environment, check=True)  # noqa: S603
    assert list((tmp_path / "foreign").iterdir()) == []
