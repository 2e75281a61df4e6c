"""Whatever is done to a chain is found, and the line to which it was done is named."""

import hashlib
import hmac
import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfence.audit.chain import Link, Seals, read_line
from modelfence.audit.files import Head
from modelfence.audit.findings import Kind, Verified
from modelfence.audit.verify import MOST_BREAKS, KeyNeededError, Verification

KEY = b"a key of thirty-two bytes or more"
SEALS = [Seals(), Seals(KEY)]
LENGTH = 12
NOTHING = Link()


def chain(length: int = LENGTH, seals: Seals = SEALS[0], after: Link = NOTHING) -> list[bytes]:
    lines = []
    for n in range(length):
        line, after = seals.next_line(after, b'"n":%d' % n)
        lines.append(line)
    return lines


def head_of(lines: Sequence[bytes], begins: int = 1) -> Head:
    last = read_line(lines[-1])
    return Head(begins, 0.0, last.link.seq, last.link.seal)


def verify(
    lines: Sequence[bytes], seals: Seals = SEALS[0], head: Head | None = None, first: int | None = None
) -> Verified:
    verification = Verification(seals, head=head, first_seq=first)
    for number, line in enumerate(lines, 1):
        verification.add(line, file="f", number=number)
    return verification.end()


def found(verified: Verified) -> list[tuple[Kind, int, int | None]]:
    return [(one.kind, one.place.line, one.seq) for one in verified.breaks]


def resealed(line: bytes, old: bytes, new: bytes, seals: Seals) -> bytes:
    """Return a changed line with a hash that fits it."""
    text = read_line(line).text.replace(old, new)
    return b'%b,"hash":"%b"}\n' % (text, seals.of(text).encode())


indices = st.integers(0, LENGTH - 1)
each_seal = pytest.mark.parametrize("seals", SEALS, ids=["without a key", "with a key"])


@each_seal
def test_a_whole_chain_is_fine(seals):
    lines = chain(seals=seals)
    verified = verify(lines, seals, head_of(lines))
    assert (verified.lines, verified.first_seq, verified.last_seq) == (LENGTH, 1, LENGTH)
    assert (verified.breaks, verified.notes) == ([], ())


def test_a_line_is_json_whose_hash_anyone_can_make_again_who_has_the_key():
    line = chain()[1]
    read = json.loads(line)
    assert list(read) == ["seq", "prev", "n", "hash"]
    assert read["prev"] == json.loads(chain()[0])["hash"]
    text = line[: line.index(b',"hash":')]
    assert read["hash"] == f"sha256:{hashlib.sha256(text).hexdigest()}"
    line = chain(seals=Seals(KEY))[0]
    text = line[: line.index(b',"hash":')]
    assert json.loads(line)["hash"] == f"hmac-sha256:{hmac.new(KEY, text, hashlib.sha256).hexdigest()}"


@given(at=indices, data=st.data(), seals=st.sampled_from(SEALS))
def test_a_change_of_any_byte_is_found_in_its_line(at, data, seals):
    lines = chain(seals=seals)
    head = head_of(lines)
    position = data.draw(st.integers(0, len(lines[at]) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda byte: byte not in (lines[at][position], 10)))
    changed = bytearray(lines[at])
    changed[position] = byte
    if position == len(changed) - 1:  # without its end it is one with the next
        lines[at : at + 2] = [bytes(changed) + b"".join(lines[at + 1 : at + 2])]
    else:
        lines[at] = bytes(changed)
    verified = verify(lines, seals, head)
    assert verified.breaks[0].kind is Kind.CHANGED
    assert {one.place.line for one in verified.breaks} <= {at + 1, at + 2}
    assert position == len(changed) - 1 or len(verified.breaks) == 1


@given(at=indices)
def test_a_change_with_a_hash_that_fits_is_found_by_the_next_line(at):
    lines = chain()
    head = head_of(lines)
    lines[at] = resealed(lines[at], b'"n"', b'"m"', SEALS[0])
    assert found(verify(lines, head=head)) == [(Kind.CHANGED, at + 1, at + 1)]


@given(at=indices, seals=st.sampled_from(SEALS), count=st.integers(1, LENGTH))
def test_removed_lines_are_found_and_named(at, seals, count):
    lines = chain(seals=seals)
    head = head_of(lines)
    del lines[at : at + count]
    (removed,) = verify(lines, seals, head).breaks
    assert (removed.kind, removed.seq, removed.last_seq) == (Kind.REMOVED, at + 1, min(LENGTH, at + count))
    assert removed.place.line == min(at + 1, len(lines))


@given(one=indices, other=indices, seals=st.sampled_from(SEALS))
def test_lines_that_changed_places_are_found_and_named(one, other, seals):
    one, other = sorted((one, other))
    lines = chain(seals=seals)
    head = head_of(lines)
    lines[one], lines[other] = lines[other], lines[one]
    breaks = verify(lines, seals, head).breaks
    assert {broken.kind for broken in breaks} <= {Kind.REORDERED}
    assert bool(breaks) == (one != other)
    if other - one != 2:  # three lines turned round can be told in several ways
        assert {(broken.place.line, broken.seq) for broken in breaks} <= {(one + 1, other + 1), (other + 1, one + 1)}


@given(at=indices, to=st.integers(0, LENGTH), seals=st.sampled_from(SEALS))
def test_a_line_that_is_there_twice_is_found_and_named(at, to, seals):
    lines = chain(seals=seals)
    head = head_of(lines)
    lines.insert(to, lines[at])
    (twice,) = verify(lines, seals, head).breaks
    assert (twice.kind, twice.seq) == (Kind.DUPLICATED, at + 1)
    assert twice.place.line - 1 in ({to} if to != at else {to, to + 1})


@given(at=indices, to=indices, seals=st.sampled_from(SEALS))
def test_a_line_that_was_moved_is_found_and_named(at, to, seals):
    lines = chain(seals=seals)
    head = head_of(lines)
    line = lines.pop(at)
    lines.insert(to, line)
    verified = verify(lines, seals, head)
    assert {one.kind for one in verified.breaks} <= {Kind.REORDERED}
    assert bool(verified.breaks) == (at != to)
    assert len(verified.breaks) <= 1
    assert abs(at - to) == 1 or {(one.seq, one.place.line) for one in verified.breaks} <= {(at + 1, to + 1)}


@given(to=st.integers(0, LENGTH), seals=st.sampled_from(SEALS))
def test_what_is_no_line_is_found_where_it_was_put_in(to, seals):
    lines = chain(seals=seals)
    head = head_of(lines)
    lines.insert(to, b"{}\n")
    # At the end it may as well be a line that was written after the note.
    kind = Kind.CHANGED if to == LENGTH else Kind.INSERTED
    assert found(verify(lines, seals, head)) == [(kind, to + 1, None)]


@given(at=st.integers(1, LENGTH - 1))
def test_another_line_in_the_place_of_one_that_is_there_is_told_from_a_repeated_one(at):
    lines = chain()
    head = head_of(lines)
    lines.insert(at, resealed(lines[at - 1], b'"n"', b'"m"', SEALS[0]))
    assert found(verify(lines, head=head)) == [(Kind.INSERTED, at + 1, at)]


def test_without_the_note_of_how_far_it_came_the_end_of_a_chain_can_be_removed_unseen():
    lines = chain()
    assert verify(lines[:-1]).breaks == []
    assert len(verify(lines[:-1], head=head_of(lines)).breaks) == 1


def test_lines_beyond_the_note_are_fine():
    lines = chain()
    assert verify(lines, head=head_of(lines[:-3])).breaks == []


def test_a_chain_whose_older_files_are_gone_is_fine_from_there_on_and_says_so():
    lines = chain()
    for verified in (
        verify(lines[5:], head=head_of(lines, begins=6)),
        verify(lines[5:], head=head_of(lines), first=6),
        verify(lines[5:]),
    ):
        assert verified.breaks == []
        assert verified.notes == ("it is looked at from line 6 of the chain on: older ones are not here",)


def test_lines_removed_at_the_beginning_of_a_file_that_says_where_it_begins_are_found():
    lines = chain()
    assert found(verify(lines[5:], head=head_of(lines), first=3)) == [(Kind.REMOVED, 1, 3)]
    assert verify(lines[5:], head=head_of(lines), first=3).breaks[0].last_seq == 5


def test_a_note_from_before_the_file_that_is_there_says_nothing_of_where_it_begins():
    lines = chain()
    assert verify(lines[5:], head=head_of(lines[:3])).breaks == []


def test_a_changed_first_line_is_the_only_thing_that_is_wrong_also_where_nothing_says_where_the_chain_begins():
    lines = chain()
    lines[0] = lines[0].replace(b'"n"', b'"m"')
    verified = verify(lines)
    assert (found(verified), verified.first_seq, verified.notes) == ([(Kind.CHANGED, 1, 1)], 1, ())


def test_a_line_older_than_the_first_one_was_moved_where_nothing_says_where_the_chain_begins():
    lines = chain()
    lines[0], lines[1] = lines[1], lines[0]
    assert found(verify(lines)) == [(Kind.REORDERED, 2, 1)]


def test_a_changed_line_accounts_for_itself_only_and_not_for_one_that_is_missing_beside_it():
    lines = chain()
    lines[2] = lines[2].replace(b'"n"', b'"m"')
    del lines[3]
    verified = verify(lines, head=head_of(lines))
    assert found(verified) == [(Kind.CHANGED, 3, 3), (Kind.REMOVED, 4, 4)]
    assert verified.breaks[1].last_seq == 4


def test_a_changed_line_still_accounts_for_itself_when_those_after_it_changed_places():
    lines = chain()
    lines[2] = lines[2].replace(b'"n"', b'"m"')
    lines[3], lines[4] = lines[4], lines[3]
    assert found(verify(lines, head=head_of(lines))) == [(Kind.CHANGED, 3, 3), (Kind.REORDERED, 4, 5)]


def test_of_lines_that_are_missing_one_may_stand_elsewhere():
    lines = chain()
    moved = lines[4]
    del lines[2:6]
    lines.insert(4, moved)
    verified = verify(lines, head=head_of(lines))
    assert [(one.kind, one.seq, one.last_seq) for one in verified.breaks] == [
        (Kind.REMOVED, 3, 4),
        (Kind.REMOVED, 6, 6),
        (Kind.REORDERED, 5, None),
    ]


def test_a_line_far_from_its_double_is_taken_for_the_same():
    lines = chain(1_100)
    lines.append(resealed(lines[0], b'"n"', b'"m"', SEALS[0]))
    assert found(verify(lines)) == [(Kind.DUPLICATED, 1_101, 1)]


def test_when_nothing_is_left_the_note_says_what_is_missing():
    (removed,) = verify([], head=head_of(chain())).breaks
    assert (removed.seq, removed.last_seq) == (1, LENGTH)
    assert verify([], head=Head(13, 0.0, 12, None)).breaks == []


def test_a_chain_with_a_key_is_not_looked_at_without():
    with pytest.raises(KeyNeededError):
        verify(chain(seals=Seals(KEY)))


@pytest.mark.parametrize("lines", [chain(), chain(seals=Seals(b"another key"))], ids=["no key", "another key"])
def test_no_line_of_another_key_fits(lines):
    verified = verify(lines, Seals(KEY))
    assert not verified.fits_key
    assert [one.kind for one in verified.breaks] == [Kind.CHANGED] * LENGTH


def test_who_has_no_key_can_not_make_a_hash_that_fits():
    seals = Seals(KEY)
    lines = chain(seals=seals)
    lines[3] = resealed(lines[3], b'"n"', b'"m"', Seals())
    assert found(verify(lines, seals, head_of(lines))) == [(Kind.CHANGED, 4, 4)]


def test_a_hopeless_chain_is_given_up():
    verified = verify([b"{}\n"] * MOST_BREAKS)
    assert verified.notes == ("so much is wrong that the rest was not looked at",)


def test_several_things_done_to_one_chain_are_all_named():
    lines = chain(40)
    head = head_of(lines)
    lines[4] = lines[4].replace(b'"n"', b'"m"')
    del lines[10:13]
    lines[20], lines[21] = lines[21], lines[20]
    lines.insert(30, lines[5])
    assert found(verify(lines, head=head)) == [
        (Kind.CHANGED, 5, 5),
        (Kind.REMOVED, 11, 11),
        (Kind.REORDERED, 21, 25),
        (Kind.DUPLICATED, 31, 6),
    ]
