"""The comments of a file, found in what stands between its values, and what each of them is about.

A comment goes to the entry it stands beside, or else to the one it stands above; one that is indented further than what
follows ends what it is indented as.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence

import yaml

from modelfence.document import LINE_END
from modelfence.workbench.formatting.tree import Collection, Comment, Entry, scalars

_DASHES = re.compile(r"^[ \t]*(?:---(?![^ \t]))?[ \t]*(?:-(?:[ \t]+|$))*")


class Lines:
    """The lines of a source, and which of them are blank between values."""

    def __init__(self, source: str, root: yaml.Node) -> None:
        self._source = source
        self._root = root
        self._lines = LINE_END.split(source)
        self._starts = [0, *(end.end() for end in LINE_END.finditer(source))]

    def is_below_blank(self, line: int) -> bool:
        """Say whether a line, from zero, is below a blank one. One with a dash alone belongs to the item below it."""
        above = line - 1
        while above >= 0 and self._lines[above].strip() == "-":
            above -= 1
        return above >= 0 and not self._lines[above].strip()

    def comments(self, begin: int) -> Iterator[Comment]:
        """Yield every comment from a place on: outside of values nothing else begins with `#`."""
        at = begin
        for start, end in [*map(self._span, scalars(self._root)), (len(self._source), len(self._source))]:
            while (found := self._source.find("#", at, start)) >= 0:
                line = bisect_right(self._starts, found) - 1
                text = self._lines[line][found - self._starts[line] :]
                before = self._lines[line][: found - self._starts[line]]
                beside = _DASHES.sub("", before.rstrip(), count=1)
                yield Comment(text.rstrip(), found, len(before), beside, self.is_below_blank(line))
                at = found + len(text)
            at = max(at, end)

    def _span(self, node: yaml.ScalarNode) -> tuple[int, int]:
        """Return where a value is; of a block without its header, which a comment may follow."""
        start, end = int(node.start_mark.index), int(node.end_mark.index)
        if node.style in ("|", ">"):
            line_end = LINE_END.search(self._source, start, end)
            start = line_end.start() if line_end else end
        return start, end


class Attaching:
    """Gives comments, in the order of the source, to the entries and collections of a tree."""

    def __init__(self, tree: Collection) -> None:
        self._tree = tree
        self._entries = list(tree.all_entries())
        self._starts = [entry.start for entry in self._entries]
        self._gap = -1
        self._open: Sequence[Collection] = ()
        """What comments of this gap can end: the innermost last."""
        self._is_inside = False
        """Whether they can still stand in the place of a value that is left out."""

    def attach(self, comments: Iterable[Comment]) -> None:
        """Attach all."""
        for comment in comments:
            place = bisect_right(self._starts, comment.start)
            before = self._entries[place - 1] if place else None
            after = self._entries[place] if place < len(self._entries) else None
            if place != self._gap:
                self._gap, self._open = place, _ended(before, after)
                self._is_inside = before is not None and before.is_left_empty
            if before is None or not comment.beside:
                self._alone(comment, before, after)
            else:
                self._beside(comment, before)

    def _beside(self, comment: Comment, entry: Entry) -> None:
        while entry.parent.is_flow and not entry.parent.holds(comment.start):
            if entry.parent.owner is None:
                self._tree.below.append(comment)
                return
            entry = entry.parent.owner
        entry.beside.append(comment)

    def _alone(self, comment: Comment, before: Entry | None, after: Entry | None) -> None:
        brackets = _brackets(comment, before)
        if brackets is not None:
            is_within = after is not None and brackets.holds(after.start)
            last = brackets.owner if not brackets.entries else None
            (after.above if after and is_within else last.above if last else brackets.below).append(comment)
            return
        if before is not None and _is_before_value(comment, before):
            before.above.append(comment)
            return
        self._is_inside = self._is_inside and before is not None and comment.column > before.parent.column
        if self._is_inside and before is not None:
            before.inside.append(comment)
            return
        while self._open and self._open[-1].column > comment.column:
            self._open = self._open[:-1]
        if self._open:
            self._open[-1].below.append(comment)
        elif after is not None:
            after.above.append(comment)
        else:
            self._tree.below.append(comment)


def _brackets(comment: Comment, before: Entry | None) -> Collection | None:
    """Return the innermost brackets that a comment is in."""
    if before is None:
        return None
    if isinstance(before.value, Collection) and before.value.holds(comment.start):
        return before.value
    parent: Collection | None = before.parent
    while parent is not None and not parent.holds(comment.start):
        parent = parent.owner.parent if parent.owner else None
    return parent


def _is_before_value(comment: Comment, entry: Entry) -> bool:
    """Say whether a comment stands between a key and a value that is no block of entries."""
    if isinstance(entry.value, Collection):
        return entry.value.is_flow and comment.start < entry.value.node.start_mark.index
    return comment.start < entry.value.start_mark.index


def _ended(before: Entry | None, after: Entry | None) -> Sequence[Collection]:
    """Return what ends between two entries and may end with a comment, each of which begins further right."""
    found: list[Collection] = []
    going_on = after.parent if after else None
    entry = before
    while entry is not None and entry.parent is not going_on:
        if not entry.parent.is_flow:
            found.append(entry.parent)
        entry = entry.parent.owner
    if before is not None and after is not None and after.parent.owner is before:
        return ()
    found.reverse()
    column = going_on.column if going_on else -1
    further: list[Collection] = []
    for one in found:
        if one.column > column:
            further.append(one)
            column = one.column
    return further
