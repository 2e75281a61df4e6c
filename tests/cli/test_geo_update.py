"""`modelfence geo update`, against a server that speaks as MaxMind's does."""

import json
import signal
import subprocess

import pytest
from tests.cli.conftest import COMMAND, WITHIN_S
from tests.geo import write_database
from tests.maxmind_server import serving
from tests.redis_servers import until

SETTINGS = """\
geo: {{country: country.mmdb, asn: asn.mmdb}}
geo_update:
  account: 42
  license_key: {{env: MAXMIND_LICENSE_KEY}}
  country: GeoLite2-City
  asn: GeoLite2-ASN
  url: {url}
"""


@pytest.fixture
def maxmind(tmp_path):
    """A server with two editions, and settings that name them."""
    with serving() as server:
        path = tmp_path / "published"
        write_database(path, "GeoLite2-City", {"8.8.8.0/24": {"country": {"iso_code": "US"}}})
        server.publish("GeoLite2-City", path.read_bytes())
        write_database(path, "GeoLite2-ASN", {"8.8.8.0/24": {"autonomous_system_number": 15169}})
        server.publish("GeoLite2-ASN", path.read_bytes())
        (tmp_path / "modelfence.yaml").write_text(SETTINGS.format(url=server.url))
        yield server


@pytest.mark.usefixtures("maxmind")
def test_databases_are_fetched_and_then_they_are_the_latest(modelfence, tmp_path):
    key = {"MAXMIND_LICENSE_KEY": "license", "no_proxy": "127.0.0.1"}
    first = modelfence("geo", "update", **key)
    assert (first.stderr, first.returncode) == ("", 0)
    assert first.stdout == (
        f"country: GeoLite2-City is renewed in {tmp_path}/country.mmdb\n"
        f"asn: GeoLite2-ASN is renewed in {tmp_path}/asn.mmdb\n"
    )
    second = modelfence("geo", "update", "--format", "json", **key)
    assert second.returncode == 0
    assert [(one["database"], one["edition"], one["renewed"]) for one in json.loads(second.stdout)] == [
        ("country", "GeoLite2-City", False),
        ("asn", "GeoLite2-ASN", False),
    ]
    shown = modelfence("geo", "show", "8.8.8.8", "--format", "json")
    assert json.loads(shown.stdout)[0]["facts"]["client.asn"] == 15169


def test_a_fence_that_runs_goes_on_with_what_was_fetched(
    modelfence, start_modelfence, fetch, upstream, tmp_path, maxmind
):
    key = {"MAXMIND_LICENSE_KEY": "license", "no_proxy": "127.0.0.1"}
    assert modelfence("geo", "update", **key).returncode == 0
    (tmp_path / "policy.yaml").write_text(
        "version: 1\naccess:\n  - {id: all, allow: 'true'}\n  - {id: kp, deny: client.country == 'KP'}\n"
    )
    with (tmp_path / "modelfence.yaml").open("a") as settings:
        settings.write(
            "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\npolicy: policy.yaml\ntrusted_proxies: [127.0.0.0/8]\n"
            f"upstreams: [{{name: up, dialect: openai, url: '{upstream}'}}]\n"
        )
    (tmp_path / "temporary").mkdir()
    fence = start_modelfence("run", TMPDIR=str(tmp_path / "temporary"))
    url = f"{fence.url}/v1/chat/completions"
    assert fetch(url)[0] == 200
    write_database(tmp_path / "published", "GeoLite2-City", {"8.8.8.0/24": {"country": {"iso_code": "KP"}}})
    maxmind.publish("GeoLite2-City", (tmp_path / "published").read_bytes())
    maxmind.modified_s += 86_400
    assert modelfence("geo", "update", **key).stdout.startswith("country: GeoLite2-City is renewed")
    until(lambda: fetch(url)[0] in (401, 403), "the new database to be used")


def test_one_that_can_not_be_had_does_not_keep_the_other_back(modelfence, tmp_path, maxmind):
    del maxmind.archives["GeoLite2-City"]
    ended = modelfence("geo", "update", MAXMIND_LICENSE_KEY="license", no_proxy="127.0.0.1")
    assert ended.returncode == 2
    assert (
        ended.stderr == f"modelfence geo: country: {maxmind.url.removeprefix('http://')} has no edition GeoLite2-City\n"
    )
    assert "asn: GeoLite2-ASN is renewed" in ended.stdout
    assert not (tmp_path / "country.mmdb").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_that_is_stopped_leaves_nothing_behind(environment_of, tmp_path, maxmind, number):
    (tmp_path / "country.mmdb").write_bytes(b"in place")
    maxmind.may_end.clear()
    variables = environment_of(MAXMIND_LICENSE_KEY="license", no_proxy="127.0.0.1")
    with subprocess.Popen(  # noqa: S603 - our own command
        [*COMMAND, "geo", "update"], cwd=tmp_path, env=variables, stderr=subprocess.PIPE, text=True
    ) as process:
        until(lambda: any(who == "storage" for who, _, _ in maxmind.requests), "the storage to be asked")
        process.send_signal(number)
        _, said = process.communicate(timeout=WITHIN_S)
    assert (process.returncode, said) == (2, "modelfence geo: stopped; what was in place still is\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["country.mmdb", "modelfence.yaml", "published"]
    assert (tmp_path / "country.mmdb").read_bytes() == b"in place"


LACKING = {
    "no key": ({}, "takes its license key from MAXMIND_LICENSE_KEY, which is not set"),
    "no account": ({"account: 42": "account: null"}, "set `geo_update.account` and `geo_update.license_key`"),
    "no place": (
        {"asn: asn.mmdb": "asn: null"},
        "there is no place for GeoLite2-ASN: give the path of a file under `geo.asn`",
    ),
    "no edition": (
        {"country: GeoLite2-City": "country: null", "asn: GeoLite2-ASN": "asn: null"},
        "there is nothing to fetch: name an edition under `geo_update.country`",
    ),
}


@pytest.mark.parametrize(("changes", "words"), LACKING.values(), ids=LACKING)
def test_what_is_missing_is_said(modelfence, tmp_path, maxmind, changes, words):
    file = tmp_path / "modelfence.yaml"
    text = file.read_text()
    for old, new in changes.items():
        text = text.replace(old, new)
    file.write_text(text)
    ended = modelfence("geo", "update", **({"MAXMIND_LICENSE_KEY": "license"} if changes else {}))
    assert (ended.returncode, ended.stdout) == (2, "")
    assert words in ended.stderr
    assert maxmind.requests == []
