"""The lines of a recording: one at a time, whatever they come from."""

import gzip
import tracemalloc

import pytest

from modelfence.adapters.recording.lines import RecordingLines, UnreadableError


@pytest.fixture
def lines_of(tmp_path):
    opened = []

    def of(data: bytes, **bounds: int) -> RecordingLines:
        path = tmp_path / "recording"
        path.write_bytes(data)
        opened.append(RecordingLines(path.open("rb", buffering=0), **bounds))
        return opened[-1]

    yield of
    for one in opened:
        one.close()


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("data", [b"", b"\n", b"a", b"a\nb\n", b"a\r\n\nb"])
def test_lines_come_as_they_are(lines_of, pack, data):
    assert list(lines_of(pack(data))) == data.splitlines(keepends=True)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_line_that_is_too_long_is_passed_over(lines_of, pack):
    data = b"12345678\n123456789\n\n" + b"x" * 3_000_000 + b"\nlast" + b"y" * 100
    assert list(lines_of(pack(data), max_line_bytes=9)) == [b"12345678\n", None, b"\n", None, None]


def test_how_much_was_read_is_told(lines_of):
    lines = lines_of(b"a\n" * 1_500_000)
    assert (lines.size_bytes, lines.read_bytes) == (3_000_000, 1 << 20)
    assert sum(1 for _ in lines) == 1_500_000
    assert lines.read_bytes == 3_000_000


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-9], lambda data: data[:20] + b"\0\xff" + data[22:], lambda data: data + b"x"]
)
def test_gzip_that_is_damaged_is_unreadable(lines_of, damage):
    packed = gzip.compress(bytes(range(256)) * 10)
    with pytest.raises(UnreadableError):
        list(lines_of(damage(packed)))


def test_a_folder_and_a_file_that_is_not_there_are_unreadable(tmp_path):
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(UnreadableError):
            RecordingLines.of(path)


def test_a_file_is_never_loaded_whole(lines_of):
    lines = lines_of(gzip.compress((b"x" * 999 + b"\n") * 20_000))
    tracemalloc.start()
    assert sum(1 for _ in lines) == 20_000
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 5 << 20
