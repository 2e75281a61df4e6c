"""The files of one policy: the root, and everything it includes."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files as resources
from pathlib import Path

from modelfence.document import Document, Node, read
from modelfence.policy.keys import MODE, POLICY_KEYS, VERSION, names, required
from modelfence.source_files import SourceFiles


@dataclass(frozen=True, slots=True)
class PolicyFile:
    """One file, read and checked as far as its own keys go."""

    document: Document
    path: Path
    entries: Mapping[str, Node]
    shadow: bool
    """Its own mode is shadow, which covers the rules it holds."""


def shipped() -> Path:
    """Return the folder of the policies, packs and lists that come with modelfence."""
    return Path(str(resources("modelfence"))) / "policies"


def load(root: Document, source: SourceFiles) -> tuple[PolicyFile, ...]:
    """Return the root and every file it includes, nearest first, each once. Problems are in their documents."""
    files: list[PolicyFile] = []
    waiting = [(root, Path(root.path))]
    seen = {os.path.realpath(root.path)}
    while waiting:
        document, path = waiting.pop(0)
        file = _checked(document, path)
        files.append(file)
        include = file.entries.get("include")
        for item in [] if include is None or include.is_null else include.items():
            included = _included(item, path, seen, source)
            if included is not None:
                waiting.append((included, Path(included.path)))
    return tuple(files)


def _checked(document: Document, path: Path) -> PolicyFile:
    node = document.compose()
    entries = {} if node is None else node.entries(names(POLICY_KEYS), required=required(POLICY_KEYS))
    version = entries.get("version")
    if version is not None:
        version.choice(VERSION.options)
    mode = entries.get("mode")
    return PolicyFile(document, path, entries, shadow=mode is not None and mode.choice(MODE.options) == "shadow")


def _included(item: Node, at: Path, seen: set[str], source: SourceFiles) -> Document | None:
    """Return an included file that was not seen yet."""
    name = item.filled_text()
    if name is None:
        return None
    path = at.parent / name
    try:
        real = os.path.realpath(path)
        if real in seen:
            return None
        seen.add(real)
        if path.is_fifo():
            raise ValueError("it is a pipe")  # noqa: TRY301 - one place says so of whatever can't be read
        return read(path, source)
    except OSError as error:
        words = f"`{name}` can't be read: {(error.strerror or str(error)).lower()}"
        item.problem("bad-include", words, hint=_where_it_is(name, error))
    except ValueError as error:
        item.problem("bad-include", f"`{name}` can't be read: {error}")
    return None


def _where_it_is(name: str, error: OSError) -> str | None:
    """Return where a pack or a list is that was not copied along with the policy that includes it."""
    if not isinstance(error, FileNotFoundError) or not (shipped() / name).is_file():
        return None
    return f"it comes with modelfence: copy what is in `{shipped()}` beside this file"


def content_hash(files: tuple[PolicyFile, ...]) -> str:
    """Return the first 16 hexadecimal digits of a SHA-256 over what the files hold.

    It is the digest of the root's digest and the sorted digests of the others: where a file lies and in which order
    files are named changes no decision, and so not the hash.
    """
    root, *others = (hashlib.sha256(file.document.text.encode()).digest() for file in files)
    return hashlib.sha256(b"".join((root, *sorted(others)))).hexdigest()[:16]
