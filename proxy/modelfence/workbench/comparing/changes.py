"""What changes for one call between two decisions about it, and on what grounds each was made."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from modelfence.core.charge import Charge
from modelfence.core.decision import Decision, Effect
from modelfence.core.policy import Reshaping
from modelfence.core.quick import quick
from modelfence.replay.outcomes import Decided
from modelfence.replay.summary import NO_ALLOW

NOTHING = "(nothing)"
_DIGITS = 6
"""Of a cost: below this it is rounding."""


class Change(StrEnum):
    """A way in which a call fares otherwise. The first three exclude one another and all others."""

    NEWLY_DENIED = "newly_denied"
    NEWLY_THROTTLED = "newly_throttled"
    NEWLY_ALLOWED = "newly_allowed"
    REFUSED_OTHERWISE = "refused_otherwise"
    """Refused by both, by other rules or in another way."""
    RESHAPED_OTHERWISE = "reshaped_otherwise"
    """Let in by both, and changed on its way in another way."""
    CHARGED_OTHERWISE = "charged_otherwise"
    """Let in by both, and charged to other buckets, or more or less for each request or token."""


NEWLY_REFUSED = (Change.NEWLY_DENIED, Change.NEWLY_THROTTLED)


@quick
@dataclass(frozen=True, slots=True)
class Grounds:
    """How one policy decided, and on account of what."""

    effect: Effect
    because: tuple[str, ...]
    """Rules; of a call that both let in what only this one changes in it, or the throttle it is charged to."""
    unknown: tuple[str, ...] = ()
    """Facts that were unknown and mattered, of a call that is refused."""


@quick
@dataclass(frozen=True, slots=True)
class Reason:
    """What changes from which grounds to which."""

    change: Change
    old: Grounds
    new: Grounds


@quick
@dataclass(frozen=True, slots=True)
class Pair:
    """A request judged by both policies."""

    old: Decided
    new: Decided
    reasons: tuple[Reason, ...]
    """None where both decide alike; several where it is reshaped and charged otherwise."""

    @property
    def changes(self) -> tuple[Change, ...]:
        """Return what changes, each once."""
        return tuple(dict.fromkeys(reason.change for reason in self.reasons))


def pair_of(old: Decided, new: Decided, renamed: Mapping[str, str]) -> Pair:
    """Return what both policies make of a request; `renamed` are new ids of rules by their old ones."""
    return Pair(old, new, tuple(_reasons(old.judged.decision, new.judged.decision, renamed)))


def _reasons(old: Decision, new: Decision, renamed: Mapping[str, str]) -> Iterator[Reason]:
    if old.admitted and new.admitted:
        yield from _reshaped(old, new)
        if old.charges != new.charges:
            yield from _charged(old, new, renamed)
    elif old.admitted:
        change = Change.NEWLY_THROTTLED if new.effect is Effect.THROTTLE else Change.NEWLY_DENIED
        yield Reason(change, _grounds(old), _grounds(new))
    elif new.admitted:
        yield Reason(Change.NEWLY_ALLOWED, _grounds(old), _grounds(new))
    elif old.effect is not new.effect or {renamed.get(rule, rule) for rule in old.rules} != set(new.rules):
        yield Reason(Change.REFUSED_OTHERWISE, _grounds(old), _grounds(new))


def _grounds(decision: Decision) -> Grounds:
    if decision.admitted:
        return Grounds(decision.effect, decision.rules or (NOTHING,))
    return Grounds(decision.effect, decision.rules or (NO_ALLOW,), tuple(sorted(decision.unknown)))


def _reshaped(old: Decision, new: Decision) -> Iterator[Reason]:
    if old.reshaping != new.reshaping:
        before, after = _words_of(old.reshaping), _words_of(new.reshaping)
        only_before = tuple(one for one in before if one not in after) or (NOTHING,)
        only_after = tuple(one for one in after if one not in before) or (NOTHING,)
        yield Reason(Change.RESHAPED_OTHERWISE, Grounds(old.effect, only_before), Grounds(new.effect, only_after))


def _words_of(reshaping: Reshaping) -> tuple[str, ...]:
    """Return what a reshaping does in words, each thing by itself."""
    return (
        *(f"removes {name}" for name in sorted(reshaping.remove)),
        *(f"caps {name} at {most:,}" for name, most in sorted(reshaping.cap.items())),
        *(f"hides {name}" for name in sorted(reshaping.hide)),
    )


def _charged(old: Decision, new: Decision, renamed: Mapping[str, str]) -> Iterator[Reason]:
    """Yield a reason for each throttle that charges a call otherwise.

    How many tokens are reserved is none: that depends on the answers before. Nor is the rate, which is the throttle's.
    """
    before = {renamed.get(one.throttle, one.throttle): one for one in old.charges if not one.shadow}
    after = {one.throttle: one for one in new.charges if not one.shadow}
    for name in sorted({*before, *after}):
        was, now = before.get(name), after.get(name)
        words = name if now is not None else NOTHING
        if was is not None and now is not None:
            difference = _difference(was, now)
            if not difference:
                continue
            words = f"{name}, {difference}"
        grounds = Grounds(old.effect, (was.throttle if was else NOTHING,)), Grounds(new.effect, (words,))
        yield Reason(Change.CHARGED_OTHERWISE, *grounds)


def _difference(was: Charge, now: Charge) -> str:
    if was.unit is not now.unit:
        return f"in {now.unit} instead of {was.unit}"
    if was.key != now.key:
        return "from another bucket"
    before, after = (None if one.weight is None else round(one.weight, _DIGITS) for one in (was, now))
    if before == after:
        return ""
    if before is None or after is None:
        return "at a cost that is unknown" if after is None else "at a cost that was unknown"
    return "at a higher cost" if after > before else "at a lower cost"
