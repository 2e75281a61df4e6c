"""Logs of several files, as they lie in folders: whatever is done to one line of one file is found and named."""

import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfence.adapters.audit.file import AuditFile
from modelfence.adapters.audit.reading import chains_in, files_of, verified
from modelfence.adapters.recording.lines import UnreadableError
from modelfence.audit.chain import Sealed, Seals
from modelfence.audit.files import ChainFiles
from modelfence.audit.findings import Break, Kind

SEALS = Seals(b"a key of thirty-two bytes or more")
IN_A_FILE = 4
NAMES = ("audit.w0.000000000001.jsonl", "audit.w0.000000000005.jsonl", "audit.w0.jsonl")

type Lines = dict[str, list[bytes]]


def written() -> Mapping[str, bytes]:
    """Return the files of a log: three of four lines each, and the note."""
    with tempfile.TemporaryDirectory() as folder:
        files = ChainFiles.of(Path(folder) / "audit.jsonl", 0)
        for first in range(0, len(NAMES) * IN_A_FILE, IN_A_FILE):
            file = AuditFile(files, SEALS, max_bytes=1 << 20, max_age_s=1, clock_s=lambda now_s=first: float(now_s))  # type: ignore[misc]
            file.write([b'"n":%d' % n for n in range(first, first + IN_A_FILE)])
            file.close()
        return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


LOG = written()


def breaks_after(change: Callable[[Lines], None]) -> list[Break]:
    lines = {name: LOG[name].splitlines(keepends=True) for name in NAMES}
    change(lines)
    with tempfile.TemporaryDirectory() as folder:
        for name, content in {**LOG, **{name: b"".join(lines[name]) for name in NAMES}}.items():
            (Path(folder) / name).write_bytes(content)
        (found,) = verified([Path(folder)], SEALS)
    return list(found.verified.breaks)


def named(found: Break) -> tuple[str, int, int | None]:
    return Path(found.place.file).name, found.place.line - 1, found.seq


def seq_of(name: str, at: int) -> int:
    return NAMES.index(name) * IN_A_FILE + at + 1


names = st.sampled_from(NAMES)
indices = st.integers(0, IN_A_FILE - 1)


def test_an_untouched_log_is_whole():
    assert set(LOG) == {*NAMES, "audit.w0.head"}
    assert breaks_after(lambda _: None) == []


@given(name=names, at=indices)
def test_a_changed_line_of_any_file_is_named(name, at):
    def change(lines: Lines) -> None:
        lines[name][at] = lines[name][at].replace(b'"n":', b'"n":1')

    (found,) = breaks_after(change)
    assert (found.kind, named(found)) == (Kind.CHANGED, (name, at, seq_of(name, at)))


@given(name=names, at=indices)
def test_a_line_removed_from_any_file_is_named(name, at):
    (found,) = breaks_after(lambda lines: lines[name].__delitem__(at))
    assert (found.kind, found.seq, found.last_seq) == (Kind.REMOVED, seq_of(name, at), seq_of(name, at))


@given(name=names, at=indices, to_name=names, to=st.integers(0, IN_A_FILE))
def test_a_line_of_any_file_that_is_in_another_as_well_is_named(name, at, to_name, to):
    (found,) = breaks_after(lambda lines: lines[to_name].insert(to, lines[name][at]))
    assert (found.kind, found.seq) == (Kind.DUPLICATED, seq_of(name, at))


@given(one=names, at=indices, other=names, other_at=indices)
def test_lines_of_any_files_that_changed_places_are_named(one, at, other, other_at):
    def swap(lines: Lines) -> None:
        lines[one][at], lines[other][other_at] = lines[other][other_at], lines[one][at]

    found = breaks_after(swap)
    distance = abs(seq_of(one, at) - seq_of(other, other_at))
    assert bool(found) == (distance > 0)
    assert {broken.kind for broken in found} <= {Kind.REORDERED}
    if distance != 2:  # three lines turned round can be told in several ways
        places = {(one, at, seq_of(other, other_at)), (other, other_at, seq_of(one, at))}
        assert {named(broken) for broken in found} <= places


@given(name=names)
def test_a_file_that_was_emptied_is_missed(name):
    found = breaks_after(lambda lines: lines[name].clear())
    assert [(broken.kind, broken.seq, broken.last_seq) for broken in found] == [
        (Kind.REMOVED, seq_of(name, 0), seq_of(name, IN_A_FILE - 1))
    ]


def test_files_and_folders_are_put_together_by_chain_and_each_file_is_looked_at_once(tmp_path):
    for name, content in LOG.items():
        (tmp_path / name).write_bytes(content)
    chains = chains_in([tmp_path, tmp_path / NAMES[0]])
    assert [[path.name for path in chain.files] for chain in chains] == [list(NAMES)]
    apart = chains_in([tmp_path / NAMES[2], tmp_path / NAMES[0]])
    assert [([path.name for path in chain.files], chain.head and chain.head.name) for chain in apart] == [
        ([NAMES[0], NAMES[2]], "audit.w0.head")
    ]


class Meanwhile(Seals):
    """Seals that let something happen once, as soon as the first line is looked at."""

    happens: list[Callable[[], object]]

    def fit(self, line: Sealed) -> bool:
        if self.happens:
            self.happens.pop()()
        return super().fit(line)


def test_a_file_that_is_set_aside_while_the_log_is_looked_at_is_not_missed(tmp_path):
    files = ChainFiles.of(tmp_path / "audit.jsonl", 0)

    def write(first: int) -> None:
        file = AuditFile(files, SEALS, max_bytes=1, max_age_s=1)
        file.write([b'"n":%d' % first])
        file.close()

    write(1)
    write(2)
    seals = Meanwhile(SEALS.key)
    object.__setattr__(seals, "happens", [lambda: write(3)])
    (found,) = verified([tmp_path], seals)
    assert (found.verified.breaks, found.verified.lines) == ([], 3)


def test_files_that_are_set_aside_while_others_are_read_are_read_too_and_each_once(tmp_path):
    files = ChainFiles.of(tmp_path / "audit.jsonl", 0)
    file = AuditFile(files, SEALS, max_bytes=1, max_age_s=1e9)
    for n in range(3):
        file.write([b'"n":%d' % n])
    (chain,) = chains_in([tmp_path])
    read: list[bytes] = []
    for _, lines in files_of(chain, [tmp_path]):
        read += lines
        if len(read) in {1, 2, 3}:
            file.write([b'"n":%d' % (10 + len(read))])
    file.close()
    assert [json.loads(line)["seq"] for line in read] == [1, 2, 3, 4, 5, 6]


def test_files_that_are_set_aside_in_the_moment_before_one_is_opened_are_read_too_and_each_once(tmp_path, monkeypatch):
    files = ChainFiles.of(tmp_path / "audit.jsonl", 0)
    file, opened = AuditFile(files, SEALS, max_bytes=1, max_age_s=1e9), Path.open
    file.write([b'"n":0'])

    def open_after_two_more(path: Path, mode: str, buffering: int = -1) -> object:
        if path == files.current:
            monkeypatch.setattr(Path, "open", opened)
            for n in (1, 2):
                file.write([b'"n":%d' % n])
        return opened(path, mode, buffering)

    monkeypatch.setattr(Path, "open", open_after_two_more)
    (chain,) = chains_in([tmp_path])
    read = [line for _, lines in files_of(chain, [tmp_path]) for line in lines]
    file.close()
    assert [json.loads(line)["seq"] for line in read] == [1, 2, 3]


def test_a_file_that_is_set_aside_before_it_is_opened_and_has_no_successor_yet_is_read(tmp_path, monkeypatch):
    (tmp_path / "audit.w0.jsonl").write_bytes(b"".join(LOG[name] for name in NAMES))
    (tmp_path / "audit.w0.head").write_bytes(LOG["audit.w0.head"])
    opened = Path.open

    def open_after_renaming(path: Path, mode: str, buffering: int = -1) -> object:
        monkeypatch.setattr(Path, "open", opened)
        path.rename(tmp_path / NAMES[0])
        return opened(path, mode, buffering)

    monkeypatch.setattr(Path, "open", open_after_renaming)
    (chain,) = chains_in([tmp_path])
    assert sum(1 for _, lines in files_of(chain, [tmp_path]) for _ in lines) == len(NAMES) * IN_A_FILE


def test_a_file_that_is_deleted_before_it_is_opened_is_not_waited_for(tmp_path, monkeypatch):
    files = ChainFiles.of(tmp_path / "audit.jsonl", 0)
    file = AuditFile(files, SEALS, max_bytes=1, max_age_s=1e9)
    for n in range(3):
        file.write([b'"n":%d' % n])
    file.close()
    oldest, opened = files.set_aside(1), Path.open

    def open_after_deletion(path: Path, mode: str, buffering: int = -1) -> object:
        if path == oldest:
            oldest.unlink()
        return opened(path, mode, buffering)

    monkeypatch.setattr(Path, "open", open_after_deletion)
    (found,) = verified([tmp_path], SEALS)
    assert (found.verified.breaks, found.verified.lines, found.verified.first_seq) == ([], 2, 2)


def test_a_folder_that_can_not_be_read_is_an_error(tmp_path, monkeypatch):
    def fail(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", fail)
    with pytest.raises(UnreadableError, match="can't be read: Permission denied"):
        chains_in([tmp_path])
