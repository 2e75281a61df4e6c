"""Address to location, from MaxMind DB files: countries, networks (AS numbers), and anonymous addresses.

Rule: what a database does not say stays unknown. Two schemas of countries are read: that of GeoLite2 and GeoIP2
(Country, City, Enterprise), which DB-IP's databases share, and the flat `country_code` of ip-location-db.

Why `maxminddb` and not the `geoip2` models above it: a model object for each call takes several times as long as the
lookup. The files are mapped into memory, so that workers share it.
"""

import functools
import itertools
from collections.abc import Callable, Mapping
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any

import maxminddb

from modelfence.core.client_address import Address, parse_address
from modelfence.enforcement.ports import Location
from modelfence.source_files import SourceFiles

BUNDLED = Path(__file__).parent / "bundled" / "country.mmdb"
"""Countries for whoever names no database of their own; where it comes from is written beside it."""
REMEMBERED = 8_192
"""Locations kept for callers that come back: a lookup takes tens of microseconds, remembering one less than a tenth."""
_SAMPLE = 1_000
_NOWHERE = Location()
_CONCEALING = ("is_anonymous_vpn", "is_public_proxy", "is_residential_proxy", "is_tor_exit_node")

type _Record = Mapping[str, Any]


class GeoDatabaseError(ValueError):
    """A database can't be used. The message is one sentence that says which, why, and what to do."""


class GeoDatabases:
    """The `GeoDatabase` port over files. Only the country database is needed; None for it is the bundled one."""

    def __init__(
        self,
        *,
        country: Path | None = None,
        asn: Path | None = None,
        anonymous: Path | None = None,
        private: str | None = None,
        files: SourceFiles | None = None,
    ) -> None:
        """Open the databases, where the files have them or else where they are.

        `private` is the country of addresses that are not public. Raises GeoDatabaseError.
        """
        files = files or SourceFiles()
        self._private = Location(private)
        self._country = _open("country", country or BUNDLED, _country_of, files if country else SourceFiles())
        self._asn = asn and _open("asn", asn, _asn_of, files)
        self._anonymous = anonymous and _open("anonymous", anonymous, _anonymous_of, files)
        databases = {"country": self._country, "asn": self._asn, "anonymous": self._anonymous}
        self.built_s = {name: one.metadata().build_epoch for name, one in databases.items() if one}
        """When each database was built, in seconds since the epoch, by `country`, `asn` and `anonymous`."""
        self._remembered = functools.lru_cache(REMEMBERED)(self._look_up)

    def locate(self, ip: str) -> Location:
        """Return what is known of an address: nothing of a text that is no address."""
        return self._remembered(ip)

    def _look_up(self, ip: str) -> Location:
        try:
            address = _public(parse_address(ip))
        except ValueError:
            return _NOWHERE
        if not address.is_global:
            return self._private
        country, continent = _country_of(_record(self._country, address)) or (None, None)
        asn, network = (self._asn and _asn_of(_record(self._asn, address))) or (None, None)
        anonymous = hosting = None
        if self._anonymous:
            # Such a database lists what is anonymous, so what it does not list is known not to be.
            anonymous, hosting = _anonymous_of(_record(self._anonymous, address)) or (False, False)
        return Location(country, continent, asn, network, anonymous, hosting)


def _public(address: Address) -> Address:
    """Return the IPv4 address inside one of 6to4 (RFC 3056): not every database has an alias there."""
    return (address.sixtofour or address) if isinstance(address, IPv6Address) else address


def _record(reader: maxminddb.Reader, address: Address) -> _Record:
    """Return the record of an address, empty when there is none."""
    if isinstance(address, IPv6Address) and reader.metadata().ip_version == 4:  # noqa: PLR2004 - IPv4
        return {}
    found = reader.get(address)
    return found if isinstance(found, dict) else {}


def _country_of(record: _Record) -> tuple[str | None, str | None] | None:
    """Return country and continent, or None for a record that says nothing of either."""
    if flat := record.get("country_code"):
        return flat, None
    country, continent = record.get("country", {}).get("iso_code"), record.get("continent", {}).get("code")
    return (country, continent) if country or continent else None


def _asn_of(record: _Record) -> tuple[int, str | None] | None:
    """Return AS number and organisation, or None for a record that has none."""
    number = record.get("autonomous_system_number")
    return None if number is None else (number, record.get("autonomous_system_organization"))


def _anonymous_of(record: _Record) -> tuple[bool, bool] | None:
    """Return whether the address conceals its user and whether it is in a data centre, or None for another kind.

    MaxMind's `is_anonymous` is set for data centres as well, where most callers of an API are: it does not count there.
    """
    if not any(key.startswith("is_") for key in record):
        return None
    hosting = bool(record.get("is_hosting_provider"))
    concealed = any(record.get(key) for key in _CONCEALING) or (bool(record.get("is_anonymous")) and not hosting)
    return concealed, hosting


def _open(name: str, path: Path, read: Callable[[_Record], object], files: SourceFiles) -> maxminddb.Reader:
    """Open a database and check that its first records are of the kind asked for."""
    remedy = f"name a .mmdb file of that kind under `geo.{name}`"
    try:
        reader = maxminddb.open_database(files.database(path))
        first = itertools.islice(reader, _SAMPLE)
        fits = any(isinstance(record, dict) and read(record) is not None for _network, record in first)
    except OSError as error:
        raise GeoDatabaseError(f"can't open the {name} database {path}: {error.strerror}; {remedy}") from None
    except (maxminddb.InvalidDatabaseError, ValueError):
        raise GeoDatabaseError(f"{path} is no MaxMind DB file, or a damaged one; {remedy}") from None
    if not fits:
        kind = reader.metadata().database_type
        raise GeoDatabaseError(f"{path} is a database of the type `{kind}`, not of the kind {name}; {remedy}")
    return reader
