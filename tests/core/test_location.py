from modelfence.core.countries import COUNTRIES, EU, EU_MEMBERS, EU_PARTS
from modelfence.core.facts import FACTS
from modelfence.core.location import LOCATED, Location


def test_what_can_be_known_of_an_address_are_facts():
    named = {fact.name for fact in FACTS if fact.name.startswith("client.")}
    assert named == {"client.ip", *(f"client.{name}" for name in LOCATED)}


def test_only_what_is_known_has_a_fact():
    assert Location().facts == {}
    assert Location("US", eu=False, hosting=False).facts == {
        "client.country": "US",
        "client.eu": False,
        "client.hosting": False,
    }


def test_countries_and_members_are_as_many_as_there_are():
    assert (len(COUNTRIES), len(EU_MEMBERS)) == (249, 27)
    assert EU_PARTS.isdisjoint(EU_MEMBERS)
    assert EU < COUNTRIES
