"""What a decision does to a call beside letting it in or not: what its throttles take, and what is changed in it."""

from collections.abc import Iterator

from modelfence.core.decision import Effect
from modelfence.core.facts import Facts
from modelfence.enforcement.ports import Judged
from modelfence.workbench.explaining.desk import Desk
from modelfence.workbench.explaining.explanation import ThrottleExplained
from modelfence.workbench.explaining.values import shown

CHARGED, REFUSED, UNTOUCHED = "charged", "refused", "untouched"


def throttles_of(judged: Judged, desk: Desk) -> tuple[ThrottleExplained, ...]:
    """Return each throttle that wanted something of the call, with what came of it."""
    taken = judged.taken
    waits = {one.charge.throttle: one.wait_us for one in (*taken.refused, *taken.shadow_refused)}
    left = {one.charge.throttle: one.left for one in taken.balances}
    return tuple(
        ThrottleExplained(
            one.throttle,
            _state(judged, is_refused=one.throttle in waits),
            one.amount,
            str(one.unit),
            one.key,
            one.rate.burst,
            _rate(one.throttle, desk),
            left.get(one.throttle),
            waits.get(one.throttle),
            one.shadow,
        )
        for one in judged.decision.charges
    )


def changes_of(judged: Judged, facts: Facts) -> tuple[str, ...]:
    """Return in sentences what is changed in a call that is let in."""
    return tuple(_changes(judged, facts)) if judged.decision.admitted else ()


def _changes(judged: Judged, facts: Facts) -> Iterator[str]:
    reshaping = judged.decision.reshaping
    for name in sorted(reshaping.remove):
        value = facts.get(f"request.{name}")
        asks = "of which the call has none" if not value else f"which the call asks for ({shown(value)})"
        yield f"`{name}` is removed, {asks}"
    for name, most in sorted(reshaping.cap.items()):
        asked = judged.call.reading.output_tokens if name == "output_tokens" else facts.get(f"request.{name}")
        says = "sets no limit" if asked is None else f"asks for {shown(asked)}"
        stays = ", which stays" if isinstance(asked, int) and asked <= most else ""
        yield f"`{name}` is limited to {most:,}; the call {says}{stays}"
    for name in sorted(reshaping.hide):
        yield f"{name} is taken out of the answer"


def _state(judged: Judged, *, is_refused: bool) -> str:
    if is_refused:
        return REFUSED
    return UNTOUCHED if judged.decision.effect is Effect.THROTTLE else CHARGED


def _rate(rule: str, desk: Desk) -> str | None:
    written = desk.written.get(rule)
    return written.keys["rate"].text() if written and "rate" in written.keys else None
