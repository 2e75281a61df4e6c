"""An accounts file as a store that operators change, one account at a time.

Rule: the file is replaced by a whole one, or not at all. A fence that reads it meanwhile reads the one or the other.
"""

import errno
import fcntl
import os
import stat
import tempfile
from codecs import BOM_UTF8
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from modelfence.adapters.accounts.document import AccountsDocument, open_accounts
from modelfence.adapters.accounts.text import NotEditableError, edited
from modelfence.core.account import Entity, Entry
from modelfence.core.account_keys import Change
from modelfence.core.problem import Problem


class NotChangedError(Exception):
    """The account is as it was. The text is a sentence that says why."""

    def __init__(self, message: str, problems: tuple[Problem, ...] = ()) -> None:
        super().__init__(message)
        self.problems = problems


class AccountsFileStore:
    """The `AccountsStore` in a file. Through a symbolic link the file that it leads to is changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: AccountsDocument | None = None

    async def get(self, account_id: str) -> Entry | None:
        """Return all that is kept of an account, or None. Raises NotChangedError for a file with errors."""
        record = self._read().records.get(account_id)
        return None if record is None else record.entry

    async def entries(self) -> AsyncIterator[Entry]:
        """Yield all accounts. Raises NotChangedError for a file with errors."""
        for record in self._read().records.values():
            yield record.entry

    async def companies(self) -> Mapping[str, Entity]:
        """Return the companies that own accounts, or each other. Raises NotChangedError for a file with errors."""
        return self._read().entities()

    async def update(self, account_id: str, changed: Change) -> None:
        """Change an account. Raises NotChangedError, and whatever `changed` raises."""
        self._seen = None
        path = self._path.resolve()
        try:
            with _locked(path.parent):
                document = self._document()
                if account_id not in document.records:
                    raise NotChangedError(f"there is no account `{account_id}`")
                after = changed(document.records[account_id].entry)
                _replace(path, document.root.document.text, edited(document, after))
        except NotEditableError:
            message = f"{self._path} is written in a way that can't be changed for you; change it by hand"
            raise NotChangedError(message) from None
        except OSError as error:
            raise NotChangedError(f"{self._path} can't be changed: {error.strerror}") from None

    async def close(self) -> None:
        """Nothing is held open."""

    def _read(self) -> AccountsDocument:
        self._seen = self._seen or self._document()
        return self._seen

    def _document(self) -> AccountsDocument:
        document, problems = open_accounts(self._path)
        if document is None:
            raise NotChangedError(f"the accounts file {self._path} has problems", problems)
        return document


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep others who change a file of the folder in the same way from doing so. Raises OSError.

    The folder is locked, for the file itself is replaced.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OSError(errno.EAGAIN, "somebody else is changing it") from None
        yield
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _replace(path: Path, was: str, text: str) -> None:
    """Put a text in the place of a file's, with its mode and owner. Raises OSError, also when it is not what it was."""
    with path.open("rb") as file:
        before = os.fstat(file.fileno())
        data = file.read()
    if data.decode("utf-8-sig") != was:
        raise OSError(errno.EAGAIN, "somebody else has changed it meanwhile")
    mark = BOM_UTF8 if data.startswith(BOM_UTF8) else b""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            made = os.fstat(descriptor)
            if (made.st_uid, made.st_gid) != (before.st_uid, before.st_gid):
                os.fchown(descriptor, before.st_uid, before.st_gid)
            os.fchmod(descriptor, stat.S_IMODE(before.st_mode))
            file.write(mark + text.encode())
            file.flush()
            os.fsync(descriptor)
        Path(name).replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            Path(name).unlink()
        raise
