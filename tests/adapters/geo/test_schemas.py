"""One table for each question: records as their publishers document them, and what they say."""

import pytest

from modelfence.adapters.geo.schemas import anonymity_of, network_of, place_of

PLACES = {
    "GeoLite2-Country": (
        {
            "continent": {"code": "EU", "geoname_id": 6255148},
            "country": {"iso_code": "DE", "is_in_european_union": True},
            "registered_country": {"iso_code": "US"},
        },
        {"country": "DE", "continent": "EU", "registered_country": "US", "eu": True},
    ),
    "GeoIP2-City": (
        {
            "continent": {"code": "EU"},
            "country": {"iso_code": "UA"},
            "subdivisions": [{"iso_code": "43", "names": {"en": "Crimea"}}],
        },
        {"country": "UA", "region": "UA-43", "continent": "EU", "eu": False},
    ),
    "GeoIP2-City of two levels": (
        {"country": {"iso_code": "GB"}, "subdivisions": [{"iso_code": "ENG"}, {"iso_code": "OXF"}]},
        {"country": "GB", "region": "GB-ENG", "eu": False},
    ),
    "DBIP-City-Lite, without codes of subdivisions": (
        {
            "continent": {"code": "NA"},
            "country": {"iso_code": "US", "is_in_european_union": False},
            "subdivisions": [{"names": {"en": "California"}}],
        },
        {"country": "US", "continent": "NA", "eu": False},
    ),
    "a part of a member state": ({"country": {"iso_code": "RE"}}, {"country": "RE", "eu": True}),
    "what is in the union by the database alone": (
        {"country": {"iso_code": "ES", "is_in_european_union": False}},
        {"country": "ES", "eu": False},
    ),
    "ip-location-db": ({"country_code": "US"}, {"country": "US", "eu": False}),
    "IPinfo Lite": (
        {"country": "Germany", "country_code": "DE", "continent": "Europe", "continent_code": "EU", "asn": "AS3320"},
        {"country": "DE", "continent": "EU", "eu": True},
    ),
    "IPinfo Country": (
        {"country": "DE", "country_name": "Germany", "continent": "EU", "continent_name": "Europe"},
        {"country": "DE", "continent": "EU", "eu": True},
    ),
    "IPinfo Plus": (
        {"country": "Ukraine", "country_code": "UA", "region": "Crimea", "region_code": "43"},
        {"country": "UA", "region": "UA-43", "eu": False},
    ),
    "a region of no country": ({"subdivisions": [{"iso_code": "43"}]}, {}),
    "a region with a name for its code": (
        {"country": "US", "region_code": "California"},
        {"country": "US", "eu": False},
    ),
    "no country": ({"country": {"iso_code": "ZZ"}, "continent": {"code": "--"}}, {}),
    "a union for a country": ({"country_code": "EU"}, {}),
    "a name for a country": ({"country": "Germany"}, {}),
    "a text for a flag": (
        {"country": {"iso_code": "US", "is_in_european_union": "false"}},
        {"country": "US", "eu": False},
    ),
    "texts for records": ({"country": 1, "continent": [], "subdivisions": "CA", "registered_country": "US"}, {}),
    "subdivisions of another form": ({"country": "US", "subdivisions": ["CA"]}, {"country": "US", "eu": False}),
}
NETWORKS = {
    "GeoLite2-ASN": (
        {"autonomous_system_number": 15169, "autonomous_system_organization": "GOOGLE"},
        {"asn": 15169, "network": "GOOGLE"},
    ),
    "GeoIP2-Enterprise": (
        {"traits": {"autonomous_system_number": 15169, "autonomous_system_organization": "GOOGLE"}},
        {"asn": 15169, "network": "GOOGLE"},
    ),
    "without an organisation": ({"autonomous_system_number": 64500}, {"asn": 64500}),
    "IPinfo Lite": ({"asn": "AS15169", "as_name": "Google LLC"}, {"asn": 15169, "network": "Google LLC"}),
    "IPinfo ASN": ({"asn": "AS15169", "name": "Google LLC"}, {"asn": 15169, "network": "Google LLC"}),
    "IPinfo, of an address nobody announces": ({"asn": "", "as_name": ""}, {}),
    "an organisation that is no text": (
        {"autonomous_system_number": 1, "autonomous_system_organization": 5},
        {"asn": 1},
    ),
    "a number that is none": ({"autonomous_system_number": True}, {}),
    "a number beyond all": ({"autonomous_system_number": 1 << 63}, {}),
    "no number": ({"asn": "15169", "autonomous_system_organization": "GOOGLE"}, {}),
}
NONE = dict.fromkeys(("anonymous", "vpn", "proxy", "residential_proxy", "tor", "hosting"), False)
IPINFO = dict.fromkeys(("anonymous", "vpn", "proxy", "tor", "hosting"), False)
BLANK = {"vpn": "", "proxy": "", "tor": "", "relay": "", "hosting": "", "service": ""}
ANONYMITY = {
    "a VPN": ({"is_anonymous": True, "is_anonymous_vpn": True}, NONE | {"anonymous": True, "vpn": True}),
    "an open proxy": ({"is_anonymous": True, "is_public_proxy": True}, NONE | {"anonymous": True, "proxy": True}),
    "a residential proxy": (
        {"is_anonymous": True, "is_residential_proxy": True},
        NONE | {"anonymous": True, "proxy": True, "residential_proxy": True},
    ),
    "a Tor exit": ({"is_anonymous": True, "is_tor_exit_node": True}, NONE | {"anonymous": True, "tor": True}),
    "a data centre": ({"is_anonymous": True, "is_hosting_provider": True}, NONE | {"hosting": True}),
    "a VPN in a data centre": (
        {"is_anonymous": True, "is_anonymous_vpn": True, "is_hosting_provider": True},
        NONE | {"anonymous": True, "vpn": True, "hosting": True},
    ),
    "anonymous in no way that is named": ({"is_anonymous": True}, NONE | {"anonymous": True}),
    "IPinfo, nothing": (BLANK, IPINFO),
    "IPinfo, a VPN": (BLANK | {"vpn": "true"}, IPINFO | {"anonymous": True, "vpn": True}),
    "IPinfo, a proxy": (BLANK | {"proxy": True}, IPINFO | {"anonymous": True, "proxy": True}),
    "IPinfo, Tor": (BLANK | {"tor": "True"}, IPINFO | {"anonymous": True, "tor": True}),
    "IPinfo, a relay": (BLANK | {"relay": "true"}, IPINFO | {"anonymous": True}),
    "IPinfo, a data centre": (BLANK | {"hosting": "true"}, IPINFO | {"hosting": True}),
    "IPinfo, not": (BLANK | {"vpn": "false", "tor": 0}, IPINFO),
    "IPinfo Core": ({"is_anonymous": True, "is_hosting": False}, {"anonymous": True, "hosting": False}),
    "IPinfo Plus": (
        {
            "is_anonymous": True,
            "is_hosting": True,
            "is_proxy": False,
            "is_relay": False,
            "is_tor": True,
            "is_vpn": False,
        },
        IPINFO | {"anonymous": True, "tor": True, "hosting": True},
    ),
    "IPinfo, nothing but data centres": ({"hosting": "true"}, {"hosting": True}),
    "GeoIP2-Enterprise, a data centre": ({"traits": {"user_type": "hosting"}}, {"hosting": True}),
    "GeoIP2-Enterprise, a household": ({"traits": {"user_type": "residential"}}, {"hosting": False}),
    "GeoLite2-Country": ({"country": {"iso_code": "US"}, "traits": {}}, {}),
}


@pytest.mark.parametrize(("record", "says"), PLACES.values(), ids=PLACES)
def test_where_an_address_is(record, says):
    assert place_of(record) == says


@pytest.mark.parametrize(("record", "says"), NETWORKS.values(), ids=NETWORKS)
def test_whose_network_it_is(record, says):
    assert network_of(record) == says


@pytest.mark.parametrize(("record", "says"), ANONYMITY.values(), ids=ANONYMITY)
def test_what_conceals_its_user(record, says):
    assert anonymity_of(record) == says


@pytest.mark.parametrize("read", [place_of, network_of, anonymity_of])
def test_an_empty_record_says_nothing(read):
    assert read({}) == {}
