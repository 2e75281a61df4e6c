"""A replay in figures: by effect, by rule, by account. Its size is that of the policy and the accounts file."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from modelfence.core.decision import Effect
from modelfence.replay.outcomes import Broken, Decided, Outcome, Rejected

NO_ACCOUNT = "(none)"
MALFORMED = "(malformed)"
NO_ALLOW = "(no allow)"
"""What refused a call that no rule refused."""
ENFORCE, SHADOW = "enforce", "shadow"


@dataclass(frozen=True, slots=True)
class RuleCount:
    """How many calls a rule decided: in shadow, would have decided."""

    effect: str
    rule: str
    mode: str
    calls: int


@dataclass(slots=True)
class AccountCount:
    """What became of one account's calls; those without an account are one together."""

    account: str
    tier: str
    calls: int = 0
    refused: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    """Those of answers that were let through, as charged."""
    score: float = 0.0
    """The highest."""
    cohort: str = ""
    """That of the highest score, or the first one."""


@dataclass(slots=True)
class Summary:
    """The figures so far."""

    lines: int = 0
    broken: int = 0
    late: int = 0
    """Lines that stand after one with a later time."""
    first_us: int | None = None
    last_us: int | None = None
    """The earliest and the latest time."""
    effects: Counter[str] = field(default_factory=Counter)
    would: Counter[str] = field(default_factory=Counter)
    """What calls would have got, where that is something else than they got."""
    _rules: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    _accounts: dict[str, AccountCount] = field(default_factory=dict)

    @property
    def calls(self) -> int:
        """Return how many lines are none of the broken ones."""
        return self.lines - self.broken

    def add(self, outcome: Outcome) -> None:
        """Count one line."""
        self.lines += 1
        if isinstance(outcome, Broken):
            self.broken += 1
            return
        at_us = outcome.line.at_us
        self.first_us = at_us if self.first_us is None else min(self.first_us, at_us)
        self.last_us = at_us if self.last_us is None else max(self.last_us, at_us)
        self.late += outcome.is_late
        if isinstance(outcome, Rejected):
            self.effects[Effect.REJECT] += 1
            self._rules[Effect.REJECT, MALFORMED, ENFORCE] += 1
        else:
            self._add_decided(outcome)

    def rules(self) -> Sequence[RuleCount]:
        """Return the rules that decided something: by effect from the best to the worst, and then by calls."""
        order = list(Effect)
        counts = [RuleCount(*key, calls) for key, calls in self._rules.items()]
        return sorted(counts, key=lambda one: (order.index(Effect(one.effect)), one.mode, -one.calls, one.rule))

    def accounts(self) -> Sequence[AccountCount]:
        """Return the accounts: who was refused most first, and then who called most."""
        return sorted(self._accounts.values(), key=lambda one: (-one.refused, -one.calls, one.account))

    def _add_decided(self, decided: Decided) -> None:
        decision = decided.judged.decision
        self.effects[decision.effect] += 1
        for rule in decision.rules or ((NO_ALLOW,) if decision.effect is Effect.DENY else ()):
            self._rules[decision.effect, rule, ENFORCE] += 1
        if decision.would is not None:
            self.would[decision.would] += 1
            for rule in decision.shadow_rules or (NO_ALLOW,):
                self._rules[decision.would, rule, SHADOW] += 1
        self._add_to_account(decided)

    def _add_to_account(self, decided: Decided) -> None:
        judged = decided.judged
        name = judged.account.id if judged.account else NO_ACCOUNT
        count = self._accounts.get(name)
        if count is None:
            count = self._accounts[name] = AccountCount(name, judged.tier)
        count.tier = judged.tier
        count.calls += 1
        count.refused += not judged.decision.admitted
        if decided.usage is not None:
            count.input_tokens += decided.usage.input_tokens
            count.output_tokens += decided.usage.output_tokens
        extraction = judged.extraction
        if extraction.cohort and (extraction.score > count.score or not count.cohort):
            count.cohort = extraction.cohort
        count.score = max(count.score, extraction.score)


def as_json(summary: Summary, *, policy_hash: str, took_s: float) -> Mapping[str, object]:
    """Return all figures under the names that `--format json` prints."""
    span = (summary.first_us, summary.last_us)
    return {
        "policy": policy_hash,
        "lines": summary.lines,
        "broken": summary.broken,
        "late": summary.late,
        "first_ts": None if span[0] is None else span[0] / 1_000_000,
        "last_ts": None if span[1] is None else span[1] / 1_000_000,
        "took_s": round(took_s, 3),
        "effects": dict(summary.effects),
        "would": dict(summary.would),
        "rules": [
            {"effect": one.effect, "rule": one.rule, "mode": one.mode, "calls": one.calls} for one in summary.rules()
        ],
        "accounts": [
            {
                "account": None if one.account == NO_ACCOUNT else one.account,
                "tier": one.tier,
                "calls": one.calls,
                "refused": one.refused,
                "input_tokens": one.input_tokens,
                "output_tokens": one.output_tokens,
                "score": round(one.score, 6),
                "cohort": one.cohort,
            }
            for one in summary.accounts()
        ],
    }
