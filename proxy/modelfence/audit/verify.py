"""Whether a chain of lines is whole; if not, which lines were changed, removed, moved, repeated or put in.

Lines are looked at one after the other, in constant memory. What a gap means shows only later. When the next line is
one from inside the gap, the line that seemed to come after it was moved; when the gap is never filled, lines were
removed. What can't be believed (its hash does not fit) has no place of its own, and explains a gap of one.
"""

from dataclasses import dataclass, replace

from modelfence.audit.chain import KEYED, Link, Sealed, Seals, read_line
from modelfence.audit.files import Head
from modelfence.audit.findings import Break, Kind, Place, Verified

MOST_BREAKS = 1_000
"""Once so much is wrong, the rest of a chain is not looked at."""
_REMEMBERED = 1_024
"""Lines whose seals are remembered, to tell the same line a second time from another in its place."""


class KeyNeededError(Exception):
    """The chain was made with a key, and can't be looked at without."""


@dataclass(frozen=True, slots=True)
class _Gap:
    """Lines that were not there before the line at `place`."""

    first: int
    last: int
    place: Place

    def without(self, seq: int) -> "list[_Gap]":
        """Return what is left of it when one line is found."""
        pieces = replace(self, last=min(self.last, seq - 1)), replace(self, first=max(self.first, seq + 1))
        return [piece for piece in pieces if piece.first <= piece.last]


@dataclass(frozen=True, slots=True)
class _Leap:
    """A line after a gap, and what to go back to should it turn out to have been moved."""

    link: Link
    gap: _Gap
    before: Link
    before_place: Place
    broken: tuple[int, ...]


class Verification:
    """One chain. `first_seq` is the number that its first file begins with, None when its name does not say."""

    def __init__(self, seals: Seals, *, head: Head | None = None, first_seq: int | None = None) -> None:
        self._seals = seals
        self._head = head
        self._first_seq = first_seq
        self._lines = self._good = 0
        self._began: int | None = None
        self._last = Link()
        """The line that the next one should follow; without a seal where that is not known."""
        self._place = self._last_place = Place("", 0, 0)
        self._broken: list[int] = []
        """Which of the breaks tell of lines since then that can't be believed."""
        self._leap: _Leap | None = None
        self._gaps: list[_Gap] = []
        self._moved: dict[int, int] = {}
        """Numbers of lines that stood too early, and which of the breaks says so."""
        self._recent: dict[int, str | None] = {}
        self._breaks: list[Break] = []
        self._notes: list[str] = []

    @property
    def gave_up(self) -> bool:
        """Say whether so much is wrong that the rest need not be looked at."""
        return len(self._breaks) + len(self._gaps) >= MOST_BREAKS

    def add(self, line: bytes, *, file: str, number: int) -> None:
        """Look at the next line, given with its end; its number is its place in the file. Raises KeyNeededError."""
        self._lines += 1
        self._place = Place(file, number, self._lines)
        sealed = read_line(line)
        if sealed is None:
            self._disbelieve(None, "it is no line of an audit log")
            return
        if self._seals.key is None and (sealed.link.seal or "").startswith(KEYED):
            raise KeyNeededError
        if not self._seals.fit(sealed):
            self._disbelieve(sealed.link.seq, "its hash is not that of what it says")
            return
        self._good += 1
        self._take(sealed)
        self._compare_with_head(sealed.link)

    def note(self, words: str) -> None:
        """Add what is not wrong, and good to know."""
        self._notes.append(words)

    def end(self) -> Verified:
        """Return what was found."""
        self._keep_leap()
        self._look_for_the_newest()
        for gap in self._gaps:
            self._removed(gap)
        if self.gave_up:
            self.note("so much is wrong that the rest was not looked at")
        if self._began is not None and self._began > 1:
            self.note(f"it is looked at from line {self._began} of the chain on: older ones are not here")
        return Verified(
            lines=self._lines,
            first_seq=self._began,
            last_seq=self._last.seq if self._good else None,
            breaks=sorted(self._breaks, key=lambda one: one.place.nth),
            notes=tuple(self._notes),
            fits_key=self._good > 0 or self._lines == 0,
        )

    def _take(self, line: Sealed) -> None:
        seq = line.link.seq
        if self._began is None:
            self._begin(seq)
        expected = self._last.seq + 1
        if seq == expected:
            self._follow(line)
        elif seq > expected:
            self._come_early(line.link)
        else:
            self._come_late(line)

    def _begin(self, seq: int) -> None:
        """Find out with which number the lines should begin; where nothing says so, it is with those that do."""
        first = self._first_seq
        if first is None and self._head is not None and self._head.begins <= seq <= self._head.seq:
            first = self._head.begins
        self._began = max(1, seq - len(self._broken)) if first is None else first
        self._last = Link(self._began - 1)

    def _follow(self, line: Sealed) -> None:
        """Take a line that stands where it should."""
        self._keep_leap()
        if (earlier := self._moved.pop(line.link.seq, None)) is not None:
            words = "it stands in its own place as well"
            self._breaks[earlier] = replace(self._breaks[earlier], kind=Kind.DUPLICATED, words=words)
        for at in self._broken:  # there is no gap for which they could account
            self._breaks[at] = replace(self._breaks[at], kind=Kind.INSERTED)
        if self._last.seal is not None and line.prev != self._last.seal:
            words = "the next line does not follow it: one of the two was changed, and its hash made anew"
            self._breaks.append(Break(Kind.CHANGED, self._last_place, self._last.seq, words))
        self._advance(line.link)

    def _come_early(self, link: Link) -> None:
        """Take a line before which others should stand, unless what is broken, or was moved, accounts for it."""
        self._keep_leap()
        gaps = self._missing(self._last.seq + 1 + len(self._broken), link.seq - 1)
        if gaps:
            whole = replace(gaps[0], first=self._last.seq + 1, last=link.seq - 1)
            self._leap = _Leap(link, whole, self._last, self._last_place, tuple(self._broken))
        self._advance(link)

    def _come_late(self, line: Sealed) -> None:
        """Take a line that should have stood before others."""
        link, leap = line.link, self._leap
        filled = next((gap for gap in self._gaps if gap.first <= link.seq <= gap.last), None)
        if leap is not None and leap.gap.first <= link.seq <= leap.gap.last:
            self._leap = None
            self._moved[leap.link.seq] = len(self._breaks)
            words = f"it stands before line {link.seq} of the chain"
            self._breaks.append(Break(Kind.REORDERED, leap.gap.place, leap.link.seq, words))
            self._last, self._last_place = leap.before, leap.before_place
            self._broken += leap.broken
            self._take(line)
        elif filled is not None:
            self._gaps.remove(filled)
            self._gaps += filled.without(link.seq)
            self._wrong(Kind.REORDERED, link.seq, f"it stands after line {self._last.seq} of the chain")
        elif link.seq < (self._began or 0):
            self._wrong(Kind.REORDERED, link.seq, "it is older than the line that the first file begins with")
        elif self._recent.get(link.seq, link.seal) == link.seal:
            self._wrong(Kind.DUPLICATED, link.seq, "a line of this number stands before it")
        else:
            self._wrong(Kind.INSERTED, link.seq, "another line of this number stands before it")

    def _advance(self, link: Link) -> None:
        self._last, self._last_place = link, self._place
        self._broken = []
        self._recent[link.seq] = link.seal
        if len(self._recent) > _REMEMBERED:
            del self._recent[next(iter(self._recent))]

    def _keep_leap(self) -> None:
        """Take lines for missing, now that the one after the gap is followed by what it should be."""
        if self._leap is not None:
            gap = self._leap.gap
            self._gaps += self._missing(gap.first + len(self._leap.broken), gap.last, gap.place)
            self._leap = None

    def _missing(self, first: int, last: int, place: Place | None = None) -> list[_Gap]:
        """Return which lines of a range are nowhere: not those that stood too early."""
        gaps = [_Gap(first, last, place or self._place)] if first <= last else []
        for seq in self._moved:
            gaps = [piece for gap in gaps for piece in gap.without(seq)]
        return gaps

    def _look_for_the_newest(self) -> None:
        """Take lines for missing that the note says were written last."""
        if self._head is None:
            return
        if self._began is None:
            self._last = Link((self._first_seq or self._head.begins) - 1)
        self._gaps += self._missing(self._last.seq + 1 + len(self._broken), self._head.seq)

    def _compare_with_head(self, link: Link) -> None:
        if self._head is not None and link.seq == self._head.seq and link.seal != self._head.hash:
            self._wrong(Kind.CHANGED, link.seq, "it is not the line that the chain's .head file names")

    def _removed(self, gap: _Gap) -> None:
        count = gap.last - gap.first + 1
        which = f"line {gap.first} is" if count == 1 else f"{count} lines, {gap.first} to {gap.last}, are"
        where = "before this one" if gap.last < self._last.seq else "after this one, the last"
        where = where if gap.place.line else "from the file that was written to, and nothing is left of it"
        words = f"{which} missing {where}"
        self._breaks.append(Break(Kind.REMOVED, gap.place, gap.first, words, gap.last))

    def _disbelieve(self, seq: int | None, words: str) -> None:
        self._broken.append(len(self._breaks))
        self._wrong(Kind.CHANGED, seq, words)

    def _wrong(self, kind: Kind, seq: int | None, words: str) -> None:
        self._breaks.append(Break(kind, self._place, seq, words))
