import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfence.core import ownership_tree
from modelfence.core.account import (
    UNKNOWN,
    Account,
    Check,
    Entity,
    Found,
    Owner,
    both,
    countries_behind,
    owned_from,
    ownership,
)


def by(*pairs: tuple[str, float]) -> tuple[Owner, ...]:
    """Return owners; two capital letters are a country, anything else an entity."""
    return tuple(
        Owner(share, country=name) if name.isupper() and len(name) == 2 else Owner(share, entity=name)
        for name, share in pairs
    )


def entities(**owners: tuple[str, tuple[Owner, ...]]) -> dict[str, Entity]:
    return {name: Entity(name, country, held) for name, (country, held) in owners.items()}


@pytest.mark.parametrize(
    ("owners", "companies", "shares"),
    [
        ((), {}, {}),
        (by(("US", 0.4)), {}, {"US": 0.4}),
        (by(("US", 0.4), ("US", 0.1)), {}, {"US": 0.5}),
        # An owner counts for its own country and passes on its owners' by multiplication.
        (by(("h", 0.6), ("US", 0.4)), entities(h=("HK", by(("CN", 0.9)))), {"HK": 0.6, "CN": 0.54, "US": 0.4}),
        (
            by(("a", 0.5)),
            entities(a=("HK", by(("b", 0.5))), b=("SG", by(("CN", 0.5)))),
            {"HK": 0.5, "SG": 0.25, "CN": 0.125},
        ),
        # Two ways to one country add up.
        (by(("a", 0.5), ("b", 0.5)), entities(a=("HK", by(("CN", 0.4))), b=("SG", by(("CN", 0.6)))),
         {"HK": 0.5, "SG": 0.5, "CN": 0.5}),
        (by(("a", 0.5), ("CN", 0.3)), entities(a=("HK", by(("CN", 1.0)))), {"HK": 0.5, "CN": 0.8}),
        # Along one chain a country counts once, where it is met first.
        (by(("a", 0.6)), entities(a=("US", by(("b", 1.0))), b=("US", ())), {"US": 0.6}),
        (by(("a", 0.6)), entities(a=("US", by(("b", 0.5))), b=("KY", by(("US", 1.0)))), {"US": 0.6, "KY": 0.3}),
        # A holding without stated owners counts for its own country alone.
        (by(("a", 1.0)), entities(a=("KY", ())), {"KY": 1.0}),
    ],
)  # fmt: skip
def test_ownership_is_multiplied_along_chains_and_summed_over_them(owners, companies, shares):
    assert ownership(owners, countries_behind(companies)) == pytest.approx(shares)


def paths(owner: Owner, companies: dict[str, Entity]) -> list[list[tuple[str, float]]]:
    """Return every chain of owners that begins with this one, as countries and the shares held."""
    if owner.entity is None:
        return [[(owner.country or "", owner.share)]]
    entity = companies[owner.entity]
    here = (entity.country, owner.share)
    return [[here], *([here, *rest] for further in entity.owners for rest in paths(further, companies))]


def brute_force(owners: tuple[Owner, ...], companies: dict[str, Entity]) -> dict[str, float]:
    """Sum over every chain what it adds for the country it ends in, unless that country is met on it before."""
    shares: dict[str, float] = {}
    for path in [path for owner in owners for path in paths(owner, companies)]:
        *nearer, (last, _share) = path
        product = 1.0
        for _country, share in path:
            product *= share
        met_before = any(country == last for country, _ in nearer)
        shares[last] = shares.get(last, 0.0) + (0.0 if met_before else product)
    return shares


@st.composite
def holdings(draw) -> tuple[tuple[Owner, ...], dict[str, Entity]]:
    """Draw owners and up to six entities without cycles: each is owned only by those after it, in no known order."""
    names = [f"e{number}" for number in range(draw(st.integers(0, 6)))]
    countries = st.sampled_from(["US", "CN", "HK"])

    def owners(further: list[str]) -> tuple[Owner, ...]:
        kinds = st.one_of(
            countries.map(lambda country: {"country": country}),
            *([st.sampled_from(further).map(lambda name: {"entity": name})] if further else []),
        )
        drawn = draw(st.lists(st.tuples(kinds, st.floats(0, 1)), max_size=3))
        whole = max(1.0, sum(share for _, share in drawn))
        return tuple(Owner(share / whole, **kind) for kind, share in drawn)

    companies = [Entity(name, draw(countries), owners(names[at + 1 :])) for at, name in enumerate(names)]
    return owners(names), {company.id: company for company in draw(st.permutations(companies))}


@given(holdings())
def test_ownership_is_the_sum_over_all_chains_of_owners(held):
    owners, companies = held
    assert ownership(owners, countries_behind(companies)) == pytest.approx(brute_force(owners, companies))


@given(holdings())
def test_the_chains_spelled_out_sum_up_to_the_ownership(held):
    owners, companies = held
    shares: dict[str, float] = {}
    for one in ownership_tree.holdings(owners, companies, most=100_000):
        shares[one.country] = shares.get(one.country, 0.0) + one.share * one.counts
    assert shares == pytest.approx(ownership(owners, countries_behind(companies)))


@given(holdings())
def test_no_country_owns_more_than_the_direct_owners_hold(held):
    owners, companies = held
    for share in ownership(owners, countries_behind(companies)).values():
        assert share <= sum(owner.share for owner in owners) + 1e-9


def test_of_a_list_each_country_is_counted_once():
    assert owned_from(["CN", "HK", "CN", "KP"], {"CN": 0.5, "HK": 0.25, "US": 0.25}) == 0.75


@pytest.mark.parametrize(
    ("owners", "companies"),
    [
        # As binary fractions these sum up to a little less than half, and these to a little more.
        (by(("CN", 0.29), ("CN", 0.16), ("CN", 0.05)), {}),
        (by(("CN", 0.06), ("CN", 0.29), ("CN", 0.11), ("CN", 0.04)), {}),
        (by(("CN", 0.36), ("CN", 0.1), ("CN", 0.04)), {}),
        (by(("a", 0.7), ("CN", 0.15)), entities(a=("SG", by(("CN", 0.3), ("CN", 0.2))))),
    ],
)
def test_half_is_half_however_it_is_parted(owners, companies):
    shares = ownership(owners, countries_behind(companies))
    assert shares["CN"] == 0.5


def test_half_is_half_from_several_countries_of_a_list():
    shares = {"CN": 0.29, "KP": 0.16, "IR": 0.05, "US": 0.5}
    for order in (["CN", "KP", "IR"], ["IR", "KP", "CN"], ["KP", "CN", "IR"]):
        assert owned_from(order, shares) == 0.5


@pytest.mark.parametrize("backwards", [False, True])
def test_a_chain_of_ten_thousand_companies_is_summed_up(backwards):
    length = 10_000
    chain = {f"e{n}": Entity(f"e{n}", "HK", by((f"e{n + 1}", 1.0))) for n in range(length)}
    chain[f"e{length}"] = Entity(f"e{length}", "SG", by(("CN", 0.9)))
    companies = dict(reversed(chain.items())) if backwards else chain
    shares = ownership(by(("e0", 0.5)), countries_behind(companies))
    assert shares == pytest.approx({"HK": 0.5, "SG": 0.5, "CN": 0.45})


def test_a_deep_lattice_of_companies_is_summed_up_though_its_chains_are_beyond_number():
    depth = 1_000
    lattice = {
        f"{side}{n}": Entity(f"{side}{n}", "HK", by((f"l{n + 1}", 0.5), (f"r{n + 1}", 0.5)))
        for n in range(depth)
        for side in "lr"
    }
    lattice |= {f"{side}{depth}": Entity(f"{side}{depth}", "CN", ()) for side in "lr"}
    assert ownership(by(("l0", 1.0)), countries_behind(lattice)) == pytest.approx({"HK": 1.0, "CN": 1.0})


@pytest.mark.parametrize(
    ("expires_us", "now_us", "expired"), [(None, 10**18, False), (10, 9, False), (10, 10, True), (10, 11, True)]
)
def test_a_verification_has_expired_from_its_moment_on(expires_us, now_us, expired):
    assert Account("acme", "active", "verified", expires_us=expires_us).expired(now_us) is expired


ACME, UMBRELLA = Account("acme", "active", "basic"), Account("umbrella", "active", "basic")
VALID, REVOKED, EXPIRED = (Found(check, ACME) for check in (Check.VALID, Check.REVOKED, Check.EXPIRED))
UNCHECKED, MISMATCHED = Found(Check.UNCHECKED), Found(Check.MISMATCHED)


@pytest.mark.parametrize(
    ("key", "certificate", "found"),
    [
        (VALID, VALID, VALID),
        (VALID, REVOKED, REVOKED),
        (EXPIRED, VALID, EXPIRED),
        (VALID, Found(Check.VALID, UMBRELLA), MISMATCHED),
        (REVOKED, Found(Check.VALID, UMBRELLA), MISMATCHED),
        (UNKNOWN, VALID, MISMATCHED),
        (VALID, UNKNOWN, MISMATCHED),
        (UNKNOWN, UNKNOWN, MISMATCHED),
        (UNCHECKED, VALID, UNCHECKED),
        (VALID, UNCHECKED, UNCHECKED),
    ],
)
def test_a_key_and_a_certificate_are_worth_as_much_as_the_lesser_and_nothing_when_they_do_not_belong_together(
    key, certificate, found
):
    assert both(key, certificate) == found
