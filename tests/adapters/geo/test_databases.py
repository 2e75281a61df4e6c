import random
from datetime import UTC, datetime
from ipaddress import IPv4Address, ip_network
from pathlib import Path
from typing import Any

import maxminddb
import pytest
from maxminddb.decoder import Decoder
from tests.geo import write_database

from modelfence.adapters.geo.databases import BUNDLED, GeoDatabaseError, GeoDatabases
from modelfence.core.location import LOCATED, Location

US = {
    "continent": {"code": "NA", "geoname_id": 6255149, "names": {"en": "North America", "de": "Nordamerika"}},
    "country": {"iso_code": "US", "geoname_id": 6252001, "names": {"en": "United States", "de": "USA"}},
}
ENTERPRISE = US | {
    "subdivisions": [{"iso_code": "CA"}],
    "traits": {
        "autonomous_system_number": 15169,
        "autonomous_system_organization": "GOOGLE",
        "user_type": "hosting",
    },
}
# The IANA IPv4 special-purpose registry, and multicast.
SPECIAL = [
    ip_network(network)
    for network in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24",
        "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
    )
]  # fmt: skip


@pytest.fixture
def write(tmp_path):
    """A function that writes a database of networks and their records."""

    def write(database_type: str, records: dict[str, Any], *, ip_version: int = 6) -> Path:
        path = tmp_path / f"{database_type}.mmdb"
        write_database(path, database_type, records, ip_version=ip_version)
        return path

    return write


@pytest.fixture(scope="module")
def bundled() -> GeoDatabases:
    return GeoDatabases()


@pytest.mark.parametrize(
    ("ip", "country", "continent"),
    [
        ("8.8.8.8", "US", "NA"),
        ("175.45.176.1", "KP", "AS"),
        ("2001:4860:4860::8888", "US", "NA"),
        ("::ffff:8.8.8.8", "US", "NA"),
        ("::FFFF:808:808", "US", "NA"),
        ("2002:808:808::1", "US", "NA"),
        ("1.1.1.1", "AU", "OC"),
        ("193.0.6.139", "NL", "EU"),
        ("196.216.2.1", "ZA", "AF"),
        ("200.160.2.3", "BR", "SA"),
    ],
)
def test_the_bundled_database_knows_countries_and_continents(bundled, ip, country, continent):
    assert bundled.locate(ip) == Location(country, continent, eu=country == "NL")


@pytest.mark.parametrize(
    "ip",
    [
        "10.0.0.1", "127.0.0.1", "169.254.1.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "203.0.113.9", "0.0.0.0",
        "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0", "fd00::1", "2001:db8::1", "::ffff:192.168.1.1",
        "2002:a00:1::1", "", "x", "8.8.8", "8.8.8.8.8", "134744072", "0x8.8.8.8", "8.8.8.08", "8.8.8.8:443", "8.8.8.8 ",
        "[2001:4860:4860::8888]", "\u0668.8.8.8", "8.8.8.8\0", "a" * 100_000,
    ],
)  # fmt: skip
def test_what_is_private_or_no_address_is_nowhere(bundled, ip):
    assert bundled.locate(ip) == Location()


@pytest.mark.parametrize(
    "ip", ["10.0.0.1", "127.0.0.1", "::1", "fd00::1", "::ffff:10.0.0.1", "100.64.0.1", "169.254.1.1", "fe80::1%eth0"]
)
def test_private_addresses_count_as_the_country_that_is_named_for_them(ip):
    geo = GeoDatabases(private="DE")
    assert geo.locate(ip) == Location("DE", eu=True)
    assert geo.locate("8.8.8.8").country == "US"
    assert geo.locate("x") == Location()


@pytest.mark.parametrize(
    "ip",
    [
        "203.0.113.9", "0.0.0.0", "240.0.0.1", "224.0.0.1", "2001:db8::1", "3fff::1", "ff0e::1", "2002:a00:1::1",
        # Behind a translator or a tunnel anyone may stand: what is inside is not public, or not to be had.
        "64:ff9b::10.0.0.1", "64:ff9b:1::8.8.8.8", "2001:0:808:808::1", "::8.8.8.8",
    ],
)  # fmt: skip
def test_what_is_neither_public_nor_private_counts_as_no_country(ip):
    assert GeoDatabases(private="DE").find(ip).location == Location()


@pytest.mark.parametrize(
    ("ip", "read_as", "said_by"),
    [
        ("64:ff9b::8.8.8.8", "8.8.8.8", ("country", "asn")),
        ("2002:808:808::1", "8.8.8.8", ("country", "asn")),
        ("::ffff:1.1.1.1", "1.1.1.1", ("country",)),
        ("10.0.0.1", "10.0.0.1", ("geo.private",)),
        ("fe80::1%eth0", "fe80::1", ("geo.private",)),
        ("203.0.113.9", "203.0.113.9", ()),
        ("x", None, ()),
    ],
)
def test_it_is_told_how_an_address_was_read_and_which_database_knew_it(write, ip, read_as, said_by):
    asn = write("GeoLite2-ASN", {"8.8.8.0/24": {"autonomous_system_number": 15169}})
    found = GeoDatabases(asn=asn, private="DE").find(ip)
    assert (found.read_as, found.said_by) == (read_as, said_by)


def test_a_database_of_countries_that_knows_more_is_asked_for_it(write):
    country = write("GeoIP2-Enterprise", {"8.8.8.0/24": ENTERPRISE})
    geo = GeoDatabases(country=country)
    assert geo.locate("8.8.8.8") == Location("US", "NA", 15169, "GOOGLE", hosting=True, region="US-CA", eu=False)
    asn = write("GeoLite2-ASN", {"8.8.8.0/24": {"autonomous_system_number": 1}})
    assert GeoDatabases(country=country, asn=asn).locate("8.8.8.8").asn == 1


def test_what_no_database_ever_says_is_known_from_the_start(write):
    country = write("GeoIP2-Enterprise", {"8.8.8.0/24": ENTERPRISE})
    anonymous = write("ipinfo privacy", {"8.8.8.0/24": {"vpn": "true", "proxy": "", "tor": "", "hosting": ""}})
    unknown = {"client.registered_country", "client.residential_proxy"}
    assert GeoDatabases(country=country, anonymous=anonymous).never_says == unknown
    bundled = {"client.country", "client.continent", "client.eu"}
    assert GeoDatabases().never_says == {f"client.{name}" for name in LOCATED} - bundled


def test_what_a_database_does_not_tell_apart_stays_unknown_of_those_it_does_not_list(write):
    anonymous = write("ipinfo privacy", {"8.8.8.0/24": {"vpn": "true", "proxy": "", "tor": "", "hosting": ""}})
    location = GeoDatabases(anonymous=anonymous).locate("1.1.1.1")
    assert (location.anonymous, location.vpn, location.tor, location.hosting) == (False, False, False, False)
    assert location.residential_proxy is None


def test_the_bundled_database_locates_99_percent_of_the_routable_addresses(bundled):
    chance = random.Random(20260617)  # noqa: S311 - the same addresses each time
    addresses = (IPv4Address(chance.getrandbits(32)) for _ in range(25_000))
    routable = [address for address in addresses if not any(address in special for special in SPECIAL)]
    located = sum(bundled.locate(str(address)).country is not None for address in routable)
    assert located / len(routable) >= 0.99


def test_every_country_of_the_bundled_database_has_a_continent():
    # Walking its million networks takes too long here; the distinct leaves of its tree are read instead.
    with maxminddb.open_database(BUNDLED) as reader:
        metadata = reader.metadata()
    assert metadata.record_size == 24
    data, tree_size = BUNDLED.read_bytes(), metadata.node_count * 6
    pointers = {
        pointer for at in range(0, tree_size, 3) if (pointer := int.from_bytes(data[at : at + 3])) > metadata.node_count
    }
    decoder = Decoder(data, tree_size + 16)
    records: list[Any] = [decoder.decode(tree_size + at - metadata.node_count)[0] for at in pointers]
    continents = {record["country"]["iso_code"]: record["continent"]["code"] for record in records}
    assert len(continents) == len(pointers) == 251
    assert set(continents.values()) == {"AF", "AN", "AS", "EU", "NA", "OC", "SA"}
    assert [continents[code] for code in ("US", "RU", "TR", "AU", "ZA", "BR", "AQ", "XK")] == [
        "NA", "EU", "AS", "OC", "AF", "SA", "AN", "EU",
    ]  # fmt: skip


def test_the_bundled_database_carries_the_date_of_its_source(bundled):
    assert {name: datetime.fromtimestamp(at, UTC).date().isoformat() for name, at in bundled.built_s.items()} == {
        "country": "2026-06-17"
    }


@pytest.mark.parametrize(
    ("database_type", "record", "location"),
    [
        (
            "GeoLite2-Country",
            US | {"registered_country": {"iso_code": "CA"}},
            Location("US", "NA", registered_country="CA", eu=False),
        ),
        ("GeoIP2-City", US | {"city": {"names": {"en": "Mountain View"}}}, Location("US", "NA", eu=False)),
        ("DBIP-Country-Lite", US, Location("US", "NA", eu=False)),
        ("country ipvAll", {"country_code": "US"}, Location("US", eu=False)),
        ("GeoLite2-Country", {"continent": {"code": "EU"}}, Location(None, "EU")),
    ],
)
def test_each_schema_of_countries_is_read(write, database_type, record, location):
    geo = GeoDatabases(country=write(database_type, {"8.8.8.0/24": record, "2001:4860::/32": record}))
    for ip in ("8.8.8.8", "::ffff:8.8.8.8", "2001:4860:4860::8888"):
        assert geo.locate(ip) == location
    for ip in ("9.9.9.9", "2620:fe::9", "10.0.0.1"):
        assert geo.locate(ip) == Location()


def test_where_a_network_is_registered_is_not_where_it_is(write):
    records = {"8.8.8.0/24": US, "9.9.9.0/24": {"registered_country": {"iso_code": "CA"}}}
    assert GeoDatabases(country=write("GeoLite2-Country", records)).locate("9.9.9.9") == Location(
        registered_country="CA"
    )


def test_a_database_of_ipv4_alone_knows_nothing_of_ipv6(write):
    geo = GeoDatabases(country=write("GeoLite2-Country", {"8.8.8.0/24": US}, ip_version=4))
    assert geo.locate("8.8.8.8") == geo.locate("::ffff:8.8.8.8") == Location("US", "NA", eu=False)
    assert geo.locate("2001:4860:4860::8888") == Location()


def test_networks_come_from_a_database_of_their_own(write):
    google = {"autonomous_system_number": 15169, "autonomous_system_organization": "GOOGLE"}
    geo = GeoDatabases(asn=write("GeoLite2-ASN", {"8.8.8.0/24": google, "9.9.9.0/24": {"autonomous_system_number": 1}}))
    assert geo.locate("8.8.8.8") == Location("US", "NA", 15169, "GOOGLE", eu=False)
    assert (geo.locate("9.9.9.9").asn, geo.locate("9.9.9.9").network) == (1, None)
    assert (geo.locate("1.1.1.1").asn, geo.locate("1.1.1.1").network) == (None, None)
    assert set(geo.built_s) == {"country", "asn"}


@pytest.mark.parametrize(
    ("record", "anonymous", "hosting"),
    [
        ({"is_anonymous": True, "is_anonymous_vpn": True}, True, False),
        ({"is_anonymous": True, "is_tor_exit_node": True}, True, False),
        ({"is_anonymous": True, "is_public_proxy": True, "is_hosting_provider": True}, True, True),
        ({"is_anonymous": True, "is_residential_proxy": True}, True, False),
        # MaxMind counts data centres as anonymous; most who call an API are in one.
        ({"is_anonymous": True, "is_hosting_provider": True}, False, True),
        ({"is_anonymous": True}, True, False),
        ({"is_anonymous": False}, False, False),
    ],
)
def test_anonymous_addresses_are_those_that_conceal_their_user(write, record, anonymous, hosting):
    geo = GeoDatabases(anonymous=write("GeoIP2-Anonymous-IP", {"8.8.8.0/24": record}))
    assert (geo.locate("8.8.8.8").anonymous, geo.locate("8.8.8.8").hosting) == (anonymous, hosting)


def test_an_address_the_anonymous_database_does_not_list_is_known_to_be_open(write):
    geo = GeoDatabases(anonymous=write("GeoIP2-Anonymous-IP", {"8.8.8.0/24": {"is_anonymous": True}}))
    assert (geo.locate("9.9.9.9").anonymous, geo.locate("9.9.9.9").hosting) == (False, False)
    assert (geo.locate("10.0.0.1").anonymous, geo.locate("10.0.0.1").hosting) == (None, None)


def test_of_ipv6_a_list_of_ipv4_addresses_tells_nothing(write):
    geo = GeoDatabases(anonymous=write("IPv4-VPN", {"8.8.8.0/24": {"is_anonymous": True}}, ip_version=4))
    assert (geo.locate("9.9.9.9").anonymous, geo.locate("2001:4860:4860::8888").anonymous) == (False, None)


@pytest.fixture
def damaged(write):
    """A function that writes a database in which the record of 200.0.0.0/24 can't be read."""

    def write_damaged(kind: str, record: dict[str, Any]) -> Path:
        sound = {f"8.{high}.{low}.0/24": record for high in range(5) for low in range(250)}
        path = write(kind, sound | {"200.0.0.0/24": record | {"note": "to be damaged"}})
        path.write_bytes(path.read_bytes().replace(b"to be damaged", b"\xff" * 13))
        return path

    return write_damaged


def test_what_can_not_be_read_is_unknown_and_said_once(damaged, caplog):
    country, anonymous = damaged("GeoLite2-Country", US), damaged("GeoIP2-Anonymous-IP", {"is_anonymous": True})
    geo = GeoDatabases(country=country, anonymous=anonymous)
    assert geo.locate("8.1.1.1").country == "US"
    for ip in ("200.0.0.1", "200.0.0.2"):
        assert geo.locate(ip) == Location(), "least of all is it known not to be anonymous"
    assert [record.message for record in caplog.records] == [
        f"{path} is damaged: of callers that can't be looked up there, it tells nothing"
        for path in (country, anonymous)
    ]


def test_without_a_database_of_their_kind_facts_are_unknown(bundled):
    location = bundled.locate("8.8.8.8")
    assert (location.asn, location.network, location.anonymous, location.hosting) == (None, None, None, None)


def test_a_file_that_is_missing_is_refused_with_what_to_do(tmp_path):
    path = tmp_path / "none.mmdb"
    with pytest.raises(GeoDatabaseError) as refused:
        GeoDatabases(country=path)
    assert str(refused.value) == (
        f"can't open the country database {path}: No such file or directory; "
        "name a .mmdb file of that kind under `geo.country`"
    )


@pytest.mark.parametrize("part", [slice(0), slice(10), slice(1_000), slice(-200, None)])
def test_a_file_that_is_no_whole_database_is_refused(write, part):
    networks = {f"8.{high}.0.0/16": US | {"city": {"names": {"en": f"place {high}"}}} for high in range(256)}
    path = write("GeoLite2-Country", networks)
    path.write_bytes(path.read_bytes()[part])
    with pytest.raises(GeoDatabaseError, match=r"is no MaxMind DB file, or a damaged one; name a \.mmdb file"):
        GeoDatabases(country=path)


def test_a_file_whose_tree_leads_back_into_itself_is_refused_and_ends_no_process(write):
    path = write("GeoLite2-Country", {"8.8.0.0/16": US})
    with maxminddb.open_database(path) as reader:
        last = reader.metadata().node_count - 1
    whole, node_bytes = path.read_bytes(), 6
    path.write_bytes(whole[: last * node_bytes] + last.to_bytes(3) + whole[last * node_bytes + 3 :])
    with pytest.raises(GeoDatabaseError, match="is no MaxMind DB file, or a damaged one"):
        GeoDatabases(country=path)


@pytest.mark.parametrize("name", ["country", "asn", "anonymous"])
def test_a_folder_is_refused(tmp_path, name):
    with pytest.raises(GeoDatabaseError, match=f"{tmp_path}: Is a directory; .* under `geo.{name}`"):
        GeoDatabases(**{name: tmp_path})


@pytest.mark.parametrize("name", ["country", "asn", "anonymous"])
@pytest.mark.parametrize("kind", ["country", "asn", "anonymous", "none"])
def test_a_database_of_another_kind_is_refused(write, name, kind):
    record = {"country": US, "asn": {"autonomous_system_number": 1}, "anonymous": {"is_anonymous": True}, "none": {}}[
        kind
    ]
    path = write("Something", {"8.8.8.0/24": record})
    if name == kind:
        GeoDatabases(**{name: path})
        return
    with pytest.raises(GeoDatabaseError) as refused:
        GeoDatabases(**{name: path})
    assert str(refused.value) == (
        f"{path} is a database of the type `Something`, not of the kind {name}; "
        f"name a .mmdb file of that kind under `geo.{name}`"
    )
