"""Rows, reasons and steps of time: exact while there is room, and bounded when there is not."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfence.core.decision import Effect
from modelfence.workbench.comparing import reasons, timeline
from modelfence.workbench.comparing.changes import Change, Grounds, Reason
from modelfence.workbench.comparing.rows import Row, Rows
from modelfence.workbench.comparing.timeline import Timeline

DAY_US = 86_400_000_000
DENIED = (Change.NEWLY_DENIED,)


def refuse(rows, value, times=1):
    for _ in range(times):
        rows.add(value, DENIED, old_let_in=True, new_let_in=False)


def leave(rows, value, times=1):
    for _ in range(times):
        rows.add(value, (), old_let_in=True, new_let_in=True)


def test_rows_come_with_those_first_that_change_most():
    rows = Rows(10)
    leave(rows, "quiet", 9)
    refuse(rows, "some")
    refuse(rows, "most", 2)
    rows.add("allowed", (Change.NEWLY_ALLOWED,), old_let_in=False, new_let_in=True)
    assert [row.value for row in rows] == ["most", "some", "allowed", "quiet"]
    assert rows.others is None


def test_rows_for_which_nothing_changes_make_room_first():
    rows = Rows(2)
    refuse(rows, "a")
    leave(rows, "b", 5)
    refuse(rows, "c", 2)
    leave(rows, "d")
    refuse(rows, "e")
    assert [row.value for row in rows] == ["c", "a", "e"]
    assert rows.others == Row("", requests=6, old_let_in=6, new_let_in=6)


@given(st.lists(st.tuples(st.integers(0, 30), st.booleans())))
def test_the_sum_over_all_rows_is_exact_whatever_comes(requests):
    rows = Rows(3)
    for value, is_refused in requests:
        (refuse if is_refused else leave)(rows, str(value))
    found = [*rows, *([rows.others] if rows.others else [])]
    assert len(found) <= 7
    assert sum(row.requests for row in found) == len(requests)
    assert sum(row.newly_refused for row in found) == sum(is_refused for _, is_refused in requests)


def pair(n, account, found):
    call = SimpleNamespace(
        at_us=n, provider="openai", model="gpt-4o", reading=SimpleNamespace(operation="chat", model="")
    )
    judged = SimpleNamespace(
        account=account and SimpleNamespace(id=account),
        tier="basic",
        country="US",
        call=call,
        decision=SimpleNamespace(retry_after_us=None),
    )
    return SimpleNamespace(new=SimpleNamespace(n=n, judged=judged, line=SimpleNamespace(label="")), reasons=found)


def reason(rule):
    return Reason(Change.NEWLY_DENIED, Grounds(Effect.ALLOW, ("customers",)), Grounds(Effect.DENY, (rule,)))


def test_examples_are_of_as_many_accounts_as_there_are():
    found = reasons.Reasons()
    for n, account in enumerate(["a", "a", "a", "a", "b", None, "c", "d"]):
        found.add(pair(n, account, [reason("r")]))
    [count] = found
    assert (count.requests, count.accounts) == (8, {"a", "b", "c", "d"})
    assert [one.account for one in count.examples] == ["a", "c", "b"]


def test_reasons_and_their_accounts_are_bounded(monkeypatch):
    monkeypatch.setattr(reasons, "MOST_REASONS", 2)
    monkeypatch.setattr(reasons, "MOST_ACCOUNTS", 3)
    found = reasons.Reasons()
    for n in range(10):
        found.add(pair(n, f"account-{n}", [reason("often"), reason(f"rule-{n}")]))
    assert [(one.requests, len(one.accounts)) for one in found] == [(10, 3), (1, 1)]
    assert found.untold == 9


@pytest.mark.parametrize(
    ("days", "every_us", "step_us"),
    [
        (1 / 24, 60_000_000, 60_000_000),
        (1, 60_000_000, 600_000_000),
        (7, 600_000_000, 3_600_000_000),
        (60, 3_600_000_000, DAY_US),
        (700, DAY_US, 7 * DAY_US),
        (2_000, DAY_US, 7 * DAY_US),
    ],
)
def test_a_longer_recording_has_longer_steps(days, every_us, step_us):
    steps = Timeline()
    times = range(0, int(days * DAY_US), every_us)
    for at_us in times:
        steps.add(at_us, DENIED, old_let_in=True, new_let_in=False)
    found = list(steps)
    assert steps.step_us == step_us
    assert [at_us for at_us, _ in found] == list(range(0, int(days * DAY_US), step_us))
    assert len(found) <= timeline.MOST_STEPS or step_us == 7 * DAY_US
    assert sum(row.newly_refused for _, row in found) == len(times)


def test_steps_in_which_nothing_came_take_no_room():
    steps = Timeline()
    for at_us in (0, 2_000 * DAY_US):
        steps.add(at_us, (), old_let_in=True, new_let_in=True)
    assert [(at_us, row.requests) for at_us, row in steps] == [(0, 1), (2_000 * DAY_US, 1)]
    assert steps.step_us == 60_000_000
