import os
import socket
import stat
import time
from dataclasses import replace

import pytest
from tests.geo import write_database
from tests.maxmind_server import MODIFIED_S, archive, serving
from tests.tls_front import Authority, TlsFront

from modelfence.adapters.geo.databases import GeoDatabases
from modelfence.adapters.geo.download import DownloadError, Publisher, renew

EDITION = "GeoLite2-Country"


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def maxmind():
    with serving() as server:
        yield server


@pytest.fixture
def publisher(maxmind):
    return Publisher(maxmind.url, "42", "license")


@pytest.fixture
def target(tmp_path):
    folder = tmp_path / "databases"
    folder.mkdir()
    return folder / "country.mmdb"


def database(tmp_path, country: str = "US", edition: str = EDITION) -> bytes:
    path = tmp_path / "published.mmdb"
    write_database(path, edition, {"8.8.8.0/24": {"country": {"iso_code": country}}})
    return path.read_bytes()


def country(target) -> str:
    return GeoDatabases(country=target).locate("8.8.8.8").country


def test_a_database_is_fetched_verified_and_put_in_place(maxmind, publisher, target, tmp_path):
    maxmind.publish(EDITION, database(tmp_path))
    assert renew("country", EDITION, target, publisher)
    assert country(target) == "US"
    assert list(target.parent.iterdir()) == [target]
    assert target.stat().st_mtime == MODIFIED_S
    assert stat.S_IMODE(target.stat().st_mode) & 0o444


def test_the_key_is_told_to_maxmind_and_not_to_the_storage_it_redirects_to(maxmind, publisher, target, tmp_path):
    maxmind.publish(EDITION, database(tmp_path))
    renew("country", EDITION, target, publisher)
    key = "Basic NDI6bGljZW5zZQ=="
    assert maxmind.requests == [
        ("maxmind", f"/geoip/databases/{EDITION}/download?suffix=tar.gz", key),
        ("storage", f"/stored/{EDITION}", None),
        ("maxmind", f"/geoip/databases/{EDITION}/download?suffix=tar.gz.sha256", key),
    ]
    assert "license" not in repr(publisher)


def test_what_is_the_latest_is_not_fetched_again(maxmind, publisher, target, tmp_path):
    maxmind.publish(EDITION, database(tmp_path))
    assert renew("country", EDITION, target, publisher)
    before = target.stat().st_ino
    assert not renew("country", EDITION, target, publisher)
    assert target.stat().st_ino == before
    maxmind.publish(EDITION, database(tmp_path, "NO"))
    maxmind.modified_s += 86_400
    assert renew("country", EDITION, target, publisher)
    assert country(target) == "NO"


@pytest.mark.parametrize("there", [b"damaged", "GeoLite2-City"])
def test_a_damaged_file_or_another_edition_is_replaced_however_new_it_is(maxmind, publisher, target, tmp_path, there):
    maxmind.publish(EDITION, database(tmp_path))
    target.write_bytes(there if isinstance(there, bytes) else database(tmp_path, "NO", there))
    assert renew("country", EDITION, target, publisher)
    assert country(target) == "US"


def test_the_file_keeps_its_permissions_and_owner_and_a_link_leads_where_it_led(maxmind, publisher, target, tmp_path):
    maxmind.publish(EDITION, database(tmp_path))
    target.write_bytes(b"")
    target.chmod(0o640)
    owner = (os.getuid(), os.getgid() if os.getuid() else 12_345)
    os.chown(target, *owner)
    link = tmp_path / "link.mmdb"
    link.symlink_to(target)
    assert renew("country", EDITION, link, publisher)
    assert link.is_symlink()
    assert country(target) == "US"
    after = target.stat()
    assert (stat.S_IMODE(after.st_mode), after.st_uid, after.st_gid) == (0o640, *owner)


STATUSES = {
    401: "does not accept this account with this license key",
    403: f"does not let this account have {EDITION}",
    404: f"has no edition {EDITION}",
    429: "counts too many downloads of this account today; try again tomorrow",
    500: f"answers 500 when asked for {EDITION}",
    304: f"answers 304 when asked for {EDITION}",
}


@pytest.mark.parametrize(("status", "words"), STATUSES.items())
def test_a_refusal_says_what_it_means_and_changes_nothing(maxmind, publisher, target, status, words):
    maxmind.status = status
    target.write_bytes(b"in place")
    with pytest.raises(DownloadError) as refused:
        renew("country", EDITION, target, publisher)
    assert str(refused.value) == f"{maxmind.url.removeprefix('http://')} {words}"
    assert target.read_bytes() == b"in place"
    assert list(target.parent.iterdir()) == [target]


def test_a_wrong_key_is_refused(maxmind, publisher, target, tmp_path):
    maxmind.publish(EDITION, database(tmp_path))
    with pytest.raises(DownloadError, match="does not accept this account"):
        renew("country", EDITION, target, replace(publisher, license_key="other"))


@pytest.mark.parametrize("published", ["0" * 64, "", "<html>"])
def test_an_archive_with_another_checksum_is_refused(maxmind, publisher, target, tmp_path, published):
    maxmind.publish(EDITION, database(tmp_path))
    maxmind.checksums[EDITION] = published
    with pytest.raises(DownloadError, match="another checksum than the published one"):
        renew("country", EDITION, target, publisher)
    assert list(target.parent.iterdir()) == []


ARCHIVES = {
    "no archive": (lambda _: b"no archive", "no archive, or a damaged one"),
    "a cut archive": (lambda made: archive({"x/y.mmdb": made * 50})[:-20], "no archive, or a damaged one"),
    "nothing": (lambda _: archive({}), "holds no database"),
    "a link for a database": (lambda _: archive({"x/y.mmdb": None}), "holds no database"),
    "two databases": (lambda made: archive({"x/y.mmdb": made, "x/z.mmdb": made}), "more than one database"),
    "too many files": (lambda _: archive({f"x/{n}": b"" for n in range(200)}), "more than a database and some texts"),
    "no database": (lambda _: archive({"x/y.mmdb": b"nothing"}), "no database of the kind country, or a damaged one"),
}


@pytest.mark.parametrize(("made", "words"), ARCHIVES.values(), ids=ARCHIVES)
def test_an_archive_that_holds_no_database_is_refused(maxmind, publisher, target, tmp_path, made, words):
    maxmind.archives[EDITION] = made(database(tmp_path))
    target.write_bytes(b"in place")
    with pytest.raises(DownloadError, match=words):
        renew("country", EDITION, target, publisher)
    assert target.read_bytes() == b"in place"


def test_a_path_in_the_archive_leads_nowhere(maxmind, publisher, target, tmp_path):
    outside = tmp_path / "outside.mmdb"
    made = database(tmp_path)
    for name in ("../../outside.mmdb", str(outside)):
        maxmind.archives[EDITION] = archive({name: made})
        target.unlink(missing_ok=True)
        assert renew("country", EDITION, target, publisher)
        assert not outside.exists()
        assert country(target) == "US"


def test_a_database_of_another_kind_is_refused(maxmind, publisher, target, tmp_path):
    maxmind.publish("GeoLite2-ASN", database(tmp_path))
    with pytest.raises(DownloadError, match="GeoLite2-ASN is no database of the kind asn, or a damaged one"):
        renew("asn", "GeoLite2-ASN", target, publisher)


def test_what_is_too_large_is_refused_packed_and_unpacked(maxmind, publisher, target):
    maxmind.archives[EDITION] = archive({"x/y.mmdb": bytes(1 << 20)})
    assert len(maxmind.archives[EDITION]) < 10_000
    with pytest.raises(DownloadError, match="more than a database and some texts"):
        renew("country", EDITION, target, replace(publisher, max_bytes=100_000))
    with pytest.raises(DownloadError, match=f"{EDITION} is larger than 100 bytes"):
        renew("country", EDITION, target, replace(publisher, max_bytes=100))


def test_what_takes_too_long_is_given_up(maxmind, publisher, target, tmp_path):
    maxmind.publish(EDITION, database(tmp_path))
    with pytest.raises(DownloadError, match="did not arrive within 0 s"):
        renew("country", EDITION, target, replace(publisher, deadline_s=0.0))


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"location": "http://a..b/"}, "gives an answer that makes no sense when asked for GeoLite2-Country"),
        ({"location": "file:///etc/passwd"}, "answers 302 when asked for GeoLite2-Country"),
        ({"raw": b"\x1b[2J\r\n"}, "can't be reached, or fell silent: �[2J"),
        ({"modified": "Mon, 01 Jan 99999 00:00:00 GMT"}, "gives an answer that makes no sense when asked for"),
    ],
)
def test_an_answer_that_makes_no_sense_is_refused(maxmind, publisher, target, tmp_path, said, words):
    maxmind.publish(EDITION, database(tmp_path))
    for name, value in said.items():
        setattr(maxmind, name, value)
    with pytest.raises(DownloadError) as refused:
        renew("country", EDITION, target, publisher)
    assert words in str(refused.value)
    assert str(refused.value).isprintable()
    assert list(target.parent.iterdir()) == []


def test_a_date_to_come_keeps_no_successor_away(maxmind, publisher, target, tmp_path):
    maxmind.publish(EDITION, database(tmp_path))
    maxmind.modified = "Fri, 01 Jan 2100 00:00:00 GMT"
    assert renew("country", EDITION, target, publisher)
    assert target.stat().st_mtime <= time.time()


def test_whoever_does_not_answer_is_named(publisher, target):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{nobody.getsockname()[1]}"
        with pytest.raises(DownloadError, match=f"{host} can't be reached"):
            renew("country", EDITION, target, replace(publisher, url=f"http://{host}"))


def test_a_folder_that_is_not_there_is_named(publisher, tmp_path):
    with pytest.raises(DownloadError, match=r"nowhere/x\.mmdb can't be written: No such file or directory"):
        renew("country", EDITION, tmp_path / "nowhere" / "x.mmdb", publisher)


def test_the_environments_proxy_is_used(maxmind, publisher, target, tmp_path, monkeypatch):
    maxmind.publish(EDITION, database(tmp_path))
    monkeypatch.setenv("http_proxy", maxmind.url)
    monkeypatch.setenv("no_proxy", "")
    assert renew("country", EDITION, target, replace(publisher, url="http://download.maxmind.test"))
    assert country(target) == "US"


def test_an_encrypted_connection_is_not_left_for_one_that_is_not(maxmind, publisher, target, tmp_path, monkeypatch):
    authority = Authority(tmp_path, "authority")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    maxmind.publish(EDITION, database(tmp_path))
    port = int(maxmind.url.rpartition(":")[2])
    front = TlsFront(authority, authority.certificate("127.0.0.1"), port, asks=False)
    try:
        with pytest.raises(DownloadError, match="redirects to a connection that is not encrypted"):
            renew("country", EDITION, target, replace(publisher, url=f"https://127.0.0.1:{front.port}"))
    finally:
        front.close()
    assert [who for who, *_ in maxmind.requests] == ["maxmind"]
