"""A decision of an audit log, explained as far as its line goes and no further.

The line says what came of the call, and some of the facts. Today's policy is asked about these facts alone: a rule that
reads another can't be told, whatever it might have been. What an account's record says besides is used only where
today's record is surely the same: its version is in the line, and is a digest of all that the record says.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from modelfence.assembly import OPERATORS_DEADLINE_S, redis_accounts
from modelfence.core.account import Account, Check, Found
from modelfence.core.call import Call, Credential, CredentialState, Reading
from modelfence.core.explanation import RuleExplained
from modelfence.core.extraction import Extraction
from modelfence.core.facts import FACTS, WITHOUT_ACCOUNT, FactValue
from modelfence.core.location import Location
from modelfence.core.policy import Evaluated, Unknown
from modelfence.enforcement.gather import gather
from modelfence.enforcement.ports import UnavailableError
from modelfence.policy.explain import explain
from modelfence.settings import CannotStartError
from modelfence.workbench.explaining.account_sources import account_sources
from modelfence.workbench.explaining.audit_lines import LoggedLine
from modelfence.workbench.explaining.desk import Desk
from modelfence.workbench.explaining.explanation import Explanation, FactExplained, Origin, Source
from modelfence.workbench.explaining.inquiry import NOWHERE
from modelfence.workbench.explaining.logged_words import about_line, answer_of_line, notes_of_line, throttles_of_line
from modelfence.workbench.explaining.roles import is_untold, logged_roles_of, readers_of
from modelfence.workbench.explaining.values import NOT_LOGGED

_OF_ACCOUNTS = ("account.", "kyc.")
_RECENT = "account.recent_countries"
_UNTOLD = Source(Origin.LOG, NOT_LOGGED)


@dataclass(frozen=True, slots=True)
class _Known:
    """A fact as the line has it: None where it was unknown then."""

    value: FactValue | None
    source: Source


async def explained_decision(line: LoggedLine, desk: Desk) -> Explanation:
    """Return what can be said of a decision in an audit log. Raises InquiryError, and CannotStartError for a Redis."""
    today = await _account_today(line, desk)
    known = {**_of_line(line, desk), **_of_record(line, today, desk)}
    facts = {name: one.value for name, one in known.items() if one.value is not None}
    untold = {name for name in _names(desk) if name not in known}
    policy = desk.parts.policy
    rules = logged_roles_of([_with_untold(one, untold) for one in explain(policy, facts)], line, desk)
    return Explanation(
        answer_of_line(line, rules, policy),
        line.text("effect") or "untold",
        about_line(line, today, desk),
        rules,
        _facts(known, desk),
        throttles_of_line(line),
        would=line.text("would"),
        unknown=line.texts("unknown"),
        retry_after_us=_microseconds(line.number_of("retry_after")),
        notes=notes_of_line(line, today, desk),
        tiers=policy.tiers,
        policy_hash=policy.hash,
    )


async def _account_today(line: LoggedLine, desk: Desk) -> Account | None:
    """Return today's record of the line's account; None where there is none, or no accounts were given."""
    name = line.text("account")
    if name is None:
        return None
    if desk.parts.accounts is not None:
        return await desk.parts.accounts.get(name)
    accounts = redis_accounts(desk.settings, deadline_s=OPERATORS_DEADLINE_S)
    assert accounts is not None  # noqa: S101 - they are in a file or there
    try:
        return await accounts.get(name)
    except UnavailableError as error:
        raise CannotStartError(f"the accounts in {desk.settings.accounts_shown} can't be used: {error}") from None
    finally:
        await accounts.close()


def _of_line(line: LoggedLine, desk: Desk) -> Mapping[str, _Known]:
    """Return the facts that the line itself tells, and those that it says were unknown."""
    extraction = line.inner("extraction")
    cohort = extraction.text("cohort")
    said: dict[str, FactValue | None] = {
        "client.country": line.text("country"),
        "account.id": line.text("account"),
        "kyc.status": line.text("kyc_status"),
        "request.provider": line.text("provider"),
        "request.operation": line.text("operation"),
        "extraction.score": extraction.number_of("score"),
        "extraction.signals": list(extraction.texts("signals")),
        "extraction.cohort": cohort or "",
    }
    at_s = line.number_of("ts")
    if at_s is not None:
        said["now"] = datetime.fromtimestamp(at_s, UTC)
    if (address := line.text("address")) is not None:
        said["client.ip"] = address
    if line.has_whole_model:
        said["request.model"] = line.model
    if (tier := line.text("tier")) in desk.parts.policy.tiers:
        said["kyc.tier"] = desk.parts.policy.tier(tier or "")
    if cohort is None:
        said["extraction.cohort_accounts"] = 0
    known = {name: _Known(value, Source(Origin.LOG, _field_of(name, line))) for name, value in said.items()}
    unknown = Source(Origin.LOG, "the line says that it was unknown")
    nobody = {} if line.text("account") is not None else _without_account(desk)
    return {**nobody, **{name: _Known(None, unknown) for name in line.texts("unknown")}, **known}


def _without_account(desk: Desk) -> Mapping[str, _Known]:
    source = Source(Origin.LOG, "the line says that no account called")
    names = (name for name in _names(desk) if name.startswith(_OF_ACCOUNTS) and name != "kyc.tier")
    return {name: _Known(WITHOUT_ACCOUNT.get(name), source) for name in names}


def _of_record(line: LoggedLine, today: Account | None, desk: Desk) -> Mapping[str, _Known]:
    """Return what the account's record says besides, where it is the same today as it was."""
    at_s = line.number_of("ts")
    if today is None or at_s is None or not today.version or today.version != line.text("account_version"):
        return {}
    credential = Credential(CredentialState.PRESENTED, line.text("key") or "")
    call = Call("", round(at_s * 1_000_000), NOWHERE, credential, "", "", "", 0, Reading("unknown"))
    gathered = gather(call, today, Location(), desk.parts.policy, extraction=Extraction(), geo_built_s=0)
    sources = account_sources(Found(Check.VALID, today), call, desk, found_by="the same as then")
    told = ("account.id", "kyc.tier", "kyc.status", _RECENT)
    return {name: _Known(gathered.get(name), source) for name, source in sources.items() if name not in told}


def _with_untold(explained: RuleExplained, untold: AbstractSet[str]) -> RuleExplained:
    """Return a rule that claims nothing where it reads what the log does not hold."""
    expressions = {key: _part_with_untold(one, untold) for key, one in explained.expressions.items()}
    now = replace(explained, expressions=expressions)
    return replace(now, applies=False, unknown=None) if is_untold(now) else now


def _part_with_untold(part: Evaluated, untold: AbstractSet[str]) -> Evaluated:
    value = part.value
    if isinstance(value, Unknown) and not untold.isdisjoint(value.facts):
        value = Unknown(value.facts, NOT_LOGGED)
    return replace(part, value=value, parts=tuple(_part_with_untold(one, untold) for one in part.parts))


def _names(desk: Desk) -> tuple[str, ...]:
    return (*(fact.name for fact in FACTS), *(f"kyc.owned_by.{name}" for name in desk.parts.policy.owned_by))


def _facts(known: Mapping[str, _Known], desk: Desk) -> tuple[FactExplained, ...]:
    readers = readers_of(desk.parts.policy)
    return tuple(
        FactExplained(name, known[name].value, known[name].source, readers.get(name, ()))
        if name in known
        else FactExplained(name, None, _UNTOLD, readers.get(name, ()), is_logged=False)
        for name in _names(desk)
    )


def _field_of(fact: str, line: LoggedLine) -> str:
    """Return in which field of the line a fact stands."""
    special = {"now": "ts", "client.ip": "address", "account.id": "account", "kyc.status": "kyc_status"}
    group, _, name = fact.partition(".")
    field = special.get(fact) or (f"extraction.{name}" if group == "extraction" else name)
    return f"`{field}` of {line.place}"


def _microseconds(time_s: float | None) -> int | None:
    return None if time_s is None else round(time_s * 1_000_000)
