"""Make the bundled country database. Run once per release of its source; the result is committed.

    python tools/bundle_country_database.py SOURCE.mmdb proxy/modelfence/adapters/geo/bundled/country.mmdb

SOURCE.mmdb is `geo-whois-asn-country.mmdb` of the npm package `@ip-location-db/geo-whois-asn-country-mmdb` in the
version below. It is rewritten into the schema of GeoLite2-Country, so that one reader serves both, with the continent
added and without what the source says of addresses that belong to nobody (private, documentation, 6to4). The rewrite
is checked against its source before it is put in place, and the same source gives the same bytes. It takes a few
minutes, since each of a million networks is inserted by itself.
"""

import hashlib
import random
import sys
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from pathlib import Path
from typing import Any

import maxminddb
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from modelfence.core.continents import CONTINENT_OF

SOURCE_VERSION = "2.3.2026061719"
SOURCE_SHA256 = "c5f7c0e9bd6a6ccb5a2e9634764544a0d08bd0bd8788b8aedfac87bea184c652"
DATABASE_TYPE = "modelfence-bundled-Country"
SAMPLE = 200_000
SEED = 20_260_617


# Of the IANA special-purpose registries, what the source has entries for although it is no place on Earth.
NOWHERE = [
    ip_network(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3",
        "::/16", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
        "5f00::/16", "fc00::/6", "fe00::/7",
    )
]  # fmt: skip

type Network = IPv4Network | IPv6Network


class Writer(MMDBWriter):
    """Writes the build date of the source instead of today's."""

    def __init__(self, build_epoch: int) -> None:
        description = f"Countries by address, from @ip-location-db/geo-whois-asn-country-mmdb {SOURCE_VERSION}"
        super().__init__(6, DATABASE_TYPE, ["en"], description, ipv4_compatible=True)
        self.build_epoch = build_epoch

    def _build_meta(self) -> dict[str, Any]:
        return {**super()._build_meta(), "build_epoch": self.build_epoch}


def main(source: Path, target: Path) -> None:
    """Rewrite the source, check the result, and only then put it in place."""
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    if digest != SOURCE_SHA256:
        sys.exit(f"{source} is not the file of version {SOURCE_VERSION}: its SHA-256 is {digest}")
    reader = maxminddb.open_database(source)
    writer = Writer(reader.metadata().build_epoch)
    records = {country: record_of(country) for country in CONTINENT_OF}
    for network, country in located(reader):
        writer.insert_network(IPSet([str(network)]), records[country])
    draft = target.with_suffix(".draft")
    writer.to_db_file(str(draft))
    check(reader, maxminddb.open_database(draft))
    draft.replace(target)
    print(f"{target}: {target.stat().st_size:,} bytes, SHA-256 {hashlib.sha256(target.read_bytes()).hexdigest()}")


def record_of(country: str) -> dict[str, Any]:
    """Return a record as GeoLite2-Country has it."""
    return {"continent": {"code": CONTINENT_OF[country]}, "country": {"iso_code": country}}


def located(reader: maxminddb.Reader) -> Iterator[tuple[Network, str]]:
    """Yield each network with its country, except those that are nowhere."""
    records: Iterator[tuple[Network, Any]] = iter(reader)
    for network, record in records:
        if not any(special.version == network.version and network.overlaps(special) for special in NOWHERE):
            yield network, record["country_code"]


def check(source: maxminddb.Reader, made: maxminddb.Reader) -> None:
    """End with an error unless both say the same of every network of the source, and of addresses at random."""
    for network, country in located(source):
        expect(made, network.network_address, country)
        expect(made, network.broadcast_address, country)
    chance = random.Random(SEED)  # noqa: S311 - the same addresses each time
    for _ in range(SAMPLE):
        for address in (IPv4Address(chance.getrandbits(32)), IPv6Address((1 << 125) | chance.getrandbits(125))):
            found: Any = None if any(address in special for special in NOWHERE) else source.get(address)
            expect(made, address, found and found["country_code"])


def expect(made: maxminddb.Reader, address: IPv4Address | IPv6Address, country: str | None) -> None:
    """End with an error when the database says another country."""
    found = made.get(address)
    if found != (record_of(country) if country else None):
        sys.exit(f"{address} should be in {country}; the database made says {found}")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
