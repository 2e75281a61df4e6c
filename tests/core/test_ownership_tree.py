import pytest

from modelfence.core.account import Entity, Owner
from modelfence.core.ownership_tree import Holding, holdings

US = Owner(0.4, country="US")
CHAIN = {
    "h": Entity("h", "HK", (Owner(0.9, entity="k"), Owner(0.1, country="HK"))),
    "k": Entity("k", "KY", (Owner(0.5, country="CN"), Owner(0.5, country="HK"))),
}


def test_each_owner_follows_the_one_it_owns_with_the_shares_on_the_way():
    assert holdings((Owner(0.6, entity="h"), US), CHAIN, most=100) == [
        Holding((0.6,), "HK", "h"),
        Holding((0.6, 0.9), "KY", "k"),
        Holding((0.6, 0.9, 0.5), "CN"),
        Holding((0.6, 0.9, 0.5), "HK", counts=False),
        Holding((0.6, 0.1), "HK", counts=False),
        Holding((0.4,), "US"),
    ]


def test_a_holding_is_the_product_of_the_shares():
    assert Holding((0.6, 0.9, 0.5), "CN").share == pytest.approx(0.27)


@pytest.mark.parametrize("most", [1, 3, 6])
def test_no_more_are_listed_than_asked_for(most):
    assert len(holdings((Owner(0.6, entity="h"), US), CHAIN, most=most)) == most


def test_a_lattice_whose_chains_are_beyond_number_is_cut():
    depth = 1_000
    lattice = {
        f"e{n}": Entity(f"e{n}", "HK", (Owner(0.5, entity=f"e{n + 1}"), Owner(0.5, entity=f"e{n + 1}")))
        for n in range(depth)
    } | {f"e{depth}": Entity(f"e{depth}", "CN")}
    assert len(holdings((Owner(1.0, entity="e0"),), lattice, most=200)) == 200


def test_a_chain_ends_at_a_company_that_is_not_known():
    assert holdings((Owner(0.6, entity="h"), US), {}, most=9) == [Holding((0.6,), "", "h"), Holding((0.4,), "US")]
