"""Where accounts are kept, as the commands that show and change them see it: a file, or Redis."""

import argparse
import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Protocol

from modelfence.adapters.accounts.store import AccountsFileStore, NotChangedError
from modelfence.adapters.redis.accounts_writer import NoSuchAccountError, RedisAccountsWriter
from modelfence.cli.accounts import failed, path_of
from modelfence.cli.run import settings_of
from modelfence.core.account import Entity, Entry
from modelfence.core.account_keys import Change, UnclearKeyError
from modelfence.core.unavailable import UnavailableError
from modelfence.settings import CannotStartError, Settings


class AccountsStore(Protocol):
    """Accounts that are looked up and changed one at a time."""

    async def get(self, account_id: str) -> Entry | None:
        """Return all that is kept of an account, or None."""

    def entries(self) -> AsyncIterator[Entry]:
        """Yield all accounts, once each."""

    async def companies(self) -> Mapping[str, Entity]:
        """Return the companies that own accounts, or each other, as far as they are kept."""

    async def update(self, account_id: str, changed: Change) -> object:
        """Change an account to what `changed` makes of it, wholly or not at all. Raises what `changed` raises."""

    async def close(self) -> None: ...


def with_accounts(options: argparse.Namespace, work: Callable[[AccountsStore], Awaitable[None]]) -> int:
    """Do something with the accounts of the settings. Return 0, or 2 when it could not be done."""

    async def run() -> None:
        async with accounts_store(settings_of(options, os.environ, with_upstreams=False)) as store:
            await work(store)

    try:
        asyncio.run(run())
    except CannotStartError as error:
        return failed(error)
    return 0


@asynccontextmanager
async def accounts_store(settings: Settings) -> AsyncIterator[AccountsStore]:
    """Lend the accounts of the settings. Raises CannotStartError for whatever can't be done with them."""
    store = _store_of(settings)
    try:
        yield store
    except NotChangedError as error:
        raise CannotStartError(str(error), error.problems) from None
    except (UnclearKeyError, NoSuchAccountError) as error:
        raise CannotStartError(str(error)) from None
    except UnavailableError as error:
        raise CannotStartError(f"the accounts in {settings.accounts_shown} can't be used: {error}") from None
    finally:
        await store.close()


@asynccontextmanager
async def accounts_in_redis(settings: Settings) -> AsyncIterator[RedisAccountsWriter]:
    """Lend the accounts of settings that name a Redis. Raises CannotStartError, as above."""
    if not isinstance(settings.accounts, str):
        raise CannotStartError("name the Redis with the accounts: --store redis://…, or `accounts` in the settings")
    async with accounts_store(settings) as store:
        assert isinstance(store, RedisAccountsWriter)  # noqa: S101 - as a URL says
        yield store


async def entry_of(store: AccountsStore, account_id: str) -> Entry:
    """Return what is kept of an account. Raises CannotStartError where there is none."""
    entry = await store.get(account_id)
    if entry is None:
        raise CannotStartError(f"there is no account `{account_id}`")
    return entry


def _store_of(settings: Settings) -> AccountsStore:
    if not isinstance(settings.accounts, str):
        return AccountsFileStore(path_of(settings))
    try:
        return RedisAccountsWriter(settings.accounts, prefix=settings.store_prefix)
    except ValueError as error:
        raise CannotStartError(f"the accounts in {settings.accounts_shown} can't be used: {error}") from None
