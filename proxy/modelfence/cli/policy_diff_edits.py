"""What differs between two policies as they are written, as text for a terminal."""

import textwrap
from collections.abc import Iterator, Sequence

from modelfence.cli.tables import cut
from modelfence.workbench.comparing.edits import Edit, KeyEdit, ListEdit, PolicyEdits

_SIGNS = {Edit.ADDED: "+", Edit.REMOVED: "-", Edit.CHANGED: "~", Edit.RENAMED: ">"}
_WIDTH = 100
_SHORT = 72
"""Characters of two values that fit side by side."""
_LONGEST = 1_000
_LONGEST_WORD = 40
"""Characters of one of them."""
_LISTED = 12
"""So many words of a list are shown."""


def lines_of_edits(edits: PolicyEdits) -> Iterator[str]:
    """Yield what differs, a line for each thing and those below it that tell how."""
    if not edits:
        yield "Both policies say the same."
        return
    for key in edits.keys:
        yield from _key_lines(key, sign=_sign(key), indent="")
    for one in edits.lists:
        yield from _wrapped(f"{_SIGNS[one.edit]} list {one.name}: ", _words_of(one))
    for rule in edits.rules:
        called = f", which was {rule.old_id}" if rule.old_id else ""
        yield f"{_SIGNS[rule.edit]} {rule.kind} {rule.id}{called}"
        for key in rule.keys:
            yield from _key_lines(key, sign=_sign(key) if rule.edit is Edit.CHANGED else "", indent="    ")


def _sign(edit: KeyEdit) -> str:
    """Return what a line of a key begins with, among others that say something else."""
    which = Edit.ADDED if edit.old is None else Edit.REMOVED if edit.new is None else Edit.CHANGED
    return f"{_SIGNS[which]} "


def _words_of(one: ListEdit) -> str:
    if one.edit is not Edit.CHANGED:
        return _listed(one.added or one.removed) or "(nothing)"
    parts = [f"{sign} {_listed(words)}" for sign, words in (("+", one.added), ("-", one.removed)) if words]
    return "; ".join(parts)


def _listed(words: Sequence[str]) -> str:
    shown = ", ".join(cut(word, _LONGEST_WORD) for word in words[:_LISTED])
    return shown if len(words) <= _LISTED else f"{shown} and {len(words) - _LISTED:,} more"


def _key_lines(edit: KeyEdit, *, sign: str, indent: str) -> Iterator[str]:
    old, new = (None if value is None else cut(" ".join(value.split()), _LONGEST) for value in (edit.old, edit.new))
    head = f"{indent}{sign}{edit.key}: "
    if old is None or new is None:
        yield from _wrapped(head, new or old or "")
    elif len(old) + len(new) <= _SHORT:
        yield f"{head}{old} → {new}"
    else:
        yield head.rstrip()
        yield from _wrapped(f"{indent}    - ", old)
        yield from _wrapped(f"{indent}    + ", new)


def _wrapped(head: str, text: str) -> Iterator[str]:
    blank = " " * len(head)
    yield from textwrap.wrap(
        text, _WIDTH, initial_indent=head, subsequent_indent=blank, break_long_words=False, break_on_hyphens=False
    ) or [head.rstrip()]
