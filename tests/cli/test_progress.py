"""The progress line: on a terminal, and nowhere else."""

import io
import itertools

import pytest

from modelfence.adapters.recording.lines import RecordingLines
from modelfence.cli.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def lines(tmp_path):
    (tmp_path / "recording").write_bytes(b"x" * 999 + b"\n" + b"y" * (3 << 20))
    lines = RecordingLines.of(tmp_path / "recording")
    next(iter(lines))
    yield lines
    lines.close()


@pytest.fixture
def clock_s():
    """A clock that goes on by ten seconds whenever it is read."""
    return map(float, itertools.count(0, 10)).__next__


def test_nothing_is_shown_where_there_is_no_terminal(lines, clock_s):
    stream = io.StringIO()
    bar = Progress(lines, stream, clock_s=clock_s)
    for _ in range(1_000):
        bar.advance()
    bar.clear()
    assert stream.getvalue() == ""


def test_a_terminal_is_told_how_far_it_is_and_how_fast(lines, clock_s):
    stream = Terminal()
    bar = Progress(lines, stream, clock_s=clock_s)
    for _ in range(32):
        bar.advance()
    assert stream.getvalue() == "\r\x1b[Kreplaying [########................]  33%  1.0 of 3.0 MB  2 requests/s"
    bar.clear()
    assert stream.getvalue().endswith("\r\x1b[K")


def test_of_a_pipe_nobody_knows_the_end(lines, clock_s, monkeypatch):
    monkeypatch.setattr(lines, "size_bytes", None)
    stream = Terminal()
    bar = Progress(lines, stream, clock_s=clock_s)
    for _ in range(32):
        bar.advance()
    assert stream.getvalue() == "\r\x1b[Kreplaying 32 requests  1.0 MB  2 requests/s"


def test_a_narrow_terminal_is_not_wrapped(lines, clock_s, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    stream = Terminal()
    bar = Progress(lines, stream, clock_s=clock_s)
    for _ in range(32):
        bar.advance()
    assert stream.getvalue() == "\r\x1b[Kreplaying [########"
