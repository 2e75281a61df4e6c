"""What lies on the desk of whoever explains: settings, policy, accounts, databases, and where these are written."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from modelfence.adapters.accounts.document import AccountsDocument, open_accounts, stated
from modelfence.adapters.accounts.file import AccountsFile
from modelfence.core.account import Account
from modelfence.parts import Parts, compiled_policy, read_geo, read_parts, shipped_policy
from modelfence.policy.compile import compile_policy
from modelfence.policy.rules import Written
from modelfence.settings import Settings
from modelfence.source_files import Files

_LARGEST_FILE_BYTES = 4 << 20
"""Of a larger accounts file no lines are told: reading it once more for them would take minutes."""


@dataclass(frozen=True)
class Desk:
    """The same for every explanation until a file changes."""

    settings: Settings
    parts: Parts
    written: Mapping[str, Written] = field(repr=False)
    """Where each rule of the policy stands."""

    @property
    def policy_shown(self) -> str:
        """Return where the policy is, as one would write it here."""
        path = self.parts.policy_path
        return "the policy that comes with modelfence" if path == shipped_policy() else _near(str(path))

    @property
    def accounts_shown(self) -> str:
        """Return where the accounts are, as one would write it here, without what may be a password."""
        return _near(self.settings.accounts_shown)

    def place_of_rule(self, rule: str) -> str | None:
        """Return file and line of a rule."""
        written = self.written.get(rule)
        return f"{_near(written.node.document.path)}:{written.node.line}" if written else None

    def place_of_record(self, account: Account, entry: str | None = None) -> str:
        """Return where an account's record stands, or one entry of it: file and line, or the address of a Redis."""
        document = self._accounts
        if document is None or account.id not in document.nodes:
            return self.accounts_shown
        node = document.nodes[account.id]
        if entry is not None:
            node = stated(node).get(entry, node)
        return f"{_near(node.document.path)}:{node.line}"

    @cached_property
    def _accounts(self) -> AccountsDocument | None:
        """Return the accounts with their nodes, where they are in a file that is not too large."""
        path = self.settings.accounts
        if not isinstance(path, Path) or not path.is_file() or path.stat().st_size > _LARGEST_FILE_BYTES:
            return None
        return open_accounts(path)[0]


def parts_for_logs(settings: Settings) -> Parts:
    """Read what a decision in a log is explained with, also where no accounts are given. Raises CannotStartError.

    A fence would not start without any, for nobody could be let in; a log says who was.
    """
    if settings.accounts is not None:
        return read_parts(settings)
    files, path = Files.on_disk(), settings.policy or shipped_policy()
    policy, warnings = compiled_policy(path, files.policy)
    return Parts(policy, path, AccountsFile(()), read_geo(settings.geo, files.geo), None, warnings, files)


def desk_of(settings: Settings, parts: Parts) -> Desk:
    """Return the desk for these settings, with the policy that their parts hold."""
    return Desk(settings, parts, compile_policy(parts.policy_path, parts.files.policy).written)


def _near(path: str) -> str:
    """Return a path as one would write it here; of what comes with modelfence, its place in there."""
    for folder in (Path.cwd(), shipped_policy().parent.parent):
        try:
            return str(Path(path).relative_to(folder))
        except ValueError:
            continue
    return path
