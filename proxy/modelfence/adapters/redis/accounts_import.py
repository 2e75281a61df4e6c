"""Bringing many accounts into Redis: all are read and looked at before the first is written.

What was read waits on the disk meanwhile, in a file without a name, so that memory does not grow with what records say,
and what is written is what was looked at, whatever becomes of the file. Each account changes in one step; who is to be
removed is so in the end.
"""

import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from modelfence.adapters.accounts.reader import Record
from modelfence.adapters.redis.account_records import encode, entry_in
from modelfence.adapters.redis.accounts_writer import Change, RedisAccountsWriter
from modelfence.core.account import Entry
from modelfence.enforcement.ports import UnavailableError

SHOWN = 20
"""So many changes of each kind are kept for the report."""
_AT_ONCE = 200
"""Accounts that are read or written together: the server is kept for a millisecond or two."""
_MOST_CLASHES = 100


class Spool:
    """Accounts that wait to be written, on the disk. To be used in a `with`."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `__exit__`
        self.ids: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def add(self, record: Record) -> None:
        """Keep an account, and the line it stands in."""
        self.ids.add(record.account.id)
        self._file.write(b"%d %b\n" % (record.tier_unknown.line, encode(record.entry)))

    def batches(self) -> Iterator[Sequence[tuple[int, Entry]]]:
        """Yield what was kept, some at a time: lines, and the accounts in them."""
        self._file.seek(0)
        batch: list[tuple[int, Entry]] = []
        for kept in self._file:
            line, _, record = kept.partition(b" ")
            batch.append((int(line), entry_in(record)))
            if len(batch) == _AT_ONCE:
                yield batch
                batch = []
        if batch:
            yield batch


@dataclass(slots=True)
class Report:
    """What has changed, or would: how many of each kind, in which fields, and the first of each kind."""

    counts: Counter[str] = field(default_factory=Counter)
    fields: Counter[str] = field(default_factory=Counter)
    first: dict[str, list[Change]] = field(default_factory=dict)

    async def follow(self, changes: AsyncIterator[Sequence[Change]]) -> None:
        """Count changes as they are made. Raises UnavailableError, which says what was made until then."""
        try:
            async for some in changes:
                self.add(some)
        except UnavailableError as error:
            done = sum(number for kind, number in self.counts.items() if kind != "unchanged")
            raise UnavailableError(f"{error}; {done:,} accounts were changed before; it can be run again") from error

    def would_remove(self, ids: Sequence[str]) -> None:
        """Count accounts that would be removed."""
        self.add([Change(one, "removed") for one in ids])

    def add(self, changes: Sequence[Change]) -> None:
        """Count changes."""
        for change in changes:
            self.counts[change.kind] += 1
            self.fields.update(change.fields)
            first = self.first.setdefault(change.kind, [])
            if len(first) < SHOWN:
                first.append(change)


@dataclass(frozen=True, slots=True)
class Clash:
    """A key that an account which is not in the file has already."""

    line: int
    account: str
    digest: str
    holder: str


async def look(writer: RedisAccountsWriter, spool: Spool) -> tuple[Report, Sequence[Clash]]:
    """Return what writing would change, and what forbids it. Raises UnavailableError."""
    report, clashes = Report(), list[Clash]()
    for batch in spool.batches():
        entries = [entry for _, entry in batch]
        report.add(await writer.preview(entries))
        held = await writer.other_holders(entries)
        clashes += (
            Clash(line, entry.account.id, key.digest, held[key.digest])
            for line, entry in batch
            for key in entry.keys
            if key.digest in held and held[key.digest] not in spool.ids
        )
        if len(clashes) >= _MOST_CLASHES:
            break
    return report, clashes


async def write(writer: RedisAccountsWriter, spool: Spool) -> AsyncIterator[Sequence[Change]]:
    """Write all accounts, and yield what has changed as it does. Raises UnavailableError."""
    for batch in spool.batches():
        yield await writer.put([entry for _, entry in batch])


async def others(writer: RedisAccountsWriter, spool: Spool) -> tuple[set[str], int]:
    """Return the ids of accounts that are not in the file, and how many there are in all. Raises UnavailableError."""
    gone, here = set[str](), set[str]()
    async for ids in writer.ids():
        gone.update(one for one in ids if one not in spool.ids)
        here.update(one for one in ids if one in spool.ids)
    return gone, len(gone) + len(here)


async def remove(writer: RedisAccountsWriter, ids: Sequence[str]) -> AsyncIterator[Sequence[Change]]:
    """Remove accounts, and yield what has changed as it does. Raises UnavailableError."""
    for start in range(0, len(ids), _AT_ONCE):
        yield await writer.remove(ids[start : start + _AT_ONCE])
