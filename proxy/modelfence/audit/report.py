"""A period of an audit log in figures: by country, by tier, by rule, by account, or by several of these at once.

Its size is bounded, whatever callers write as names of models: what is new once a table is full goes into one row.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from modelfence.core.decision import Effect

JUDGED = (Effect.ALLOW, Effect.DENY, Effect.THROTTLE, Effect.ERROR)
"""What a line can say became of a call."""
NONE = "(none)"
OTHERS = "(others)"
MOST_ROWS = 10_000
"""Of one table."""
MOST_ACCOUNTS = 1_000_000
"""Counted over all rows of all tables; a row beyond says that it had more."""
_MOST_STATES = 100
"""Policies, and states of databases, that are named."""

type Line = Mapping[str, Any]


def _of(name: str) -> Callable[[Line], Sequence[str]]:
    return lambda line: (NONE if line[name] in (None, "") else str(line[name]),)


def _each(name: str) -> Callable[[Line], Sequence[str]]:
    return lambda line: [str(value) for value in line[name]] or (NONE,)


def _said_by(*names: str) -> Callable[[Line], Sequence[str]]:
    """Return what reads something that the live policy or a candidate said, from lines that have both."""

    def read(line: Line) -> Sequence[str]:
        said = line.get("candidate")
        for name in names:
            said = said and said[name]
        return [said] if isinstance(said, str) else [str(one) for one in said or ()] or (NONE,)

    return read


DIMENSIONS: Mapping[str, Callable[[Line], Sequence[str]]] = {
    **{
        name: _of(name)
        for name in (
            "country",
            "tier",
            "kyc_status",
            "account",
            "account_version",
            "provider",
            "operation",
            "model",
            "effect",
            "would",
            "status",
            "policy",
        )
    },
    "rule": _each("rules"),
    "shadow_rule": _each("shadow_rules"),
    "live": _said_by("live", "effect"),
    "live_rule": _said_by("live", "rules"),
    "candidate": _said_by("effect"),
    "candidate_rule": _said_by("rules"),
    "unknown": _each("unknown"),
    "cohort": lambda line: (str(line["extraction"]["cohort"] or NONE),),
    "signal": lambda line: [str(value) for value in line["extraction"]["signals"]] or (NONE,),
    "day": lambda line: (f"{datetime.fromtimestamp(line['ts'], UTC):%Y-%m-%d}",),
}
"""What can be summed up by; a line may have several rules, and counts for each."""


@dataclass(slots=True)
class Figures:
    """What became of some decisions."""

    decisions: int = 0
    effects: Counter[str] = field(default_factory=Counter)
    in_shadow: int = 0
    """Those for which rules in shadow would have decided otherwise."""
    input_tokens: int = 0
    output_tokens: int = 0
    estimated: int = 0
    """Those whose tokens the fence had to count itself."""
    unsettled: int = 0
    """Those that were let in, and whose end was not seen."""
    accounts: set[str] = field(default_factory=set)
    more_accounts: bool = False
    """There may be more than these."""

    def add(self, line: Line) -> None:
        """Count a decision, all but its account."""
        self.decisions += 1
        self.effects[line["effect"]] += 1
        self.in_shadow += line["would"] is not None
        self.unsettled += line["settled"] is False
        usage = line["usage"]
        if usage is not None:
            self.input_tokens += usage["input_tokens"]
            self.output_tokens += usage["output_tokens"]
            self.estimated += usage["estimated"]


class Report:
    """Figures of the lines that are added, from one time to before another, in seconds since the epoch.

    `by` names the tables, each by one or more of DIMENSIONS.
    """

    def __init__(
        self,
        by: Sequence[Sequence[str]],
        *,
        from_s: float = 0.0,
        to_s: float = float("inf"),
        most_rows: int = MOST_ROWS,
    ) -> None:
        self.by = [tuple(names) for names in by]
        self.all = Figures()
        self.first_s: float | None = None
        self.last_s: float | None = None
        self.unreadable = 0
        self.policies: Counter[str] = Counter()
        self.databases: set[str] = set()
        """Which databases of which day told countries and networks."""
        self._from_s = from_s
        self._to_s = to_s
        self._most_rows = most_rows
        self._tables: list[dict[tuple[str, ...], Figures]] = [{} for _ in self.by]
        self._accounts = 0

    def add(self, raw: bytes) -> None:
        """Count a line of the log; one that can't be understood only as such."""
        try:
            line = json.loads(raw)
            if not self._from_s <= line["ts"] < self._to_s:
                return
            rows = [_rows_of(names, line) for names in self.by]
            Figures().add(line)  # what can't be counted is counted nowhere, not half
            account, policy, built = line["account"], line["policy"], line["geo"].items()
            if not isinstance(account, str | None) or not isinstance(policy, str):
                raise TypeError  # noqa: TRY301 - like all else that is not what it should be
            datetime.fromtimestamp(line["ts"], UTC)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            self.unreadable += 1
            return
        self.first_s = line["ts"] if self.first_s is None else min(self.first_s, line["ts"])
        self.last_s = line["ts"] if self.last_s is None else max(self.last_s, line["ts"])
        if policy in self.policies or len(self.policies) < _MOST_STATES:
            self.policies[policy] += 1
        if len(self.databases) < _MOST_STATES:
            self.databases.update(f"{name} of {day}" for name, day in built if day)
        self._count(self.all, line, account)
        for table, keys in zip(self._tables, rows, strict=True):
            for key in keys:
                self._count(self._row(table, key), line, account)

    def tables(self) -> Sequence[tuple[tuple[str, ...], Sequence[tuple[tuple[str, ...], Figures]]]]:
        """Return the tables: what each is by, and its rows, those with the most decisions first."""
        return [
            (names, sorted(table.items(), key=lambda row: (-row[1].decisions, row[0])))
            for names, table in zip(self.by, self._tables, strict=True)
        ]

    def _row(self, table: dict[tuple[str, ...], Figures], key: tuple[str, ...]) -> Figures:
        if key not in table and len(table) >= self._most_rows:
            key = (OTHERS,) * len(key)
        return table.setdefault(key, Figures())

    def _count(self, figures: Figures, line: Line, account: str | None) -> None:
        figures.add(line)
        if account is None or account in figures.accounts:
            return
        if self._accounts >= MOST_ACCOUNTS:
            figures.more_accounts = True
        else:
            figures.accounts.add(account)
            self._accounts += 1


def _rows_of(names: Sequence[str], line: Line) -> Sequence[tuple[str, ...]]:
    """Return the rows a line counts for: more than one where it has several rules, say."""
    keys: list[tuple[str, ...]] = [()]
    for name in names:
        keys = [(*key, value) for key in keys for value in DIMENSIONS[name](line)]
    return keys


def as_json(report: Report) -> Mapping[str, object]:
    """Return all figures under the names that `--format json` prints."""
    return {
        "first_ts": report.first_s,
        "last_ts": report.last_s,
        "unreadable": report.unreadable,
        "policies": dict(report.policies),
        "databases": sorted(report.databases),
        "all": _figures_json(report.all),
        "tables": [
            {
                "by": list(names),
                "rows": [{**dict(zip(names, key, strict=True)), **_figures_json(row)} for key, row in rows],
            }
            for names, rows in report.tables()
        ],
    }


def _figures_json(figures: Figures) -> Mapping[str, object]:
    return {
        "decisions": figures.decisions,
        "effects": {effect: figures.effects[effect] for effect in JUDGED},
        "in_shadow": figures.in_shadow,
        "unsettled": figures.unsettled,
        "input_tokens": figures.input_tokens,
        "output_tokens": figures.output_tokens,
        "estimated": figures.estimated,
        "accounts": len(figures.accounts),
        "more_accounts": figures.more_accounts,
    }
