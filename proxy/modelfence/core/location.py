"""Where an address is, as far as that is known."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from modelfence.core.facts import FactValue


@dataclass(frozen=True, slots=True)
class Location:
    """What is known of an address. None is unknown. What each means is said in the table of facts."""

    country: str | None = None
    continent: str | None = None
    asn: int | None = None
    network: str | None = None
    anonymous: bool | None = None
    hosting: bool | None = None
    registered_country: str | None = None
    region: str | None = None
    eu: bool | None = None
    vpn: bool | None = None
    proxy: bool | None = None
    residential_proxy: bool | None = None
    tor: bool | None = None
    facts: Mapping[str, FactValue] = field(init=False, repr=False, compare=False)
    """What is known, by the names of facts. Made here because locations are remembered and calls are many."""

    def __post_init__(self) -> None:
        known = {name: getattr(self, name) for name in LOCATED}
        facts = {f"client.{name}": value for name, value in known.items() if value is not None}
        object.__setattr__(self, "facts", facts)


LOCATED = (
    "country", "registered_country", "region", "continent", "eu", "asn", "network", "anonymous", "vpn", "proxy",
    "residential_proxy", "tor", "hosting",
)  # fmt: skip
"""The names of what can be known of an address, each the fact `client.NAME`."""
