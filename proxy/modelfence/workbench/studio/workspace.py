"""The files that the studio may touch: the policy, what it includes, and the cases that belong to it.

A page names files by the numbers it was given here. Its unsaved texts stand in for what is on the disk, and what they
include is opened only where it is a YAML file in the policy's folder, or included by the policy as it is saved.
"""

import hashlib
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from modelfence.policy.compile import Compiled, compile_policy
from modelfence.source_files import SourceFiles, stamp
from modelfence.workbench.cases import read_cases
from modelfence.workbench.cases.finding import NoCasesError, find_cases
from modelfence.workbench.studio.protection import BadRequestError

MAX_FILES = 500
_SUFFIXES = (".yaml", ".yml")
_BOM = b"\xef\xbb\xbf"
_ELSEWHERE = "the studio opens YAML files in the policy's folder only, and what the saved policy includes"


class Kind(StrEnum):
    POLICY = "policy"
    INCLUDED = "included"
    CASES = "cases"


@dataclass(frozen=True, slots=True)
class Opened:
    """A file as the page edits it: lines end in a line feed, and a byte order mark is left out."""

    id: str
    path: Path
    kind: Kind
    text: str
    digest: str
    """Of the file's bytes: by it is known whether somebody else has changed it meanwhile."""

    def as_json(self, known: object) -> dict[str, object]:
        """Return what the page is told: no text where it knows the digest of this number."""
        text = None if isinstance(known, dict) and known.get(self.id) == self.digest else self.text
        return {"id": self.id, "name": str(self.path), "kind": self.kind, "text": text, "digest": self.digest}


def digest_of(data: bytes) -> str:
    """Return by what two contents of a file are told apart."""
    return hashlib.sha256(data).hexdigest()


def as_edited(data: bytes) -> str:
    """Return a file's text as a page edits it. Raises UnicodeDecodeError."""
    return data.removeprefix(_BOM).decode().replace("\r\n", "\n").replace("\r", "\n")


def as_written(text: str, before: bytes) -> bytes:
    """Return what to write for an edited text: with the mark of what is there, and the line ends most of it has."""
    windows = before.count(b"\r\n")
    counts = {"\n": before.count(b"\n") - windows, "\r\n": windows, "\r": before.count(b"\r") - windows}
    ending = max(counts, key=lambda one: counts[one])
    mark = _BOM if before.startswith(_BOM) else b""
    return mark + text.replace("\n", ending).encode()


@dataclass(frozen=True, slots=True)
class EditedFiles(SourceFiles):
    """Files of which a page has some in another state than the disk has. The rest are read where that is allowed."""

    edited: Mapping[str, bytes] = field(default_factory=dict)
    """By real path."""
    folder_allowed: str = ""
    allowed: frozenset[str] = frozenset()
    """Real paths besides those in the folder."""

    def text(self, path: Path) -> bytes:
        """Return what a file holds. Raises OSError, also for one that is not the studio's business."""
        real = os.path.realpath(path)
        if real in self.edited:
            return self.edited[real]
        self.stamps[path] = stamp(path)
        inside = os.path.commonpath((real, self.folder_allowed)) == self.folder_allowed
        if real not in self.allowed and not (inside and real.endswith(_SUFFIXES)):
            raise PermissionError(None, _ELSEWHERE)
        if Path(real).exists() and not Path(real).is_file():  # a pipe would never end
            raise PermissionError(None, "it is no regular file")
        return SourceFiles.text(self, path)


class Workspace:
    """The policy at `root`, its includes and their cases. Raises OSError when the policy can't be read."""

    def __init__(self, root: Path, *, may_save: bool = True) -> None:
        self.root = root
        self.may_save = may_save
        self.cases: tuple[Path, ...] = ()
        self._ids: dict[str, str] = {}
        self._paths: dict[str, Path] = {}
        self._allowed: frozenset[str] = frozenset()
        self._lock = threading.RLock()
        self._compiled: tuple[EditedFiles, Compiled] | None = None
        """The last: a page asks several questions about the same texts."""
        self.look()

    def look(self) -> None:
        """Take note of the policy's files as they are on the disk now. Raises OSError."""
        read = SourceFiles()
        policies = compile_policy(self.root, read).files
        self.cases = _cases_of(policies)
        for path in self.cases:
            read_cases(path, read)
        self._allowed = frozenset(os.path.realpath(path) for path in read.texts)
        for path in (*policies, *self.cases):
            self._number(path)

    def files(self, edited: Mapping[str, str] | None = None) -> tuple[Opened, ...]:
        """Return the files of the policy as the page has it, the root first, then its cases. Raises OSError."""
        compiled = self.compile(edited or {})
        included = [(path, Kind.INCLUDED) for path in compiled.files[1:]]
        paths = [(self.root, Kind.POLICY), *included, *((path, Kind.CASES) for path in self.cases)]
        return tuple(opened for path, kind in paths[:MAX_FILES] if (opened := self._open(path, kind)))

    def compile(self, edited: Mapping[str, str]) -> Compiled:
        """Compile the policy with the page's texts in place of what is on the disk. Raises OSError."""
        sources = self.sources(edited)
        with self._lock:
            if self._compiled is None or not _hold_the_same(self._compiled[0], sources):
                self._compiled = (sources, compile_policy(self.root, sources))
            compiled = self._compiled[1]
        for path in compiled.files:
            self._number(path)
        return compiled

    def sources(self, edited: Mapping[str, str]) -> EditedFiles:
        """Return the files with the page's texts, by the numbers of files, in place of the disk's."""
        texts = {os.path.realpath(self.path_of(id_)): text.encode() for id_, text in edited.items()}
        folder = os.path.realpath(self.root.parent)
        return EditedFiles(edited=texts, folder_allowed=folder, allowed=self._allowed)

    def path_of(self, id_: object) -> Path:
        """Return the file of that number. Raises BadRequestError."""
        path = self._paths.get(id_) if isinstance(id_, str) else None
        if path is None:
            raise BadRequestError("There is no such file here.")
        return path

    def id_of(self, file: str) -> str | None:
        """Return the number of the file of that path, None for one that has none."""
        return self._ids.get(os.path.realpath(file))

    def texts_of(self, asked: Mapping[str, Any]) -> dict[str, str]:
        """Return the texts that a page has sent along, by the numbers of files. Raises BadRequestError."""
        texts = asked.get("texts", {})
        if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
            raise BadRequestError("The texts are not what the page sends.")
        for id_, text in texts.items():
            self.path_of(id_)
            if not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text):
                raise BadRequestError("A text holds half a character; it can't be written to a file.")
        return texts

    def _number(self, path: Path) -> None:
        real = os.path.realpath(path)
        with self._lock:
            if real not in self._ids and len(self._ids) < MAX_FILES:
                id_ = str(len(self._ids))
                self._paths[id_] = path
                self._ids[real] = id_

    def _open(self, path: Path, kind: Kind) -> Opened | None:
        """Return a file, None where it can't be read as text: what includes it has a problem that says so."""
        id_ = self.id_of(str(path))
        try:
            data = self.sources({}).text(path)
            return None if id_ is None else Opened(id_, path, kind, as_edited(data), digest_of(data))
        except (OSError, ValueError):
            return None


def _hold_the_same(before: EditedFiles, now: EditedFiles) -> bool:
    """Say whether files that were compiled are still as they were, on the disk as on the page."""
    return (before.edited, before.allowed) == (now.edited, now.allowed) and before.again() is before


def _cases_of(policies: Sequence[Path]) -> tuple[Path, ...]:
    """Return the case files about any of these policies, those of the first before the others. Raises OSError."""
    found: dict[str, Path] = {}
    for policy in policies:
        try:
            for path in find_cases([policy]):
                found.setdefault(os.path.realpath(path), path)
        except NoCasesError:
            continue
    return tuple(found.values())
