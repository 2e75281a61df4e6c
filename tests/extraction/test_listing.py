"""What operators are shown of cohorts."""

from dataclasses import replace
from typing import Any

from modelfence.extraction.evidence import CohortRecord
from modelfence.extraction.listing import is_suspicious, rows
from modelfence.extraction.templates import fingerprint

CAMPAIGN = CohortRecord(
    "00c0ffee0000",
    1_772_409_606,
    1_772_490_000,
    accounts=100,
    calls=400,
    pairs=1_200,
    heard=400,
    in_message=400,
    checked=400,
    answers=400,
    answer_tokens=240_000,
    output_tokens=240_000,
    tiers={"none": 3, "basic": 97},
    countries={"": 4, "US": 40, "DE": 56},
    template=(3, 5, 8),
)
FRAMEWORK = replace(CAMPAIGN, id="00beef000000", deep=400, answer_tokens=1, template=(1, 2, 4))


def test_the_most_suspicious_comes_first_with_all_that_is_known():
    first, second = (dict[str, Any](row) for row in rows([FRAMEWORK, CAMPAIGN], []))
    assert (second["cohort"], second["score"] < 0.5) == ("00beef000000", True)
    assert first.pop("score") > 0.8
    assert list(first.pop("signals")) == [
        "shared_template",
        "template_in_message",
        "disjoint_work",
        "even_volumes",
        "long_work",
    ]
    assert first == {
        "cohort": "00c0ffee0000",
        "exempt": False,
        "accounts": 100,
        "calls": 400,
        "output_tokens": 240_000,
        "tiers": {"basic": 97, "none": 3},
        "countries": {"DE": 56, "US": 40, "unknown": 4},
        "first_seen": "2026-03-02T00:00:06Z",
        "last_seen": "2026-03-02T22:20:00Z",
        "fingerprint": "000000030000000500000008",
    }


def test_one_that_is_exempt_is_listed_and_not_suspicious():
    known = [fingerprint(CAMPAIGN.template)]
    assert [row["exempt"] for row in rows([CAMPAIGN], known)] == [True]
    assert [is_suspicious(CAMPAIGN, exempt) for exempt in ([], known)] == [True, False]
    assert not is_suspicious(FRAMEWORK, [])
