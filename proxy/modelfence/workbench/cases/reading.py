"""Case files: from text to cases, or every problem with its position.

Rule: nothing here decides or prints; beside the case file only its policy and its accounts are read.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path

from modelfence.adapters.accounts.file import AccountsFile, read_accounts
from modelfence.core.keys import names, required
from modelfence.core.problem import Problem, errors, in_order
from modelfence.document import Document, Node, read
from modelfence.policy import Compiled, compile_policy
from modelfence.source_files import SourceFiles
from modelfence.workbench.cases.cases import CaseReader
from modelfence.workbench.cases.keys import FILE_KEYS
from modelfence.workbench.cases.model import Case, CaseFile

SUFFIX = ".cases.yaml"


def read_cases(path: Path, files: SourceFiles | None = None) -> CaseFile:
    """Return the cases of a file and the policy they are about, as the files hold them or else as they are now.

    Raises OSError when the case file can't be read; a policy that can't be is a problem.
    """
    files = files or SourceFiles()
    try:
        document = read(path, files)
    except ValueError as error:
        problem = Problem(str(path), 1, 1, "unreadable", f"this file can't be read: {error}")
        return CaseFile(path, policy_beside(path), None, (), (problem,))
    return _Reading(document, files).case_file(None)


def read_case_text(text: str, compiled: Compiled, *, path: str = "policy.cases.yaml") -> CaseFile:
    """Return the cases of a text as if it stood in a file at `path`, about a policy that was compiled before.

    The text's own `policy` is not looked at; its `accounts` are relative to `path`. Never raises.
    """
    return _Reading(Document(path, text), SourceFiles()).case_file(compiled)


def is_case_file(path: Path) -> bool:
    """Say whether a file holds cases, by its name."""
    return path.name.endswith(SUFFIX)


def policy_of(path: Path) -> Path:
    """Return the policy that a case file is about, whatever is wrong with the cases. Raises OSError."""
    try:
        document = read(path)
    except ValueError:
        return policy_beside(path)
    root = document.compose()
    entries = (root.free_entries() or {}) if root else {}
    name = entries["policy"].text() if "policy" in entries else None
    return beside(path, name) if name else policy_beside(path)


def policy_beside(path: Path) -> Path:
    """Return the policy that a case file is about when it names none: `x.yaml` beside `x.cases.yaml`."""
    return path.with_name(path.name.removesuffix(SUFFIX).removesuffix(".yaml") + ".yaml")


@dataclass(slots=True)
class _Reading:
    """One case file being read."""

    document: Document
    files: SourceFiles
    path: Path = field(init=False)

    def __post_init__(self) -> None:
        self.path = Path(self.document.path)

    def case_file(self, compiled: Compiled | None) -> CaseFile:
        """Return the file's cases; the policy is compiled if it is not given."""
        root = self.document.compose()
        entries = {} if root is None else root.entries(names(FILE_KEYS), required=required(FILE_KEYS))
        policy_path = policy_beside(self.path)
        if compiled is not None:
            policy_path = compiled.files[0]
        elif root is not None:
            policy_path = self._policy_path(entries.get("policy"))
            compiled = self._compiled(policy_path, entries.get("policy") or root)
        accounts, ids = self._accounts(entries.get("accounts"))
        cases: tuple[Case, ...] = ()
        if compiled is not None and compiled.policy is not None:
            reader = CaseReader(compiled.policy, ids, entries.get("given"))
            cases = reader.cases(entries.get("cases"))
        problems = in_order(self.document.problems)
        return CaseFile(self.path, policy_path, compiled, () if errors(problems) else cases, problems, accounts)

    def _policy_path(self, node: Node | None) -> Path:
        name = node.filled_text() if node else None
        return policy_beside(self.path) if name is None else beside(self.path, name)

    def _compiled(self, path: Path, at: Node) -> Compiled | None:
        try:
            compiled = compile_policy(path, self.files)
        except OSError as error:
            at.problem("bad-policy", f"the policy `{path}` can't be read: {(error.strerror or str(error)).lower()}")
            return None
        if count := len(errors(compiled.problems)):
            words = f"the policy `{path}` has {'a problem' if count == 1 else f'{count} problems'}"
            at.problem(
                "bad-policy", words, hint=f"`modelfence policy check {path}` shows {'it' if count == 1 else 'them'}"
            )
        return compiled

    def _accounts(self, node: Node | None) -> tuple[AccountsFile | None, frozenset[str] | None]:
        """Return the accounts and their ids; None for ids where the file can't be used."""
        name = node.filled_text() if node else None
        if node is None or name is None:
            return None, frozenset()
        path = beside(self.path, name)
        accounts, problems = read_accounts(path, self.files)
        if accounts is None:
            first = errors(problems)[0]
            node.problem("bad-accounts", f"the accounts `{path}` can't be used: {first.message}")
            return None, None
        return accounts, frozenset(account.id for account in accounts)


def beside(path: Path, name: str) -> Path:
    """Return the path of a file that another names, without `..` where that is the same file."""
    raw = path.parent / name
    short = Path(os.path.normpath(raw))
    return short if os.path.realpath(short) == os.path.realpath(raw) else raw
