"""Lists that are empty or that nobody uses."""

from collections.abc import Mapping

from modelfence.document import Node
from modelfence.policy.files import PolicyFile
from modelfence.policy.keys import RULES_KEYS
from modelfence.policy.lint.subjects import Notes, Subjects
from modelfence.policy.tokens import dotted_names, tokens

_OWNED_BY = ("kyc", "owned_by")


def defined_lists(subjects: Subjects) -> Mapping[str, Node]:
    """Return the items of each list, where it is defined first."""
    found: dict[str, Node] = {}
    for file in subjects.files:
        for name, items in _lists(file).items():
            found.setdefault(name, items)
    return found


def warn_of_lists(subjects: Subjects, notes: Notes) -> None:
    """Warn of lists that are empty, and of those nobody uses in a file that has rules.

    A file without rules is a library: whoever includes it need not use all of it.
    """
    used = _used(subjects)
    first = defined_lists(subjects)
    for file in subjects.files:
        for name, items in _lists(file).items():
            if first[name] != items:
                continue
            key = file.entries["lists"].key_node(name)
            if name not in used and _has_rules(file):
                notes.at(key, "unused-list", f"no rule uses the list `{name}`")
            elif name in used and not items.items():
                notes.at(key, "empty-list", f"the list `{name}` is empty, so nothing is in it")


def _used(subjects: Subjects) -> set[str]:
    used = set()
    for subject in subjects.rules:
        for node in subject.expressions():
            for path in dotted_names(tokens(node.text() or "")):
                if path[0] == "lists":
                    used.add(path[1])
                elif path[:2] == _OWNED_BY:
                    used.add(path[2])
    return used


def _lists(file: PolicyFile) -> Mapping[str, Node]:
    node = file.entries.get("lists")
    return {} if node is None or node.is_null else (node.free_entries() or {})


def _has_rules(file: PolicyFile) -> bool:
    return any(section in file.entries and not file.entries[section].is_null for section in RULES_KEYS)
