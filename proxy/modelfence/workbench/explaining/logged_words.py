"""What an audit log says of a decision, in words, and how it compares with today."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from modelfence.core.account import Account
from modelfence.core.decision import Effect
from modelfence.core.policy import Mode, Policy, RuleKind
from modelfence.workbench.explaining.audit_lines import LoggedLine
from modelfence.workbench.explaining.desk import Desk
from modelfence.workbench.explaining.explanation import RuleRole, ThrottleExplained
from modelfence.workbench.explaining.roles import is_untold
from modelfence.workbench.explaining.values import cut, shown
from modelfence.workbench.explaining.wording import named, seconds

_SHOWN = 100
_NO_ACCOUNTS = "no accounts were given, so what the record of `{account}` says besides is not told: give --accounts"


def answer_of_line(line: LoggedLine, rules: Sequence[RuleRole], policy: Policy) -> str:
    """Return what came of a call then, and what today's policy makes of what the line says."""
    would = line.text("would")
    shadow = "" if would is None else f"; but for rules in shadow: {would} ({named(line.texts('shadow_rules'))})"
    return f"{_then(line)}{shadow}. {_today(line, rules, policy)}"


def about_line(line: LoggedLine, today: Account | None, desk: Desk) -> tuple[tuple[str, str], ...]:
    """Return the call and what it was judged by, in words."""
    at_s, account, key = line.number_of("ts"), line.text("account"), line.text("key")
    who = "none" if account is None else f"{account}, {line.text('kyc_status')}"
    model = f" of {shown(line.model)}" if line.model else ""
    hashed = line.text("address_hash")
    address = line.text("address") or (f"hashed as {hashed}" if hashed else "not in the log")
    country = line.text("country")
    found = [
        ("decision", line.text("id") or "?"),
        ("log", line.place),
        ("time", "not in the log" if at_s is None else shown(datetime.fromtimestamp(at_s, UTC))),
        ("request", f"{line.text('operation')}{model}, to {line.text('provider')}"),
        ("address", f"{address}, in {country}" if country else f"{address}, in no country that was known"),
        ("account", f"{who}, tier {line.text('tier')}{_versions(line, today)}"),
        ("API key", f"{line.text('credential')}{f', {key}…' if key else ''}"),
        ("policy", _policies(line, desk)),
        ("databases", _databases(line)),
        ("used", _usage(line)),
    ]
    return tuple((name, cut(words, _SHOWN * 2)) for name, words in found if words)


def throttles_of_line(line: LoggedLine) -> tuple[ThrottleExplained, ...]:
    """Return what was taken from buckets, as far as a line says."""
    found = []
    for one in line.each("charges"):
        reserved, charged = one.number_of("reserved"), one.number_of("charged")
        state = "charged" if charged is not None else "reserved"
        amount = reserved if charged is None else charged
        is_shadow = one.values.get("shadow") is True
        found.append(
            ThrottleExplained(
                one.text("throttle") or "?", state, amount or 0.0, one.text("unit") or "", shadow=is_shadow
            )
        )
    return tuple(found)


def notes_of_line(line: LoggedLine, today: Account | None, desk: Desk) -> tuple[str, ...]:
    """Return how today differs from then, and what a log can't tell."""
    return tuple(_notes(line, today, desk))


def _notes(line: LoggedLine, today: Account | None, desk: Desk) -> Iterator[str]:
    policy, account, tier = desk.parts.policy, line.text("account"), line.text("tier")
    if line.inner("candidate").values:
        yield _beside(line.inner("candidate"))
    if line.text("policy") != policy.hash:
        yield (
            f"the policy is another today: its hash was {line.text('policy')} and is {policy.hash}; "
            "the rules above are today's, asked about what the line says"
        )
    known = {rule.id for rule in policy.rules()}
    for rule in (*line.texts("rules"), *line.texts("shadow_rules")):
        if rule not in known:
            yield f"`{cut(rule, _SHOWN)}`, which decided then, is no rule of today's policy"
    if tier is not None and tier not in policy.tiers:
        yield f"today's policy has no tier `{cut(tier, _SHOWN)}`, which the account had then"
    if account is not None:
        yield from _on_record(cut(account, _SHOWN), line, today, desk)
    if not line.has_whole_model:
        yield "the model's name is cut in the log, so that rules which read it can't be told"
    if line.text("address_hash") is not None:
        yield "the log holds the caller's address as a digest only"
    if line.values.get("settled") is False:
        yield "the end of the call was not seen, nor what it used"
    yield "the log was not verified on the way; `modelfence audit verify` does that"


def _beside(candidate: LoggedLine) -> str:
    """Say which of two policies decided then, and what the other one would have done."""
    acted = candidate.values.get("acted") is True
    decided, other = ("the candidate", "the live policy") if acted else ("the live policy", "the candidate")
    watched = candidate.inner("live") if acted else candidate
    rules = [cut(rule, _SHOWN) for rule in watched.texts("rules")]
    why = f" ({named(rules)})" if rules else ""
    return (
        f"{decided} decided, and {other} watched: its answer was {watched.text('effect')}{why}, "
        f"by the policy of hash {watched.text('policy')}"
    )


def _on_record(account: str, line: LoggedLine, today: Account | None, desk: Desk) -> Iterator[str]:
    then = line.text("account_version")
    if today is None:
        none_given = desk.settings.accounts is None
        yield _NO_ACCOUNTS.format(account=account) if none_given else f"there is no account `{account}` today"
    elif today.version != then:
        yield (
            f"the record of `{account}` is another today: its version was {then} and is {today.version}, "
            "so what it says today is not used"
        )
    else:
        yield f"the record of `{account}` is the same today as then, so what it says is used"


def _then(line: LoggedLine) -> str:
    rules, wait_s = line.texts("rules"), line.number_of("retry_after")
    match line.text("effect"):
        case Effect.ALLOW:
            return f"Was let in: {_applied('allow', 'allows', rules)}" if rules else "Was let in"
        case Effect.DENY if rules:
            return f"Was refused: {_applied('deny', 'denies', rules)}"
        case Effect.DENY:
            return "Was refused: no allow applied"
        case Effect.THROTTLE if rules:
            wait = "" if wait_s is None else f", for another {seconds(round(wait_s * 1_000_000))}"
            return f"Was refused: the throttle{'s' if len(rules) > 1 else ''} {named(rules)} ran dry{wait}"
        case Effect.THROTTLE:
            return "Was refused, because too many calls from its network came without a valid API key"
        case _:
            return "Was refused, because the fence could not decide"


def _applied(one: str, several: str, rules: Sequence[str]) -> str:
    return f"the {one if len(rules) == 1 else several} {named([cut(rule, _SHOWN) for rule in rules])} applied"


def _today(line: LoggedLine, rules: Sequence[RuleRole], policy: Policy) -> str:
    """Return what today's policy makes of the facts that the line holds."""
    if line.text("policy") == policy.hash:
        return "The policy is the same today."
    if policy.mode is Mode.SHADOW:
        return "Today's policy is in shadow, and would let it in."
    enforced = [rule.explained for rule in rules if not rule.explained.rule.shadow]
    was_refused = line.text("effect") == Effect.DENY
    for kind, words in ((RuleKind.DENY, "refuse it"), (RuleKind.ALLOW, "let it in, if no throttle is against it")):
        of_kind = [one for one in enforced if one.rule.kind is kind]
        if sure := [one.rule.id for one in of_kind if one.applies]:
            also = "also " if was_refused == (kind is RuleKind.DENY) else ""
            return f"Today's policy would {also}{words} ({named(sure)})."
        if untold := [one.rule.id for one in of_kind if is_untold(one)]:
            reads = "reads" if len(untold) == 1 else "read"
            return f"What today's policy would do can't be told: {named(untold)} {reads} what is not in the log."
    return f"Today's policy would {'also ' if was_refused else ''}refuse it: no allow applies."


def _versions(line: LoggedLine, today: Account | None) -> str:
    then = line.text("account_version")
    if then is None:
        return ""
    now = "" if today is None else ", the same today" if today.version == then else f", {today.version} today"
    return f"; record of version {then}{now}"


def _policies(line: LoggedLine, desk: Desk) -> str:
    then, now = line.text("policy"), desk.parts.policy.hash
    same = "the same as then" if then == now else f"another than then: hash {then}"
    return f"{desk.policy_shown}, hash {now}, {same}"


def _databases(line: LoggedLine) -> str:
    geo = line.inner("geo")
    return ", ".join(f"{name} of {day}" for name in geo.values if (day := geo.text(name)) is not None)


def _usage(line: LoggedLine) -> str:
    usage = line.inner("usage")
    numbers = [(name, usage.number_of(f"{name}_tokens")) for name in ("input", "output")]
    return ", ".join(f"{number:,.0f} {name} tokens" for name, number in numbers if number is not None)
