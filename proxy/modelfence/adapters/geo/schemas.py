"""What a record of a geo database says, in the schemas of those who publish them.

Rule: what a record does not say is not in the answer. The answers are fields of `Location`.

| publisher | what is read | documented at |
|---|---|---|
| MaxMind: GeoLite2 and GeoIP2 Country, City, Enterprise, ASN, ISP, Anonymous IP, Anonymous Plus | `country`, `continent`, `registered_country`, `subdivisions`, `traits`, `autonomous_system_…`, `is_…` | dev.maxmind.com/geoip/docs/databases |
| DB-IP: Country, City, ASN, Location + ISP | the same; City Lite has no codes of subdivisions | db-ip.com/db |
| IPinfo: Lite, Core, Plus, Country, Country + ASN, Location, ASN, Privacy Detection | `country_code` or `country`, `continent_code` or `continent`, `region_code`, `asn` such as "AS15169", `as_name` or `name`, `vpn` or `is_vpn`, and likewise | ipinfo.io/developers |
| ip-location-db: country, ASN | `country_code`, `autonomous_system_…` | github.com/sapics/ip-location-db |
"""  # noqa: E501 - a table

import re
from collections.abc import Mapping
from typing import Any

from modelfence.core.countries import EU

type Record = Mapping[str, Any]
type Known = Mapping[str, Any]
"""Fields of `Location`, without those that are not known."""

ANONYMITY = ("anonymous", "vpn", "proxy", "residential_proxy", "tor", "hosting")
_CONTINENTS = frozenset(("AF", "AN", "AS", "EU", "NA", "OC", "SA"))
_NO_COUNTRIES = frozenset(("AP", "EU", "XX", "ZZ"))
"""What some databases write for a region of the world or for nothing at all."""
_MAXMIND = {
    "vpn": ("is_anonymous_vpn",),
    "proxy": ("is_public_proxy", "is_residential_proxy"),
    "residential_proxy": ("is_residential_proxy",),
    "tor": ("is_tor_exit_node",),
    "hosting": ("is_hosting_provider",),
}
_MAXMIND_FLAGS = frozenset(("is_anonymous", *(flag for flags in _MAXMIND.values() for flag in flags)))
_IPINFO = {name: (name, f"is_{name}") for name in ("vpn", "proxy", "tor", "relay", "hosting")}
_IPINFO_FLAGS = frozenset(flag for flags in _IPINFO.values() for flag in flags)

_LARGEST_ASN = (1 << 32) - 1


def place_of(record: Record) -> Known:
    """Return country, registered country, region, continent and whether it is in the European Union."""
    nested = _inside(record, "country")
    country = _country(nested.get("iso_code") or record.get("country_code") or record.get("country"))
    # MaxMind leaves the flag out where it is false, as do databases that have none.
    eu = nested.get("is_in_european_union")
    if not isinstance(eu, bool):
        eu = None if country is None else country in EU
    return _known(
        country=country,
        registered_country=_country(_inside(record, "registered_country").get("iso_code")),
        region=_region(record, country),
        continent=_continent(record),
        eu=eu,
    )


def network_of(record: Record) -> Known:
    """Return the number of the autonomous system and, where it has one, the organisation behind it."""
    for source in (record, _inside(record, "traits")):
        number = source.get("autonomous_system_number")
        if type(number) is int and 0 <= number <= _LARGEST_ASN:
            return _known(asn=number, network=_text(source.get("autonomous_system_organization")))
    written = re.fullmatch(r"AS([0-9]{1,10})", str(record.get("asn")))
    return _known(asn=int(written[1]), network=_text(record.get("as_name") or record.get("name"))) if written else {}


def anonymity_of(record: Record) -> Known:
    """Return what the record says of VPNs, proxies, Tor and data centres, and whether any of these conceals a caller.

    MaxMind's `is_anonymous` is set for data centres as well, where most callers of an API are: it does not count there.
    IPinfo's relays, such as iCloud Private Relay, conceal a caller and are no VPN.
    """
    if not _IPINFO_FLAGS.isdisjoint(record):
        kinds = {
            name: any(_is_true(record.get(flag)) for flag in flags)
            for name, flags in _IPINFO.items()
            if not record.keys().isdisjoint(flags)
        }
        concealed = any(kinds[name] for name in kinds if name != "hosting") or _is_true(record.get("is_anonymous"))
        known_whether = len(kinds) > ("hosting" in kinds) or "is_anonymous" in record
        kinds.pop("relay", None)
        return _known(anonymous=concealed if known_whether else None, **kinds)
    if not _MAXMIND_FLAGS.isdisjoint(record):
        kinds = {name: any(_is_true(record.get(flag)) for flag in flags) for name, flags in _MAXMIND.items()}
        unnamed = _is_true(record.get("is_anonymous")) and not kinds["hosting"]
        return {"anonymous": unnamed or kinds["vpn"] or kinds["proxy"] or kinds["tor"], **kinds}
    user_type = _inside(record, "traits").get("user_type")
    return {} if user_type is None else {"hosting": user_type == "hosting"}


def _region(record: Record, country: str | None) -> str | None:
    """Return the code of the largest subdivision after ISO 3166-2, such as `UA-43`."""
    subdivisions = record.get("subdivisions")
    largest = subdivisions[0] if isinstance(subdivisions, list) and subdivisions else {}
    code = (largest.get("iso_code") if isinstance(largest, dict) else None) or record.get("region_code")
    if country is None or not isinstance(code, str) or not re.fullmatch(r"[A-Z0-9]{1,3}", code):
        return None
    return f"{country}-{code}"


def _country(code: object) -> str | None:
    is_code = isinstance(code, str) and re.fullmatch(r"[A-Z]{2}", code) and code not in _NO_COUNTRIES
    return str(code) if is_code else None


def _continent(record: Record) -> str | None:
    code = _inside(record, "continent").get("code") or record.get("continent_code") or record.get("continent")
    return code if isinstance(code, str) and code in _CONTINENTS else None


def _inside(record: Record, key: str) -> Record:
    found = record.get(key)
    return found if isinstance(found, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _is_true(value: object) -> bool:
    return value is True or value == 1 or (isinstance(value, str) and value.lower() in ("true", "1"))


def _known(**fields: object) -> Known:
    return {name: value for name, value in fields.items() if value is not None}
