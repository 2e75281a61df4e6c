"""What changes by country, tier, account, model …: a row for each, no more of them than there is room for."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from modelfence.workbench.comparing.changes import NEWLY_REFUSED, Change


@dataclass(slots=True)
class Row:
    """The requests of one country, say."""

    value: str
    requests: int = 0
    old_let_in: int = 0
    new_let_in: int = 0
    changes: Counter[Change] = field(default_factory=Counter)

    @property
    def newly_refused(self) -> int:
        """Return how many the new policy refuses that the old one let in."""
        return sum(self.changes[change] for change in NEWLY_REFUSED)

    def add(self, changes: Sequence[Change], *, old_let_in: bool, new_let_in: bool) -> None:
        """Count a request."""
        self.requests += 1
        self.old_let_in += old_let_in
        self.new_let_in += new_let_in
        if changes:  # for most requests nothing does, and this is asked seven times for each
            self.changes.update(changes)

    def take_in(self, other: "Row") -> None:
        """Count all requests of another row as well."""
        self.requests += other.requests
        self.old_let_in += other.old_let_in
        self.new_let_in += other.new_let_in
        self.changes += other.changes


class Rows:
    """At most `most` rows that stay, and twice as many on the way.

    When there is no room for another, the half that changed least is put together in `others`. So the sum over all rows
    is exact whatever comes; a row that has been put away and comes again counts from zero, which `is_exact` then says.

    Why not a sketch: an account that nothing changes for is put away first, and of those for which something changes
    there is room for all but a recording of a very large service.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._rows: dict[str, Row] = {}
        self._others = Row("")

    @property
    def others(self) -> Row | None:
        """Return the rows for which there was no room, put together; None when there was."""
        return self._others if self._others.requests else None

    def __iter__(self) -> Iterator[Row]:
        """Yield the rows, most newly refused first, then most newly allowed, most other changes and most requests."""
        return iter(sorted(self._rows.values(), key=_order))

    def add(self, value: str, changes: Sequence[Change], *, old_let_in: bool, new_let_in: bool) -> None:
        """Count a request."""
        row = self._rows.get(value)
        if row is None:
            if len(self._rows) >= 2 * self._most:
                self._make_room()
            row = self._rows[value] = Row(value)
        row.add(changes, old_let_in=old_let_in, new_let_in=new_let_in)

    def _make_room(self) -> None:
        ordered = list(self)
        self._rows = {row.value: row for row in ordered[: self._most]}
        for row in ordered[self._most :]:
            self._others.take_in(row)


def _order(row: Row) -> tuple[int, int, int, int, str]:
    return -row.newly_refused, -row.changes[Change.NEWLY_ALLOWED], -row.changes.total(), -row.requests, row.value
