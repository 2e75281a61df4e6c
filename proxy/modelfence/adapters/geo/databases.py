"""Address to location, from MaxMind DB files: countries, networks (AS numbers), and anonymous addresses.

Rule: what a database does not say stays unknown. What they say is read by `schemas`.

Why `maxminddb` and not the `geoip2` models above it: a model object for each call takes several times as long as the
lookup. The files are mapped into memory, so that workers share it.
"""

import functools
import itertools
import logging
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_network
from pathlib import Path

import maxminddb

from modelfence.adapters.geo.schemas import ANONYMITY, Record, anonymity_of, network_of, place_of
from modelfence.core.client_address import Address, Network, parse_address
from modelfence.core.location import LOCATED, Location
from modelfence.source_files import SourceFiles

BUNDLED = Path(__file__).parent / "bundled" / "country.mmdb"
"""Countries for whoever names no database of their own; where it comes from is written beside it."""
REMEMBERED = 8_192
"""Locations kept for callers that come back: a lookup takes tens of microseconds, remembering one less than a tenth."""
_SAMPLE = 1_000
_DAMAGES = (maxminddb.InvalidDatabaseError, ValueError, TypeError, RecursionError)
"""What reading a damaged file raises."""
_UNKNOWN = Location()
_IPV4 = 4
_PRIVATE = [
    ip_network(text)
    for text in (
        "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16", "::1/128",
        "fc00::/7", "fe80::/10",
    )
]  # fmt: skip
"""Of one's own networks, shared ones (CGNAT, RFC 6598) among them: IANA's special-purpose registries."""
_NOWHERE = [ip_network(text) for text in ("::/8", "2001::/32", "2002::/16", "3fff::/20", "5f00::/16")]
"""No place on Earth, and global to some Pythons: translators and 6to4 where what is inside was not public, ::/96 where
databases keep IPv4, Teredo, and what nobody should send from. These must not count as a private network either."""
_FITTING = {"country": {"country", "continent"}, "asn": {"asn"}, "anonymous": {"anonymous"}}
"""What a database of each kind says at least."""
log = logging.getLogger(__name__)


class GeoDatabaseError(ValueError):
    """A database can't be used. The message is one sentence that says which, why, and what to do."""


@dataclass(frozen=True, slots=True)
class Database:
    """One file."""

    name: str
    """country, asn or anonymous."""
    path: Path
    """Where it was asked for."""
    reader: maxminddb.Reader
    says: frozenset[str]
    """What its first records say: fields of `Location`."""

    @property
    def built_s(self) -> int:
        """Return when it was built, in seconds since the epoch."""
        return self.reader.metadata().build_epoch

    def record(self, address: Address) -> Record | None:
        """Return the record of an address, empty when there is none; None of IPv6 in a database of IPv4 alone.

        Raises InvalidDatabaseError or ValueError where the file is damaged.
        """
        if isinstance(address, IPv6Address) and self.reader.metadata().ip_version == _IPV4:
            return None
        found = self.reader.get(address)
        return found if isinstance(found, dict) else {}


@dataclass(frozen=True, slots=True)
class Found:
    """How an address was located."""

    location: Location
    read_as: str | None = None
    """The address that was looked for; None for a text that is no address."""
    said_by: tuple[str, ...] = ()
    """The databases that have a record of it, or `geo.private`."""


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

        `private` is the country of addresses of private networks. Raises GeoDatabaseError.
        """
        self._private = Location(**place_of({"country_code": private}))
        self._country = open_database("country", country or BUNDLED, files if country else None)
        self._asn = asn and open_database("asn", asn, files)
        self._anonymous = anonymous and open_database("anonymous", anonymous, files)
        self.databases = tuple(one for one in (self._country, self._asn, self._anonymous) if one)
        self.built_s = {database.name: database.built_s for database in self.databases}
        """When each was built, in seconds since the epoch, by its name. Every call asks for it."""
        self.country_built_s = self.built_s["country"]
        # Such a database lists what is anonymous, so what it does not list is known not to be.
        self._not_listed = dict.fromkeys(self._anonymous.says.intersection(ANONYMITY), False) if self._anonymous else {}
        self._damaged: set[str] = set()
        """The databases of which that has been said."""
        self._remembered = functools.lru_cache(REMEMBERED)(self._locate)

    @property
    def never_says(self) -> frozenset[str]:
        """Return the facts of a caller's place that none of the databases knows of."""
        says = frozenset().union(*(database.says for database in self.databases))
        return frozenset(f"client.{name}" for name in LOCATED if name not in says)

    def locate(self, ip: str) -> Location:
        """Return what is known of an address: nothing of a text that is no address."""
        return self._remembered(ip)

    def _locate(self, ip: str) -> Location:
        return self.find(ip).location

    def find(self, ip: str) -> Found:
        """Return what is known of an address, and who says so."""
        try:
            address = parse_address(ip)
        except ValueError:
            return Found(_UNKNOWN)
        if _is_in(_PRIVATE, address):
            return Found(self._private, str(address), ("geo.private",) if self._private.country else ())
        address = _public(address)
        if _is_in(_NOWHERE, address) or not address.is_global or address.is_multicast:
            return Found(_UNKNOWN, str(address))
        records = {database.name: self._record(database, address) for database in self.databases}
        place = records["country"]
        # Some databases of countries know networks and data centres as well.
        network, anonymity = records.get("asn", place), records.get("anonymous", place)
        location = Location(
            **place_of(place or {}),
            **network_of(network or {}),
            # What the database can't tell is not known to be open.
            **({} if anonymity is None else {**self._not_listed, **anonymity_of(anonymity)}),
        )
        return Found(location, str(address), tuple(name for name, record in records.items() if record))

    def _record(self, database: Database, address: Address) -> Record | None:
        """Return what a database says of an address; None when it can't tell."""
        try:
            return database.record(address)
        except (maxminddb.InvalidDatabaseError, ValueError):
            if database.name not in self._damaged:
                self._damaged.add(database.name)
                log.warning("%s is damaged: of callers that can't be looked up there, it tells nothing", database.path)
            return None


def _public(address: Address) -> Address:
    """Return the IPv4 address inside one of 6to4 (RFC 3056): not every database has an alias there."""
    inside = address.sixtofour if isinstance(address, IPv6Address) else None
    return inside if inside is not None and inside.is_global else address


def _is_in(networks: list[Network], address: Address) -> bool:
    return any(address in network for network in networks)


def open_database(name: str, path: Path, files: SourceFiles | None = None) -> Database:
    """Open a database and check that its first records are of the kind asked for: country, asn or anonymous.

    Raises GeoDatabaseError.
    """
    files = files or SourceFiles()
    remedy = f"name a .mmdb file of that kind under `geo.{name}`"
    try:
        mapped = files.database(path)
        says = _said_by(mapped)
        reader = maxminddb.open_database(mapped)
    except OSError as error:
        raise GeoDatabaseError(f"can't open the {name} database {path}: {error.strerror}; {remedy}") from None
    except _DAMAGES:
        raise GeoDatabaseError(f"{path} is no MaxMind DB file, or a damaged one; {remedy}") from None
    if _FITTING[name].isdisjoint(says):
        kind = reader.metadata().database_type
        raise GeoDatabaseError(f"{path} is a database of the type `{kind}`, not of the kind {name}; {remedy}")
    return Database(name, path, reader, says)


def _said_by(path: Path) -> frozenset[str]:
    """Return what the first records say. Raises OSError, and _DAMAGES.

    They are read in Python: the library's C code follows a damaged tree beyond its own memory, and the process ends.
    """
    with maxminddb.open_database(path, maxminddb.MODE_MMAP) as reader:
        records = [record for _network, record in itertools.islice(reader, _SAMPLE) if isinstance(record, dict)]
    return frozenset(
        name for record in records for read in (place_of, network_of, anonymity_of) for name in read(record)
    )
