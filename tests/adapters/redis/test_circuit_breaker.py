import pytest

from modelfence.adapters.redis.circuit_breaker import FAILURES, OPEN_S, Circuit, CircuitBreaker, worst

CLOSED, HALF_OPEN, OPEN = Circuit


def opened(at_s: float = 0) -> CircuitBreaker:
    breaker = CircuitBreaker()
    for _ in range(FAILURES):
        breaker.failed(breaker.enter(at_s), at_s)
    return breaker


@pytest.mark.parametrize(
    ("outcomes", "state"),
    [
        ("", CLOSED),
        ("ffff", CLOSED),
        ("fffff", OPEN),
        ("ffffsffff", CLOSED),
        ("ffffsfffff", OPEN),
        ("fflflflf", OPEN),
        ("ffffllllll", CLOSED),
        ("llllllllll", CLOSED),
    ],
)
def test_failures_in_a_row_open_the_circuit(outcomes, state):
    breaker = CircuitBreaker()
    for outcome in outcomes:
        passed = breaker.enter(0)
        match outcome:
            case "f":
                breaker.failed(passed, 0)
            case "s":
                breaker.succeeded(passed)
            case "l":
                breaker.left(passed)
    assert breaker.state is state


@pytest.mark.parametrize(("at_s", "enters"), [(7, False), (7 + OPEN_S / 2, False), (7 + OPEN_S, True), (99, True)])
def test_an_open_circuit_lets_nobody_through_for_a_while(at_s, enters):
    assert (opened(7).enter(at_s) is not None) is enters


def test_one_call_is_the_probe():
    breaker = opened()
    assert breaker.enter(1) is not None
    assert breaker.state is HALF_OPEN
    assert breaker.enter(1) is None
    assert breaker.enter(99) is None


def test_a_probe_that_succeeds_closes_the_circuit():
    breaker = opened()
    breaker.succeeded(breaker.enter(1))
    assert breaker.state is CLOSED
    for _ in range(FAILURES - 1):
        breaker.failed(breaker.enter(1), 1)
    assert breaker.state is CLOSED


def test_a_probe_that_fails_opens_the_circuit_again_for_as_long():
    breaker = opened()
    breaker.failed(breaker.enter(1), 1.2)
    assert breaker.state is OPEN
    assert breaker.enter(1.2 + OPEN_S / 2) is None
    assert breaker.enter(1.2 + OPEN_S) is not None


def test_after_a_probe_whose_caller_hung_up_the_next_call_is_the_probe():
    breaker = opened()
    breaker.left(breaker.enter(1))
    assert breaker.state is OPEN
    assert breaker.enter(1) is not None
    assert breaker.state is HALF_OPEN


def test_a_late_answer_makes_the_next_call_the_probe():
    breaker = opened(7)
    breaker.heard()
    assert breaker.state is OPEN
    probe = breaker.enter(7)
    assert breaker.state is HALF_OPEN
    breaker.heard()
    assert breaker.enter(7) is None  # there is one probe at a time
    breaker.failed(probe, 8)
    assert breaker.enter(8) is None


def test_a_late_answer_changes_nothing_while_the_circuit_is_closed():
    breaker = CircuitBreaker()
    breaker.heard()
    for _ in range(FAILURES):
        breaker.failed(breaker.enter(0.1), 0.1)
    assert breaker.enter(0.2) is None


@pytest.mark.parametrize("outcome", ["failed", "succeeded", "left"])
@pytest.mark.parametrize("state", [OPEN, HALF_OPEN, CLOSED])
def test_calls_from_before_a_change_change_nothing(state, outcome):
    breaker = CircuitBreaker()
    early = [breaker.enter(0) for _ in range(2 * FAILURES)]
    for passed in early[:FAILURES]:
        breaker.failed(passed, 0)
    if state is not OPEN:
        probe = breaker.enter(1)
        if state is CLOSED:
            breaker.succeeded(probe)
    for passed in early[FAILURES:]:
        breaker.failed(passed, 1) if outcome == "failed" else getattr(breaker, outcome)(passed)
    assert breaker.state is state
    assert (breaker.enter(0.1) is not None) is (state is CLOSED)


@pytest.mark.parametrize(
    ("states", "expected"),
    [([], CLOSED), ([CLOSED, CLOSED], CLOSED), ([HALF_OPEN, CLOSED], HALF_OPEN), ([CLOSED, OPEN, HALF_OPEN], OPEN)],
)
def test_the_worst_of_several_counts(states, expected):
    assert worst(states) is expected
