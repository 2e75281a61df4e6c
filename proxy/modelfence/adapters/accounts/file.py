"""The accounts file as the loop's directory: held in memory, found by the digest of an API key or certificate.

Why a plain dictionary: how long a lookup takes can tell a caller something about digests, never about keys. To look for
a digest that begins like a known one he would need a key for it, and SHA-256 gives him none.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from modelfence.adapters.accounts.reader import Record, read_records
from modelfence.core.account import UNKNOWN, Account, Entry, Found
from modelfence.core.problem import Problem, errors, in_order
from modelfence.document import did_you_mean, read
from modelfence.source_files import SourceFiles
from modelfence.yaml_nodes import uncollected

UNREADABLE = "unreadable-file"


class AccountsFile:
    """The `AccountDirectory` port over the records of a file, in the file's order."""

    def __init__(self, records: Iterable[Record]) -> None:
        self._records = {record.account.id: record for record in records}
        self._by_digest = {
            key.digest: (key, record.account) for record in self._records.values() for key in record.keys
        }

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[Account]:
        return (record.account for record in self._records.values())

    @property
    def entries(self) -> Iterator[Entry]:
        """Yield all that the file says of each account."""
        return (record.entry for record in self._records.values())

    async def get(self, account_id: str) -> Account | None:
        """Return the account of that id, or None."""
        record = self._records.get(account_id)
        return None if record is None else record.account

    async def find(self, digest: str, at_us: int) -> Found:
        """Return what is known of the API key or certificate of that digest."""
        known = self._by_digest.get(digest)
        if known is None:
            return UNKNOWN
        key, owner = known
        return Found(key.check(at_us), owner)

    def check_tiers(self, tiers: Sequence[str]) -> tuple[Problem, ...]:
        """Return a problem for each account whose tier is not one of the policy's."""
        unknown = [record for record in self._records.values() if record.account.tier not in tiers]
        hints = {tier: did_you_mean(tier, tiers) for tier in {record.account.tier for record in unknown}}
        return in_order(replace(record.tier_unknown, hint=hints[record.account.tier]) for record in unknown)


def read_accounts(path: Path, files: SourceFiles | None = None) -> tuple[AccountsFile | None, tuple[Problem, ...]]:
    """Return the accounts, or None with every problem that stops them. A file that can't be read is a problem."""
    try:
        document = read(path, files)
    except (OSError, ValueError) as error:
        return None, (unreadable(path, error),)
    with uncollected():
        records, problems = read_records(document)
    return (None if errors(problems) else AccountsFile(records)), in_order(problems)


def unreadable(path: Path, error: OSError | ValueError) -> Problem:
    """Return the problem of an accounts file that can't be read."""
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return Problem(str(path), 1, 1, UNREADABLE, f"can't read the accounts: {reason}")
