"""How long a worker's successor is waited for."""

import pytest

from modelfence.workers.back_off import BackOff


@pytest.mark.parametrize(
    ("lives_s", "waits_s"),
    [
        ([5], [0]),
        ([5, 5, 5, 5], [0, 0.1, 0.2, 0.4]),
        ([0] * 10, [0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10]),
        ([5, 5, 59.9, 60, 5], [0, 0.1, 0.2, 0, 0.1]),
        ([3600, 3600], [0, 0]),
    ],
)
def test_the_first_is_replaced_at_once_and_the_next_ones_later_and_later(lives_s, waits_s):
    back_off = BackOff()
    assert [back_off.after(lived_s) for lived_s in lives_s] == pytest.approx(waits_s)


def test_it_never_waits_longer_than_the_longest():
    back_off = BackOff()
    assert max(back_off.after(0) for _ in range(5_000)) == 10
