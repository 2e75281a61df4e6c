"""The least and the most a cost can be."""

import math

import pytest

from modelfence.policy.lint.bounds import Bounds, bounds_of

ANY = (-math.inf, math.inf)


@pytest.mark.parametrize(
    ("source", "bounds"),
    [
        ("1", (1, 1)),
        ("1.0 + 9.0 * extraction.score", (1, 10)),
        ("10.0 - (extraction.score + 1.0) * 2.0", (6, 8)),
        ("-extraction.score", (-1, 0)),
        ("request.tools", (0, math.inf)),
        ("0 * request.tools", (0, 0)),
        ("2 + double(request.tools)", (2, math.inf)),
        ("kyc.owned_by.embargoed + 1.0", (1, math.inf)),
        ("client.tor ? 20 : 1", (1, 20)),
        ("request.choices", ANY),
        ("request.tools / 2", ANY),
        ("2 * (client.tor ? 20 : 1)", ANY),
        ("extraction.score.size()", ANY),
        ('kyc.ownership["CN"]', ANY),
        ("lists.near.size() + 1", ANY),
        ("0x10", ANY),
    ],
)
def test_a_cost_has_the_bounds_of_its_facts(source, bounds):
    assert bounds_of(source) == Bounds(*bounds)
