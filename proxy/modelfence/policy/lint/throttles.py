"""Throttles whose bucket holds less than one call takes."""

from modelfence.core.charge import Unit
from modelfence.core.policy import ThrottleRule
from modelfence.policy.lint.bounds import Bounds, bounds_of
from modelfence.policy.lint.subjects import Notes, Subject, Subjects

STEP_TOKENS = 256
"""What a stream reserves first, by default (`limits.step_tokens`)."""
_ANSWERS = (Unit.OUTPUT_TOKENS, Unit.TOTAL_TOKENS)


def warn_of_small_bursts(subjects: Subjects, notes: Notes) -> None:
    """Warn of each throttle that one call empties."""
    capped = any("output_tokens" in reshape.reshaping.cap for reshape in subjects.policy.reshapes)
    for subject in subjects.rules:
        throttle = subject.entry
        if not isinstance(throttle, ThrottleRule):
            continue
        cost = Bounds(1, 1) if throttle.cost is None else bounds_of(throttle.cost.source)
        if throttle.unit is Unit.REQUESTS:
            _compare(subject, throttle, cost, notes)
        elif throttle.unit in _ANSWERS and not capped and throttle.rate.burst < STEP_TOKENS * cost.least:
            holds = f"the bucket holds {throttle.rate.burst:g}"
            _warn(
                subject,
                f"{holds}, and the first {STEP_TOKENS} tokens of a stream cost {STEP_TOKENS * cost.least:g}",
                notes,
            )


def _compare(subject: Subject, throttle: ThrottleRule, cost: Bounds, notes: Notes) -> None:
    burst = throttle.rate.burst
    if cost.least > burst:
        words = f"every call costs {cost.least:g} or more" if cost.most > cost.least else f"a call costs {cost.least:g}"
        _warn(subject, f"the bucket holds {burst:g}, and {words}: each takes all of it", notes)
    elif burst < cost.most < float("inf"):
        _warn(subject, f"the bucket holds {burst:g}, and a call can cost up to {cost.most:g}", notes)


def _warn(subject: Subject, words: str, notes: Notes) -> None:
    keys = subject.written.keys
    notes.at(keys.get("burst", keys["rate"]), "small-burst", words)
