"""In which order lines come out, and how long they are held back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfence.adapters.recording.order import ArrivalOrder
from modelfence.wire.fail_closed import HOOK_DEADLINE_S


@pytest.fixture
def order():
    return ArrivalOrder(grace_s=5, held_s=300, held_bytes=10_000)


def test_lines_wait_for_earlier_calls_that_are_still_being_judged(order):
    order.hold(2, b"second", now_s=0)
    order.hold(1, b"first", now_s=1)
    assert list(order.due(4.9)) == []
    assert order.next_due_s() == 6
    assert list(order.due(6)) == [b"first", b"second"]
    assert order.next_due_s() is None


def test_lines_of_the_same_time_stay_in_the_order_given(order):
    lines = [b"%d" % n for n in range(9)]
    for line in lines:
        order.hold(7, line, now_s=0)
    assert list(order.rest()) == lines


def test_no_judgement_takes_longer_than_lines_wait():
    order = ArrivalOrder()
    order.hold(1, b"line", now_s=0)
    assert order.next_due_s() >= HOOK_DEADLINE_S


def test_lines_wait_for_earlier_calls_that_have_not_ended(order):
    order.hold(1, b"stream", now_s=0, until="c1")
    order.hold(2, b"refused", now_s=0)
    order.hold(3, b"plain", now_s=0, until="c3")
    order.end("c3", b" ended")
    assert list(order.due(10)) == []
    order.end("c1", b" ended")
    assert list(order.due(10)) == [b"stream ended", b"refused", b"plain ended"]


def test_a_call_that_does_not_end_holds_up_others_for_a_time_only(order):
    order.hold(1, b"stream", now_s=0, until="c1")
    order.hold(2, b"plain", now_s=100)
    assert list(order.due(299)) == []
    assert list(order.due(300)) == [b"stream", b"plain"]
    order.end("c1", b" too late")
    assert list(order.rest()) == []


def test_no_more_is_held_than_there_is_room_for_and_the_earliest_goes_first(order):
    for n in range(1, 6):
        order.hold(n, b"%d" % n * 4_000, now_s=0, until=f"c{n}")
    assert [line[:1] for line in order.due(0)] == [b"1", b"2", b"3"]
    order.end("c1", b"." * 20_000)
    order.end("c4", b".")
    assert list(order.due(0)) == []


def test_what_the_end_of_a_call_adds_takes_room_too(order):
    order.hold(1, b"first", now_s=0, until="c1")
    order.end("c1", b"." * 10_000)
    assert len(list(order.due(0))) == 1


def test_it_is_known_when_the_call_arrived_whose_line_went_out_last(order):
    assert order.last_us == 0
    order.hold(7, b"line", now_s=0)
    assert order.last_us == 0
    list(order.rest())
    assert order.last_us == 7


calls = st.lists(
    st.tuples(
        st.integers(0, 4),  # seconds until it is judged
        st.one_of(st.none(), st.integers(0, 400)),  # and from there until it has ended; refused when None
        st.integers(0, 60),  # between its arrival and the next one's
    ),
    max_size=30,
)


@given(calls)
def test_whatever_ends_when_every_line_comes_out_once_and_in_order(calls):
    happenings, arrived_s = [], 0
    for n, (judging_s, lasts_s, until_next_s) in enumerate(calls):
        judged_s = arrived_s + judging_s
        happenings.append((judged_s, 0, n, arrived_s, lasts_s is None))
        if lasts_s is not None:
            happenings.append((judged_s + lasts_s, 1, n, arrived_s, False))
        arrived_s += until_next_s
    order = ArrivalOrder(grace_s=5, held_s=300)
    out = list[bytes]()
    for now_s, is_end, n, arrived_s, is_refused in sorted(happenings):
        if is_end:
            order.end(str(n), b"!")
        else:
            assert arrived_s >= order.last_us
            order.hold(arrived_s, b"%d" % n, now_s=now_s, until=None if is_refused else str(n))
        out += order.due(now_s)
    out += order.rest()
    numbers = [int(line.rstrip(b"!")) for line in out]
    arrivals = [sum(until_next for *_, until_next in calls[:n]) for n in numbers]
    assert sorted(numbers) == list(range(len(calls)))
    assert arrivals == sorted(arrivals)
    in_time = {n for n, (_, lasts_s, _) in enumerate(calls) if lasts_s is not None and lasts_s < 300}
    assert in_time <= {n for n, line in zip(numbers, out, strict=True) if line.endswith(b"!")}
