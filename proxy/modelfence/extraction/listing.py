"""What an operator is shown of cohorts, to decide about them: the same for the admin port and the command."""

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime

from modelfence.extraction import score
from modelfence.extraction.evidence import CohortRecord
from modelfence.extraction.templates import fingerprint, is_exempt
from modelfence.extraction.weights import SUSPICIOUS

type Row = dict[str, object]


def is_suspicious(cohort: CohortRecord, exempt: Collection[str]) -> bool:
    """Say whether a cohort looks like a campaign by itself, and is not exempt."""
    return _score(cohort) >= SUSPICIOUS and not is_exempt(cohort.template, exempt)


def rows(cohorts: Iterable[CohortRecord], exempt: Collection[str]) -> list[Row]:
    """Return what is known of each, the most suspicious first, then those of most accounts.

    `exempt` are the fingerprints that the policy exempts: such a cohort is listed, and said to be exempt.
    """
    known = sorted(cohorts, key=lambda one: (-_score(one), -one.accounts, one.id))
    return [_row(one, exempt) for one in known]


def _row(cohort: CohortRecord, exempt: Collection[str]) -> Row:
    return {
        "cohort": cohort.id,
        "score": _score(cohort),
        "signals": dict(score.weighed(score.of_cohort(cohort))),
        "exempt": is_exempt(cohort.template, exempt),
        "accounts": cohort.accounts,
        "calls": cohort.calls,
        "output_tokens": cohort.output_tokens,
        "tiers": _most_first(cohort.tiers),
        "countries": _most_first({name or "unknown": count for name, count in cohort.countries.items()}),
        "first_seen": _time(cohort.first_at_s),
        "last_seen": _time(cohort.last_at_s),
        "fingerprint": fingerprint(cohort.template),
    }


def _score(cohort: CohortRecord) -> float:
    return score.total(score.weighed(score.of_cohort(cohort)))


def _most_first(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda one: (-one[1], one[0])))


def _time(at_s: int) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%dT%H:%M:%SZ}"
