"""Throttles whose bucket holds less than one call takes."""

from modelfence.core.charge import Unit
from modelfence.core.policy import ThrottleRule
from modelfence.policy.lint.bounds import Bounds, bounds_of
from modelfence.policy.lint.subjects import Notes, Subject, Subjects

STEP_TOKENS = 256
"""What a stream reserves first, by default (`limits.step_tokens`)."""


def warn_of_small_bursts(subjects: Subjects, notes: Notes) -> None:
    """Warn of each throttle that one call empties."""
    capped = any("output_tokens" in reshape.reshaping.cap for reshape in subjects.policy.reshapes)
    for subject in subjects.rules:
        throttle = subject.entry
        if not isinstance(throttle, ThrottleRule):
            continue
        cost = Bounds(1, 1) if throttle.cost is None else bounds_of(throttle.cost.source)
        if throttle.unit is Unit.REQUESTS:
            _compare(subject, throttle, "a call costs", cost, notes)
        elif throttle.unit is Unit.INPUT_TOKENS:
            _compare(subject, throttle, "a token costs", cost, notes)
        elif not capped:
            step = cost * Bounds(STEP_TOKENS, STEP_TOKENS)
            _compare(subject, throttle, f"the first {STEP_TOKENS} tokens of a stream cost", step, notes)


def _compare(subject: Subject, throttle: ThrottleRule, what_costs: str, cost: Bounds, notes: Notes) -> None:
    burst = throttle.rate.burst
    if cost.least > burst:
        amount = f"{cost.least:,.9g}{' or more' if cost.most > cost.least else ''}"
    elif burst < cost.most < float("inf"):
        amount = f"up to {cost.most:,.9g}"
    else:
        return
    keys = subject.written.keys
    words = f"the bucket holds {burst:,.9g}, and {what_costs} {amount}"
    notes.at(keys.get("burst", keys["rate"]), "small-burst", words)
