"""Audit logs as they lie about: which files make which chain, and their lines one after the other, plain or as gzip."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from itertools import chain as concatenated
from itertools import islice
from pathlib import Path

from modelfence.adapters.recording.lines import RecordingLines, UnreadableError
from modelfence.audit.chain import Seals
from modelfence.audit.files import HEAD_BYTES, ChainFiles, Head, chain_of, chain_of_head, first_seq_of, read_head
from modelfence.audit.findings import Verified
from modelfence.audit.verify import Verification

LONGEST_LINE_BYTES = 1 << 20
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class FoundChain:
    """Files of one chain, the oldest first."""

    name: str
    """What they begin with, with their folder."""
    files: Sequence[Path]
    head: Path | None
    """The note of how far the chain came, which says something only of the file that was written last."""


@dataclass(frozen=True, slots=True)
class VerifiedChain:
    """A chain, and what was found of it."""

    chain: FoundChain
    verified: Verified


def chains_in(paths: Sequence[Path]) -> list[FoundChain]:
    """Return the chains of some files and folders. Raises UnreadableError."""
    found: dict[ChainFiles, set[Path]] = {}
    in_folders: set[ChainFiles] = set()
    for path in paths:
        if path.is_dir():
            inside = _inside(path)
            for chain in inside:
                found.setdefault(chain, set()).update(inside[chain])
            in_folders.update(inside)
        else:
            chain = chain_of(path) or ChainFiles(path.parent, path.name)  # a copy may be called anything
            found.setdefault(chain, set()).add(path)
    in_order = sorted(found.items(), key=lambda item: (str(item[0].folder), item[0].name))
    return [_found(chain, files, with_head=chain in in_folders) for chain, files in in_order]


def verified(paths: Sequence[Path], seals: Seals) -> Iterator[VerifiedChain]:
    """Look at each chain in some files and folders. Raises UnreadableError, KeyNeededError.

    A file in a folder may be set aside or deleted in the moment before it is opened: then its chain is looked at again.
    """
    for chain in chains_in(paths):
        for _ in range(_ATTEMPTS - 1):
            try:
                found = _verify(chain, paths, seals)
            except UnreadableError:
                continue
            if not found.verified.breaks or _now(chain, paths).files == found.chain.files:
                break
        else:
            found = _verify(chain, paths, seals)
        yield found


def files_of(chain: FoundChain, paths: Sequence[Path]) -> Iterator[tuple[Path, Iterator[bytes]]]:
    """Yield the files of a chain with their lines, the oldest first. Raises UnreadableError.

    Reading takes minutes where there is much, and files are set aside meanwhile. The one that is written to is opened,
    and then it is looked for them: where there are none it comes next, whatever becomes of its name.
    """
    seen: set[Path] = set()
    while True:
        with ExitStack() as opened:
            current, failure = [], None
            try:
                for file in (file for file in _now(chain, paths).files if first_seq_of(file) is None):
                    lines = opened.enter_context(closing(_opened(file)))
                    current.append((file, _lines(file, lines)))
            except UnreadableError as error:  # it may have been set aside in this moment
                failure = error
            full = [file for file in _now(chain, paths).files if first_seq_of(file) is not None and file not in seen]
            if not full:
                if failure is not None:
                    raise failure
                yield from current
                return
        seen.update(full)
        for file in full:
            yield file, lines_in(file)


def lines_in(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file, each with its end; an empty one for what is too long. Raises UnreadableError."""
    with closing(_opened(path)) as lines:
        yield from _lines(path, lines)


def _opened(path: Path) -> RecordingLines:
    try:
        return RecordingLines(path.open("rb", buffering=0), max_line_bytes=LONGEST_LINE_BYTES)
    except OSError as error:
        raise UnreadableError(f"{path} can't be read: {error.strerror}") from None


def _lines(path: Path, lines: RecordingLines) -> Iterator[bytes]:
    try:
        for line in lines:
            yield b"\n" if line is None else line
    except UnreadableError as error:
        raise UnreadableError(f"{path} can't be read: {error}") from None


def _now(chain: FoundChain, paths: Sequence[Path]) -> FoundChain:
    """Return what there is of a chain by now. Raises UnreadableError."""
    return next((one for one in chains_in(paths) if one.name == chain.name), chain)


def _verify(chain: FoundChain, paths: Sequence[Path], seals: Seals) -> VerifiedChain:
    head = _read_head(chain.head)
    to_read = files_of(chain, paths)
    oldest = list(islice(to_read, 1))
    files: list[Path] = []
    verification = Verification(seals, head=head, first_seq=first_seq_of(oldest[0][0]) if oldest else None)
    if chain.head is not None and head is None:
        verification.note(f"there is no {chain.head.name}: whether the newest lines were removed can't be seen")
    for path, lines in concatenated(oldest, to_read):
        files.append(path)
        is_written_to = first_seq_of(path) is None
        for number, line in enumerate(lines, 1):
            if is_written_to and not line.endswith(b"\n"):
                where = f"{path.name}:{number}"
                verification.note(f"{where} is an unfinished line, as a crash leaves one behind; it is passed over")
            else:
                verification.add(line, file=str(path), number=number)
            if verification.gave_up:
                break
        if verification.gave_up:
            break
    return VerifiedChain(replace(chain, files=files), verification.end())


def _inside(folder: Path) -> dict[ChainFiles, set[Path]]:
    """Return the files of each chain in a folder; none where there is only its note. Raises UnreadableError."""
    try:
        paths = list(folder.iterdir())
    except OSError as error:
        raise UnreadableError(f"{folder} can't be read: {error.strerror}") from None
    heads = {chain for path in paths if (chain := chain_of_head(path)) is not None}
    found: dict[ChainFiles, set[Path]] = {chain: set() for chain in heads}
    for path in paths:
        chain = chain_of(path)
        if chain is not None and (chain in heads or not _is_recording(path)):
            found.setdefault(chain, set()).add(path)
    if not found:
        raise UnreadableError(f"{folder} holds no audit log")
    return found


def _is_recording(path: Path) -> bool:
    """Say whether a file is one of recorded calls: several workers name theirs alike."""
    return next(lines_in(path), b"").startswith(b'{"ts"')


def _found(chain: ChainFiles, files: set[Path], *, with_head: bool) -> FoundChain:
    in_order = sorted(files, key=lambda file: (first_seq_of(file) is None, first_seq_of(file) or 0, file.name))
    has_newest = with_head or chain.current in files
    return FoundChain(str(chain.folder / chain.name), in_order, chain.head if has_newest else None)


def _read_head(path: Path | None) -> Head | None:
    """Return what a note says, None where there is none."""
    try:
        return None if path is None else read_head(path.read_bytes()[:HEAD_BYTES])
    except OSError:
        return None
