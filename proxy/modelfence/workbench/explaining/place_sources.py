"""Where what is known of a caller's address came from: which database, or what somebody said instead of it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from modelfence.adapters.geo.databases import BUNDLED, Database, GeoDatabases
from modelfence.core.countries import COUNTRIES, EU, KOSOVO
from modelfence.core.location import LOCATED, Location
from modelfence.document import did_you_mean
from modelfence.workbench.explaining.explanation import Origin, Source
from modelfence.workbench.explaining.inquiry import NOWHERE, Inquiry, InquiryError

_OF_NETWORKS = ("asn", "network")
_OF_COUNTRIES = ("country", "registered_country", "region", "continent", "eu")
_AGE = "geo.database_age_days"


@dataclass(frozen=True, slots=True)
class SaidCountry:
    """A `GeoDatabase` in which all callers are in one country, and the databases say the rest."""

    country: str
    databases: GeoDatabases

    @property
    def country_built_s(self) -> int:
        """Return when the database of countries was built, in seconds since the epoch."""
        return self.databases.country_built_s

    def locate(self, ip: str) -> Location:
        """Return what is known of an address, with the country, and without what would contradict it."""
        known, in_eu = self.databases.locate(ip), self.country in EU
        return replace(known, country=self.country, registered_country=None, region=None, continent=None, eu=in_eu)


def said_country(code: str, databases: GeoDatabases) -> SaidCountry:
    """Return databases in which all callers are in that country. Raises InquiryError for what is none."""
    if code not in COUNTRIES and code != KOSOVO:
        near = did_you_mean(code.upper(), COUNTRIES)
        raise InquiryError(f"no country has the code `{code}` in ISO 3166-1{f'; {near}' if near else ''}")
    return SaidCountry(code, databases)


def place_sources(inquiry: Inquiry, location: Location, databases: GeoDatabases) -> Mapping[str, Source]:
    """Return where each fact of the address came from, or why it is unknown."""
    ip = inquiry.line.client_ip
    sources = {
        "client.ip": _of_address(inquiry),
        _AGE: Source(
            Origin.COMPUTED, f"from `now` and the day on which the {_named(databases.databases[0])} was built"
        ),
    }
    for name in LOCATED:
        fact = f"client.{name}"
        if inquiry.country is not None and name in _OF_COUNTRIES:
            sources[fact] = _said(name, inquiry.country)
        elif ip == NOWHERE and ip not in _stated(inquiry):
            sources[fact] = Source(Origin.NOWHERE, "no address was given to look up")
        else:
            sources[fact] = _looked_up(name, ip, location, databases)
    return sources


def _stated(inquiry: Inquiry) -> tuple[str, ...]:
    return (inquiry.line.client_ip,) if "client_ip" in inquiry.says | inquiry.given else ()


def _of_address(inquiry: Inquiry) -> Source:
    if "client_ip" in inquiry.given:
        return Source(Origin.SAID, "given beside the request")
    if "client_ip" in inquiry.says:
        return Source(Origin.REQUEST, "`client_ip` of the request")
    return Source(Origin.NOWHERE, "stands for an address, as none was given")


def _said(name: str, country: str) -> Source:
    if name == "country":
        return Source(Origin.SAID, "given beside the request")
    if name == "eu":
        return Source(Origin.COMPUTED, f"from the country that was given, {country}")
    return Source(Origin.NOWHERE, "only the country was given")


def _looked_up(name: str, ip: str, location: Location, databases: GeoDatabases) -> Source:
    found = databases.find(ip)
    is_known = getattr(location, name) is not None
    if "geo.private" in found.said_by:
        words = f"{ip} is of a private network, and `geo.private` of the settings says where these are"
        return Source(Origin.SETTINGS, words) if is_known else Source(Origin.NOWHERE, f"{ip} is of a private network")
    if f"client.{name}" in databases.never_says:
        return Source(Origin.NOWHERE, "no database under `geo` says it")
    database = _asked(name, databases)
    which = _named(database)
    if not is_known:
        says = f"does not say it of {ip}" if database.name in found.said_by else f"has no record of {ip}"
        return Source(Origin.NOWHERE, f"the {which} {says}")
    if database.name not in found.said_by:
        return Source(Origin.DATABASE, f"{which}, which does not list {ip}")
    return Source(Origin.DATABASE, f"{which}, record of {ip}")


def _asked(name: str, databases: GeoDatabases) -> Database:
    """Return the database that is asked for a fact: that of countries where there is none for its kind."""
    by_name = {one.name: one for one in databases.databases}
    kind = "country" if name in _OF_COUNTRIES else "asn" if name in _OF_NETWORKS else "anonymous"
    return by_name.get(kind, by_name["country"])


def _named(database: Database) -> str:
    what = "bundled" if database.path == BUNDLED else f"`{database.path.name}`"
    kinds = {"country": "countries", "asn": "networks", "anonymous": "anonymous addresses"}
    return f"{what} database of {kinds[database.name]} (built {datetime.fromtimestamp(database.built_s, UTC):%Y-%m-%d})"
