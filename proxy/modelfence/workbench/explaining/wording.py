"""What came of a call, in a sentence: the first thing that anybody wants to know."""

from collections.abc import Sequence

from modelfence.core.account import Check
from modelfence.core.decision import Decision, Effect
from modelfence.core.policy import Mode, RuleKind
from modelfence.enforcement.ports import Judged
from modelfence.workbench.explaining.explanation import Role, RuleRole
from modelfence.workbench.explaining.values import cut

_WAIT_DIGITS = 3
_DID = {Effect.DENY: "refused", Effect.THROTTLE: "throttled", Effect.ALLOW: "let in"}


def answer_of(judged: Judged, rules: Sequence[RuleRole], status: int | None, mode: Mode) -> str:
    """Return what came of a call and why. `status` is what the caller is answered with, None when it is let in."""
    decision = judged.decision
    words = _answer(judged, rules, status, mode)
    if decision.would is None or mode is Mode.SHADOW:
        return f"{words}."
    shadow = named(decision.shadow_rules) or "no allow that would apply"
    return f"{words}; but for rules in shadow it would be {_DID[decision.would]} ({shadow})."


def rejected(status: int, message: str) -> str:
    """Return what came of a request that was refused before it was judged."""
    return f"Refused ({status}) before it was judged: {cut(message, 300)}"


def _answer(judged: Judged, rules: Sequence[RuleRole], status: int | None, mode: Mode) -> str:  # noqa: PLR0911 - one a kind
    decision = judged.decision
    match decision.effect:
        case Effect.ALLOW if mode is Mode.SHADOW:
            return _in_shadow(decision)
        case Effect.ALLOW:
            return f"Let in: {_apply('allow', decision.rules)}"
        case Effect.THROTTLE:
            wait = f", for another {seconds(decision.retry_after_us)}" if decision.retry_after_us else ""
            plural = "s" if len(decision.rules) > 1 else ""
            return f"Refused ({status}): the throttle{plural} {named(decision.rules)} ran dry{wait}"
        case Effect.DENY if judged.found.check is Check.MISMATCHED:
            return f"Refused ({status}): the API key and the client certificate are not of the same account"
        case Effect.DENY if decision.rules:
            return f"Refused ({status}): {_apply('deny', decision.rules)}{_doubt(decision, rules)}"
        case Effect.DENY:
            return f"Refused ({status}): {_no_allow(rules)}"
        case _:
            return f"Refused ({status}): the fence could not decide"


def _in_shadow(decision: Decision) -> str:
    if decision.would is None:
        return f"Let in, and it would be if the policy were not in shadow: {_apply('allow', decision.rules)}"
    why = f": {_apply('deny' if decision.would is Effect.DENY else 'throttle', decision.shadow_rules)}"
    if not decision.shadow_rules:
        why = ": no allow applies"
    return f"Let in, because the policy is in shadow; enforced it would be {_DID[decision.would]}{why}"


def _apply(kind: str, rules: Sequence[str]) -> str:
    if len(rules) == 1:
        return f"the {kind} {named(rules)} applies"
    return f"the {'denies' if kind == 'deny' else f'{kind}s'} {named(rules)} apply"


def _doubt(decision: Decision, rules: Sequence[RuleRole]) -> str:
    """Return what was unknown, where only doubt made the denies apply."""
    decided = [one.explained for one in rules if one.role is Role.DECIDED]
    if not decided or any(one.unknown is None for one in decided):
        return ""
    unknown = dict.fromkeys(fact for one in decided if one.unknown for fact in one.unknown.facts)
    return f", because {named(list(unknown))} {'is' if len(unknown) == 1 else 'are'} unknown" if decision else ""


def _no_allow(rules: Sequence[RuleRole]) -> str:
    lacking = [one for one in rules if one.role is Role.LACKED]
    if len(lacking) != 1 or lacking[0].explained.rule.kind is not RuleKind.ALLOW:
        return "no allow applies"
    missing = " and ".join(f"`{cut(part, 80)}`" for part in lacking[0].missing)
    return f"no allow applies; `{lacking[0].explained.rule.id}` lacks {missing}"


def seconds(time_us: int) -> str:
    """Return a time in seconds, to the millisecond."""
    return f"{round(time_us / 1_000_000, _WAIT_DIGITS):g} s"


def named(names: Sequence[str]) -> str:
    """Return names in backticks, with an `and` before the last."""
    quoted = [f"`{name}`" for name in names]
    return " and ".join([", ".join(quoted[:-1]), quoted[-1]] if len(quoted) > 1 else quoted)
