"""Where accounts are kept, as the commands that change them see it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from modelfence.adapters.accounts_store import AccountsFileStore, NotChangedError
from modelfence.cli.accounts import path_of
from modelfence.core.account import Entry
from modelfence.core.account_keys import Change, UnclearKeyError
from modelfence.settings import CannotStartError, Settings


class AccountsStore(Protocol):
    """Accounts that are looked up and changed one at a time."""

    async def get(self, account_id: str) -> Entry | None:
        """Return all that is kept of an account, or None."""

    async def update(self, account_id: str, changed: Change) -> object:
        """Change an account to what `changed` makes of it, wholly or not at all. Raises what `changed` raises."""

    async def close(self) -> None: ...


@asynccontextmanager
async def accounts_store(settings: Settings) -> AsyncIterator[AccountsStore]:
    """Lend the accounts of the settings. Raises CannotStartError for whatever can't be done with them."""
    store = AccountsFileStore(path_of(settings))
    try:
        yield store
    except NotChangedError as error:
        raise CannotStartError(str(error), error.problems) from None
    except UnclearKeyError as error:
        raise CannotStartError(str(error)) from None
    finally:
        await store.close()


async def entry_of(store: AccountsStore, account_id: str) -> Entry:
    """Return what is kept of an account. Raises CannotStartError where there is none."""
    entry = await store.get(account_id)
    if entry is None:
        raise CannotStartError(f"there is no account `{account_id}`")
    return entry
