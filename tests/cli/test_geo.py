"""`modelfence geo show` and `status`."""

import json
import re
from pathlib import Path

import pytest
from tests.geo import write_database

GOLDEN = Path(__file__).parent / "geo_show.txt"
CITY = {
    "8.8.8.0/24": {
        "continent": {"code": "NA"},
        "country": {"iso_code": "US"},
        "registered_country": {"iso_code": "US"},
        "subdivisions": [{"iso_code": "CA"}],
    },
    "5.100.64.0/20": {
        "continent": {"code": "EU"},
        "country": {"iso_code": "UA"},
        "registered_country": {"iso_code": "RU"},
        "subdivisions": [{"iso_code": "43"}],
    },
    "102.35.0.0/16": {"continent": {"code": "AF"}, "country": {"iso_code": "RE", "is_in_european_union": True}},
    "192.42.116.0/24": {"continent": {"code": "EU"}, "country": {"iso_code": "NL", "is_in_european_union": True}},
    "2001:67c:26f4::/48": {"registered_country": {"iso_code": "AT"}},
    "2a00:1450::/32": {"continent": {"code": "EU"}, "country": {"iso_code": "IE", "is_in_european_union": True}},
}
ASN = {
    "8.8.8.0/24": {"autonomous_system_number": 15169, "autonomous_system_organization": "GOOGLE"},
    "192.42.116.0/24": {"autonomous_system_number": 1101, "autonomous_system_organization": "SURF B.V.\x1b[2J"},
    "2a00:1450::/32": {"autonomous_system_number": 15169, "autonomous_system_organization": "GOOGLE"},
}
ANONYMOUS = {
    "8.8.8.0/24": {"is_anonymous": True, "is_hosting_provider": True},
    "192.42.116.0/24": {"is_anonymous": True, "is_tor_exit_node": True},
    "102.35.0.0/16": {"is_anonymous": True, "is_residential_proxy": True},
}
AWKWARD = (
    "8.8.8.8", "::ffff:8.8.8.8", "::FFFF:808:808", "64:ff9b::8.8.8.8", "2002:808:808::1", "::8.8.8.8", "5.100.64.1",
    "102.35.0.1", "192.42.116.16", "2001:67c:26f4::1", "2A00:1450:0:0:0:0:0:1", "1.1.1.1",
    "10.0.0.1", "100.64.0.1", "127.0.0.1", "169.254.169.254", "::1", "fd00::1", "fe80::1%eth0", "::ffff:10.0.0.1",
    "64:ff9b::10.0.0.1", "64:ff9b:1::8.8.8.8", "2001:0:808:808::1", "2002:a00:1::1", "203.0.113.9", "2001:db8::1",
    "224.0.0.1", "ff02::1", "255.255.255.255", "0.0.0.0", "::",
    "8.8.8", "8.8.8.08", "134744072", "0x8.8.8.8", "8.8.8.8:443", "[::1]", "localhost", "8.8.8.8/32", "",
)  # fmt: skip


@pytest.fixture
def databases(tmp_path):
    """The settings of three small databases."""
    write_database(tmp_path / "city.mmdb", "GeoIP2-City", CITY)
    write_database(tmp_path / "asn.mmdb", "GeoLite2-ASN", ASN)
    write_database(tmp_path / "anonymous.mmdb", "GeoIP2-Anonymous-IP", ANONYMOUS)
    settings = "geo: {country: city.mmdb, asn: asn.mmdb, anonymous: anonymous.mmdb, private: DE}\n"
    (tmp_path / "modelfence.yaml").write_text(settings)
    return tmp_path


@pytest.mark.usefixtures("databases")
def test_awkward_addresses_are_located_as_the_golden_file_says(modelfence):
    ended = modelfence("geo", "show", *AWKWARD)
    assert ended.stdout == GOLDEN.read_text()
    assert (ended.stderr, ended.returncode) == ("", 1)


@pytest.mark.usefixtures("databases")
def test_addresses_can_be_had_as_json(modelfence):
    ended = modelfence("geo", "show", "::ffff:5.100.64.1", "--format", "json")
    assert ended.returncode == 0
    assert json.loads(ended.stdout) == [
        {
            "address": "::ffff:5.100.64.1",
            "read_as": "5.100.64.1",
            "facts": {
                "client.country": "UA",
                "client.registered_country": "RU",
                "client.region": "UA-43",
                "client.continent": "EU",
                "client.eu": False,
                "client.anonymous": False,
                "client.vpn": False,
                "client.proxy": False,
                "client.residential_proxy": False,
                "client.tor": False,
                "client.hosting": False,
            },
            "said_by": ["country"],
        }
    ]


def test_the_status_names_each_database_with_its_age(modelfence, databases):
    ended = modelfence("geo", "status", "--format", "json")
    assert (ended.returncode, ended.stderr) == (0, "")
    rows = json.loads(ended.stdout)
    assert [(row["database"], row["type"], row["age_days"]) for row in rows] == [
        ("country", "GeoIP2-City", 0), ("asn", "GeoLite2-ASN", 0), ("anonymous", "GeoIP2-Anonymous-IP", 0),
    ]  # fmt: skip
    path = databases / "city.mmdb"
    assert (rows[0]["path"], rows[0]["bytes"]) == (str(path), path.stat().st_size)
    assert rows[0]["nodes"] > 100
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", rows[0]["built"])


def test_the_status_without_settings_is_that_of_the_bundled_database(modelfence):
    ended = modelfence("geo", "status")
    head, row = ended.stdout.splitlines()
    assert head.split() == ["database", "type", "built", "days", "nodes", "bytes", "path"]
    assert row.split()[:3] == ["country", "modelfence-bundled-Country", "2026-06-17"]
    assert ended.returncode == 0


def test_a_database_that_can_not_be_used_is_a_bad_status_beside_the_others(modelfence, databases):
    (databases / "asn.mmdb").write_bytes(b"nothing")
    ended = modelfence("geo", "status")
    assert ended.returncode == 1
    assert [line.split()[0] for line in ended.stdout.splitlines()] == ["database", "country", "anonymous"]
    assert "asn.mmdb is no MaxMind DB file, or a damaged one" in ended.stderr
    shown = modelfence("geo", "show", "8.8.8.8")
    assert (shown.returncode, shown.stdout) == (2, "")
    assert "asn.mmdb is no MaxMind DB file" in shown.stderr


@pytest.mark.parametrize("command", [["show", "8.8.8.8"], ["status"]])
def test_settings_that_are_wrong_keep_it_from_being_done(modelfence, tmp_path, command):
    (tmp_path / "modelfence.yaml").write_text("geo: {contry: x}\n")
    ended = modelfence("geo", *command)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "unknown setting `contry`" in ended.stderr
