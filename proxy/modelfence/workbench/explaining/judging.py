"""A request through the same loop as live traffic and replays, and everything that is to be said of it afterwards."""

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from modelfence.assembly import anywhere, replaying, requests_of
from modelfence.core.dialect import Answer
from modelfence.core.facts import FACTS, Facts
from modelfence.core.policy import Mode
from modelfence.document import did_you_mean
from modelfence.enforcement.gather import gather
from modelfence.enforcement.ports import GeoDatabase, Judged
from modelfence.policy.explain import explain
from modelfence.replay.outcomes import Broken, Decided, Rejected
from modelfence.replay.requests import Asked, Requests
from modelfence.replay.run import Replay
from modelfence.settings import Settings
from modelfence.settings_upstreams import dialect_of_host
from modelfence.workbench.explaining.account_sources import credential_words
from modelfence.workbench.explaining.body_fields import fields_behind
from modelfence.workbench.explaining.consequences import changes_of, throttles_of
from modelfence.workbench.explaining.desk import Desk
from modelfence.workbench.explaining.explanation import Explanation, FactExplained
from modelfence.workbench.explaining.inquiry import NOWHERE, Inquiry, InquiryError
from modelfence.workbench.explaining.place_sources import said_country
from modelfence.workbench.explaining.request_sources import RequestRead
from modelfence.workbench.explaining.roles import readers_of, roles_of
from modelfence.workbench.explaining.sources import sources_of
from modelfence.workbench.explaining.values import cut, shown
from modelfence.workbench.explaining.wording import answer_of, rejected

DECISION_ID = "…"
"""In what the caller is told: each call has an id of its own."""
_SHOWN = 100


@dataclass(frozen=True, slots=True)
class _Told:
    """What came of a request, and what its caller is told."""

    inquiry: Inquiry
    outcome: Decided | Rejected
    answer: Answer | None
    lines_before: int = 0


async def explained(inquiry: Inquiry, desk: Desk) -> Explanation:
    """Return why a request is decided as it is, as if it were the first that ever came.

    Raises InquiryError for what can't be asked, and CannotStartError for accounts or a store that do not answer.
    """
    judging = _Judging.of(desk, inquiry)
    asked = judging.requests.ask(0, inquiry.line)
    async with judging.replay() as replay:
        told = await _told(asked, inquiry, replay)
    return judging.explanation(told)


async def explained_line(lines: Iterable[bytes | None], number: int, desk: Desk) -> Explanation:
    """Return why a line of a recording, counted from one, is decided as it is after those before it.

    Raises as `explained` does.
    """
    judging = _Judging.of(desk, None)
    before = 0
    async with judging.replay() as replay:
        for n, line in enumerate(lines):
            read = judging.requests.read(n, line)
            if n + 1 == number:
                if isinstance(read, Broken):
                    raise InquiryError(f"line {number:,} is broken: {read.error}")
                inquiry = Inquiry(read.line, frozenset(("ts", "client_ip")))
                return judging.explanation(replace(await _told(read, inquiry, replay), lines_before=before))
            if isinstance(read, Asked):
                await replay.judge(read)
            before = n + 1
    raise InquiryError(f"it has no line {number:,}, but {before:,} of them")


async def _told(asked: Asked | Rejected, inquiry: Inquiry, replay: Replay) -> _Told:
    outcome = asked if isinstance(asked, Rejected) else await replay.judge(asked)
    return _Told(inquiry, outcome, replay.answer_to(outcome, DECISION_ID))


@dataclass(frozen=True, slots=True)
class _Judging:
    """What requests are judged with, and explained from."""

    desk: Desk
    settings: Settings
    requests: Requests
    geo: GeoDatabase

    @classmethod
    def of(cls, desk: Desk, inquiry: Inquiry | None) -> "_Judging":
        settings = _with_upstreams(desk.settings, inquiry.host if inquiry else None)
        country = inquiry.country if inquiry else None
        geo = desk.parts.geo if country is None else said_country(country, desk.parts.geo)
        return cls(desk, settings, requests_of(settings), geo)

    def replay(self) -> AbstractAsyncContextManager[Replay]:
        return replaying(self.settings, self.desk.parts, self.requests, geo=self.geo)

    def explanation(self, told: _Told) -> Explanation:
        """Return all that is to be said. Raises InquiryError for an account that there is not."""
        inquiry, outcome, policy = told.inquiry, told.outcome, self.desk.parts.policy
        notes = (*inquiry.notes, *_notes(told))
        if isinstance(outcome, Rejected):
            answer = rejected(outcome.status, outcome.message)
            about = _about_request(inquiry, cut(outcome.line.path.partition("?")[0], _SHOWN))
            return Explanation(answer, "reject", about, told=told.answer, notes=notes, policy_hash=policy.hash)
        judged = outcome.judged
        self._check_account(inquiry, judged)
        decision = judged.decision
        facts = self._facts(judged)
        rules = roles_of(explain(policy, facts), decision, self.desk)
        return Explanation(
            answer_of(judged, rules, told.answer.status if told.answer else None, policy.mode),
            str(decision.effect),
            (
                *_about_request(inquiry, f"{cut(judged.call.path, _SHOWN)}, to {judged.call.provider}"),
                *self._about(told),
            ),
            rules,
            self._with_sources(facts, told, judged),
            throttles_of(judged, self.desk),
            changes_of(judged, facts),
            told.answer,
            None if decision.would is None else str(decision.would),
            decision.unknown,
            decision.retry_after_us,
            notes,
            policy.tiers,
            policy.hash,
        )

    def _check_account(self, inquiry: Inquiry, judged: Judged) -> None:
        if inquiry.account is not None and judged.account is None:
            known = [account.id for account in self.desk.parts.accounts] if self.desk.parts.accounts else []
            near = did_you_mean(inquiry.account, known)
            where = self.desk.accounts_shown
            raise InquiryError(f"there is no account `{inquiry.account}` in {where}{f'; {near}' if near else ''}")

    def _facts(self, judged: Judged) -> Facts:
        """Return the facts of a call, gathered once more from the same things."""
        call, geo = judged.call, self.geo
        return gather(
            call,
            judged.account,
            geo.locate(call.client_ip),
            self.desk.parts.policy,
            extraction=judged.extraction,
            geo_built_s=geo.country_built_s,
        )

    def _with_sources(self, facts: Facts, told: _Told, judged: Judged) -> tuple[FactExplained, ...]:
        policy, line = self.desk.parts.policy, told.inquiry.line
        read = RequestRead(line, judged.call, fields_behind(line, self.requests), bool(self.desk.settings.upstreams))
        location = self.geo.locate(judged.call.client_ip)
        sources = sources_of(told.inquiry, judged, location, desk=self.desk, read=read, lines_before=told.lines_before)
        readers = readers_of(policy)
        names = (*(fact.name for fact in FACTS), *(f"kyc.owned_by.{name}" for name in policy.owned_by))
        return tuple(FactExplained(name, facts.get(name), sources[name], readers.get(name, ())) for name in names)

    def _about(self, told: _Told) -> tuple[tuple[str, str], ...]:
        assert isinstance(told.outcome, Decided)  # noqa: S101 - nothing else is told about
        judged, policy = told.outcome.judged, self.desk.parts.policy
        account = judged.account
        who = f"{account.id}, {account.status}, tier {judged.tier}" if account else f"none, tier {judged.tier}"
        mode = " in shadow" if policy.mode is Mode.SHADOW else ""
        return (
            ("account", f"{cut(who, _SHOWN)}; {credential_words(told.inquiry, judged.call)}"),
            ("policy", f"{self.desk.policy_shown}{mode}, hash {policy.hash}"),
        )


def _notes(told: _Told) -> tuple[str, ...]:
    """Return what an explanation of this call can't know."""
    outcome = told.outcome
    if isinstance(outcome, Rejected):
        return ()
    late = (
        ("its line is earlier than one before it, so it is judged at the time of that one",) if outcome.is_late else ()
    )
    if told.lines_before:
        return (*late, f"the {told.lines_before:,} lines before it were judged first: buckets and evidence began empty")
    return ("it is judged as the first call ever: buckets are full, and there is no evidence of calls before it",)


def _with_upstreams(settings: Settings, host: str | None) -> Settings:
    """Return the settings with upstreams: where they name none, every API, or the one whose host was asked."""
    if settings.upstreams:
        return settings
    dialect = dialect_of_host(host) if host else None
    return replace(settings, upstreams=anywhere((dialect,)) if dialect else anywhere())


def _about_request(inquiry: Inquiry, path: str) -> tuple[tuple[str, str], ...]:
    line = inquiry.line
    place = (
        "no address given"
        if line.client_ip == NOWHERE and "client_ip" not in inquiry.says | inquiry.given
        else line.client_ip
    )
    return (
        ("request", f"{cut(line.method, _SHOWN)} {path}"),
        ("time", shown(datetime.fromtimestamp(line.at_us / 1_000_000, UTC))),
        ("address", place if inquiry.country is None else f"{place}, said to be in {inquiry.country}"),
    )
