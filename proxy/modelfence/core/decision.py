"""From policy and facts to a decision, in one visible place.

A deny always wins; otherwise one allow is needed; otherwise the call is refused. The order of the rules never
matters. Doubt counts against the caller: an unknown deny applies, an unknown allow does not, an unknown `when` of a
reshape or a throttle applies.

Why `would`: a rule in shadow is decided and counted but acts on nothing. The decision is made twice from the same
matches, once with the enforced rules alone (`effect`) and once with all of them (`would`); they differ only when a
shadow rule makes the difference, and `shadow_rules` names the ones that do. A policy in shadow lets every call
through, and all of its rules count as shadow.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from modelfence.core.charge import Charge, Demand, Refused, Taken
from modelfence.core.facts import WITHOUT_ACCOUNT, Facts
from modelfence.core.policy import (
    UNKNOWN_KEY,
    AccessRule,
    Mode,
    Policy,
    Reshaping,
    Rule,
    RuleKind,
    ThrottleRule,
    Unknown,
)
from modelfence.core.quick import quick

_NO_RESHAPING = Reshaping()


class Effect(StrEnum):
    ALLOW = "allow"
    DENY = "deny"
    THROTTLE = "throttle"
    REJECT = "reject"
    """Malformed or over a limit: refused before it was judged."""
    ERROR = "error"
    """The fence itself, or its store, failed."""


@quick
@dataclass(frozen=True, slots=True)
class Step:
    """One rule that applied, or would have with more known: one line of the trace."""

    rule: Rule
    applied: bool
    unknown: Unknown | None = None


@quick
@dataclass(frozen=True, slots=True)
class Decision:
    """What the fence does with a call, and why."""

    effect: Effect
    policy_hash: str = ""
    rules: tuple[str, ...] = ()
    """The rules that caused the effect: the denies, the throttles that refused, or the allows that let it in."""
    unknown: tuple[str, ...] = ()
    """The facts that were unknown and mattered."""
    would: Effect | None = None
    shadow_rules: tuple[str, ...] = ()
    reshaping: Reshaping = _NO_RESHAPING
    charges: tuple[Charge, ...] = ()
    retry_after_us: int | None = None
    message: str | None = None
    help_url: str | None = None
    trace: tuple[Step, ...] = ()

    @property
    def admitted(self) -> bool:
        """Say whether the call goes on to the upstream."""
        return self.effect is Effect.ALLOW

    @property
    def retry_after(self) -> float | None:
        """Return the seconds to wait, or None when waiting is not the answer."""
        return None if self.retry_after_us is None else self.retry_after_us / 1_000_000


def decide(policy: Policy, facts: Facts, demand: Demand) -> Decision:
    """Return the decision before any bucket was asked: allow with the charges to take, or deny.

    `demand` is what the call is expected to use; token throttles reserve it.
    """
    bound = policy.bind(facts)
    trace = (*_denies(policy, bound), *_allows(policy, bound))
    would, would_because = _access(trace)
    if policy.mode is Mode.ENFORCE:
        effect, because = _access([step for step in trace if not step.rule.shadow])
    else:
        effect, because = Effect.ALLOW, [step for step in trace if step.applied and step.rule.kind is RuleKind.ALLOW]
    wanting = (effect is Effect.DENY and not because) or (would is Effect.DENY and not would_because)
    unknown = _unknown_facts(trace, refused_for_want_of_an_allow=wanting)
    then = _Consequences() if effect is Effect.DENY else _consequences(policy, bound=bound, demand=demand)
    decision = Decision(
        effect=effect,
        policy_hash=policy.hash,
        rules=tuple(step.rule.id for step in because),
        unknown=tuple(dict.fromkeys((*unknown, *_unknown_facts(then.steps)))),
        would=None if would is effect else would,
        # Only rules in shadow can make the difference, so all of these are.
        shadow_rules=() if would is effect else tuple(step.rule.id for step in would_because),
        reshaping=then.reshaping,
        charges=tuple(then.charges),
        trace=(*trace, *then.steps),
    )
    return _with_message(decision, [step.rule for step in because]) if effect is Effect.DENY else decision


def charged(decision: Decision, taken: Taken, policy: Policy) -> Decision:
    """Return the decision after the store was asked for its charges."""
    if not taken.allowed:
        rules = _rules_of(policy, taken.refused)
        longest = taken.longest
        throttled = replace(
            decision,
            effect=Effect.THROTTLE,
            rules=tuple(rule.id for rule in rules),
            retry_after_us=longest.wait_us if longest else None,
        )
        return _with_message(throttled, rules)
    if taken.shadow_refused and decision.would is None:
        rules = _rules_of(policy, taken.shadow_refused)
        return replace(decision, would=Effect.THROTTLE, shadow_rules=tuple(rule.id for rule in rules))
    return decision


def nobody_unknown_is_let_in(policy: Policy) -> bool:
    """Say whether the policy plainly refuses every caller without an account, whatever else is true of the call.

    Everything but the account is left unknown: what is plain all the same is plain for all such calls. What only facts
    of an account keep from being plain stays unknown for them for good: an unknown deny applies, an unknown allow does
    not.
    """
    if policy.mode is Mode.SHADOW:
        return False
    bound = policy.bind({**WITHOUT_ACCOUNT, "kyc.tier": 0})

    def is_refused(access: AccessRule, *, when: bool) -> bool:
        value = access.condition.evaluate(bound)
        if isinstance(value, Unknown):
            return all(fact.startswith(("account.", "kyc.")) for fact in value.facts)
        return value is when

    denies = (access for group in policy.denies for access in group.rules if not access.rule.shadow)
    allows = (access for access in policy.allows if not access.rule.shadow)
    return any(is_refused(access, when=True) for access in denies) or all(
        is_refused(access, when=False) for access in allows
    )


def plainly_refuses(policy: Policy, status: str) -> bool:
    """Say whether the policy refuses every account of that status, whatever else is true of the call."""
    if policy.mode is Mode.SHADOW:
        return False
    bound = policy.bind({"kyc.status": status})
    denies = (access for group in policy.denies for access in group.rules if not access.rule.shadow)
    allows = (access for access in policy.allows if not access.rule.shadow)
    return any(deny.condition.evaluate(bound) is True for deny in denies) or all(
        allow.condition.evaluate(bound) is False for allow in allows
    )


def _denies(policy: Policy, bound: object) -> list[Step]:
    steps = []
    for group in policy.denies:
        if group.any.evaluate(bound) is False:
            continue
        for access in group.rules:
            value = access.condition.evaluate(bound)
            if value is not False:
                steps.append(Step(access.rule, applied=True, unknown=_if_unknown(value)))
    return steps


def _allows(policy: Policy, bound: object) -> list[Step]:
    steps = []
    for access in policy.allows:
        value = access.condition.evaluate(bound)
        if value is not False:
            steps.append(Step(access.rule, applied=value is True, unknown=_if_unknown(value)))
    return steps


def _access(trace: Sequence[Step]) -> tuple[Effect, list[Step]]:
    """Return what these rules say, and which of them say it."""
    if denies := [step for step in trace if step.rule.kind is RuleKind.DENY]:
        return Effect.DENY, denies
    allows = [step for step in trace if step.applied]
    return (Effect.ALLOW if allows else Effect.DENY), allows


@dataclass(slots=True)
class _Consequences:
    """What becomes of a call that may go on."""

    reshaping: Reshaping = field(default_factory=Reshaping)
    charges: list[Charge] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)


def _consequences(policy: Policy, *, bound: object, demand: Demand) -> _Consequences:
    """Return the reshaping and the charges of a call that may go on."""
    then = _Consequences()
    for reshape in policy.reshapes:
        value = True if reshape.when is None else reshape.when.evaluate(bound)
        if value is False:
            continue
        then.steps.append(Step(reshape.rule, applied=True, unknown=_if_unknown(value)))
        if not reshape.rule.shadow:
            then.reshaping |= reshape.reshaping
    if (most := then.reshaping.cap.get("output_tokens")) is not None:
        demand = Demand(demand.input_tokens, min(most, demand.output_tokens))
    for throttle in policy.throttles:
        charge, unknown = _charge(throttle, bound, demand)
        if charge is not None:
            then.charges.append(charge)
            then.steps.append(Step(throttle.rule, applied=True, unknown=unknown))
    return then


def _charge(throttle: ThrottleRule, bound: object, demand: Demand) -> tuple[Charge | None, Unknown | None]:
    """Return what a throttle takes from which bucket, or None where it does not apply; and what it did not know.

    A cost that is unknown or no finite number takes the whole burst, and no weight: were the burst spread over what is
    expected, an answer longer than the step a stream reserves would owe many bursts.
    """
    when = True if throttle.when is None else throttle.when.evaluate(bound)
    key = "" if when is False else throttle.key.evaluate(bound)
    if key == "":
        return None, None
    weight = 1.0 if throttle.cost is None else throttle.cost.evaluate(bound)
    doubts = [value for value in (when, key, weight) if isinstance(value, Unknown)]
    amount = burst = throttle.rate.burst
    known_weight = None
    if not isinstance(weight, Unknown) and math.isfinite(weight):
        known_weight = min(max(0.0, weight), burst)
        amount = min(known_weight * demand.amount(throttle.unit), burst)
    charge = Charge(
        throttle=throttle.rule.id,
        key=UNKNOWN_KEY if isinstance(key, Unknown) else key,
        rate=throttle.rate,
        amount=amount,
        unit=throttle.unit,
        weight=known_weight,
        shadow=throttle.rule.shadow,
        on_store_failure=throttle.on_store_failure,
    )
    if not doubts:
        return charge, None
    facts = dict.fromkeys(fact for doubt in doubts for fact in doubt.facts)
    return charge, Unknown(tuple(facts), "; ".join(dict.fromkeys(doubt.reason for doubt in doubts)))


def _unknown_facts(trace: Sequence[Step], *, refused_for_want_of_an_allow: bool = False) -> tuple[str, ...]:
    facts: dict[str, None] = {}
    for step in trace:
        if step.unknown is not None and (step.applied or refused_for_want_of_an_allow):
            facts.update(dict.fromkeys(step.unknown.facts))
    return tuple(facts)


def _if_unknown(value: object) -> Unknown | None:
    return value if isinstance(value, Unknown) else None


def _rules_of(policy: Policy, refused: Sequence[Refused]) -> list[Rule]:
    ids = {one.charge.throttle for one in refused}
    return [throttle.rule for throttle in policy.throttles if throttle.rule.id in ids]


def _with_message(decision: Decision, rules: Sequence[Rule]) -> Decision:
    """Tell the caller what the first of these rules has to say."""
    speaking = next((rule for rule in rules if rule.message), None)
    if speaking is None:
        return decision
    return replace(decision, message=speaking.message, help_url=speaking.help_url)
