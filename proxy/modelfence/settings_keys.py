"""Every setting: its key, what it means, what it may be, and how it is read. The schema for editors is made of it, too.

Rule: a key that is not here does not exist. Bounds stand here alone; defaults stand in `modelfence.settings`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from modelfence.core.countries import COUNTRY_CODE
from modelfence.core.keys import Choice, Either, Flag, Key, ListOf, Record, Shape, Text, Whole
from modelfence.document import Node
from modelfence.settings_candidate import PERCENT, percent_in
from modelfence.settings_geo import (
    ACCOUNT,
    EDITION,
    PUBLISHER,
    account_in,
    country_code_in,
    country_database_in,
    edition_in,
    license_key_in,
    publisher_in,
)
from modelfence.settings_jwt import (
    ALGORITHM,
    CLAIMS,
    LEEWAY_S,
    algorithms_in,
    audience_in,
    claims_in,
    keys_in,
    leeway_in,
    name_in,
)
from modelfence.settings_upstreams import CREDENTIAL, UPSTREAMS, path_in, upstreams_in
from modelfence.settings_values import (
    ADDRESS,
    CLIENT_HEADER,
    NETWORKS,
    PREFIX,
    SIZE,
    STORE,
    accounts_in,
    address_in,
    client_header_in,
    networks_in,
    size_in,
    store_in,
    store_prefix_in,
)

type Reader = Callable[[Node, Path], object]
"""Returns a value, or None after noting a problem. Paths are relative to the folder."""

_PATH = Text()
_DAY_S = 86_400
_IN_CAPITALS = Text(
    "|".join(
        re.sub("[a-z]", lambda letter: f"[{letter[0].upper()}{letter[0]}]", name) for name in CLIENT_HEADER.options
    )
)
"""A header in capitals or not."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One key of the settings."""

    what: str
    value: Shape
    read: Reader
    in_yaml: bool = False
    """A variable or a flag gives it in YAML; everything else it gives as the value itself."""


def _path(what: str) -> Setting:
    return Setting(what, _PATH, path_in)


def _size(what: str) -> Setting:
    return Setting(what, SIZE, size_in)


def _whole(minimum: int, maximum: int, what: str) -> Setting:
    return Setting(what, Whole(minimum, maximum), lambda node, _: node.integer(minimum=minimum, maximum=maximum))


def _flag(what: str) -> Setting:
    return Setting(what, Flag(), lambda node, _: node.boolean())


def _one_of(options: tuple[str, ...], what: str) -> Setting:
    return Setting(what, Choice(options), lambda node, _: node.choice(options))


def _edition(what: str) -> Setting:
    return Setting(what, EDITION, edition_in)


_TOP: Mapping[str, Setting] = {
    "listen": Setting("address and port for callers", ADDRESS, address_in),
    "admin": Setting("address and port of /livez, /readyz and /metrics; keep callers away", ADDRESS, address_in),
    "workers": _whole(1, 1_024, "processes that serve; several need a Redis"),
    "log_format": _one_of(("text", "json"), "how messages are written; json: a line of JSON for each"),
    "policy": _path("the policy; left out, the one that comes with modelfence"),
    "candidate": _path("a policy to try: it is evaluated beside the live one; null: there is none"),
    "canary": Setting(
        "for how many accounts the candidate acts, and the live policy only watches", PERCENT, percent_in
    ),
    "accounts": Setting("who may call: a file, or the URL of Redis servers", Text(), accounts_in),
}
_JWT: Mapping[str, Setting] = {
    "jwt.issuer": Setting("whose tokens they are", Text(), name_in),
    "jwt.audience": Setting(
        "for whom tokens are: a name of this service, or a list of names",
        Either((Text(), ListOf(Text(), may_be_empty=False))),
        audience_in,
        in_yaml=True,
    ),
    "jwt.keys": Setting("the https URL or the path of a JWKS; null: there are no tokens, only keys", Text(), keys_in),
    "jwt.algorithms": Setting(
        "algorithms that tokens may be signed by",
        Either((ALGORITHM, ListOf(ALGORITHM, may_be_empty=False))),
        algorithms_in,
        in_yaml=True,
    ),
    "jwt.account": Setting("the claim that names the account", Text(), name_in),
    "jwt.claims": Setting(
        "by fields of an account's record, the claims that say them", CLAIMS, claims_in, in_yaml=True
    ),
    "jwt.leeway_s": Setting("by how many seconds clocks may differ", LEEWAY_S, leeway_in),
}
_STORE: Mapping[str, Setting] = {
    "store": Setting("where buckets and evidence are: memory, or the URL of Redis servers", STORE, store_in),
    "store_prefix": Setting("what the names of all keys in Redis begin with", PREFIX, store_prefix_in),
}
_GEO: Mapping[str, Setting] = {
    "geo.country": Setting("database of countries: bundled, or the path of a .mmdb file", _PATH, country_database_in),
    "geo.asn": _path("path of a .mmdb file of autonomous systems"),
    "geo.anonymous": _path("path of a .mmdb file of VPNs, proxies and Tor exits"),
    "geo.private": Setting(
        "the country that private and loopback addresses count as; null is unknown", COUNTRY_CODE, country_code_in
    ),
    "geo_update.account": Setting("the number of a MaxMind account", ACCOUNT, account_in),
    "geo_update.license_key": Setting("where the account's license key is", CREDENTIAL, license_key_in, in_yaml=True),
    "geo_update.country": _edition("the edition to put where geo.country says"),
    "geo_update.asn": _edition("the edition to put where geo.asn says"),
    "geo_update.anonymous": _edition("the edition to put where geo.anonymous says"),
    "geo_update.url": Setting("the publisher, or a mirror", PUBLISHER, publisher_in),
}
_CONNECTIONS: Mapping[str, Setting] = {
    "trusted_proxies": Setting(
        "networks that are believed when they say who called them", NETWORKS, networks_in, in_yaml=True
    ),
    "client_address": Setting(
        "the header by which they say it",
        Either((CLIENT_HEADER, _IN_CAPITALS)),
        client_header_in,
    ),
    "proxy_protocol_from": Setting(
        "networks whose connections begin with a PROXY header, which is believed", NETWORKS, networks_in, in_yaml=True
    ),
    "upstreams": Setting("the APIs behind the fence", UPSTREAMS, upstreams_in, in_yaml=True),
    "tls.cert": _path("file of the certificate, and of those between it and its authority"),
    "tls.key": _path("file of its key; null: it is in the certificate's file"),
    "tls.client_ca": _path("file of the authorities of which every client must have a certificate; null asks for none"),
    "egress.enabled": _flag("be the callers' HTTP proxy"),
    "egress.authority": _path("folder for the authority that callers have to trust; null is ~/.modelfence"),
    "egress.tunnel_others": _flag("tunnels to other hosts pass untouched, instead of being refused"),
}
_EVIDENCE: Mapping[str, Setting] = {
    "audit.path": _path("NAME.jsonl: evidence of each decision goes to NAME.w0.jsonl; null keeps none"),
    "audit.key_file": _path("file with the key that lines are sealed with; null seals without one"),
    "audit.addresses": _one_of(("plain", "hashed"), "how addresses are kept; hashed: with that key"),
    "audit.on_failure": _one_of(("allow", "refuse"), "what becomes of calls while nothing can be written"),
    "audit.max_bytes": _size("size of one file; then it is set aside"),
    "audit.rotate_hours": _whole(1, 8_784, "hours after which a file is set aside at the latest"),
    "audit.keep": _whole(0, 100_000, "so many files set aside are kept; 0 keeps all"),
    "extraction.key_file": _path("file with the key that prompts are hashed with; null is a published one"),
    "extraction.accounts": _whole(1_000, 100_000_000, "so many accounts' calls are remembered"),
    "extraction.shingles": _whole(10_000, 1_000_000_000, "so many runs of five words are remembered"),
    "extraction.cohorts": _whole(10, 10_000, "so many cohorts, of accounts that share a template, are remembered"),
    "record.path": _path("file for a line of each judged call; null records nothing"),
    "record.prompts": _flag("keep the requests themselves"),
    "record.max_bytes": _size("size of one file; then it is set aside"),
    "record.keep": _whole(1, 1_000, "so many files set aside are kept"),
}
_LIMITS: Mapping[str, Setting] = {
    "limits.request_bytes": _size("size of a request's body, as received and as decoded"),
    "limits.head_bytes": _size("size of a request's line and headers"),
    "limits.headers": _whole(10, 1_000, "headers of one request"),
    "limits.head_s": _whole(1, 3_600, "seconds that a request's head may take to arrive"),
    "limits.body_s": _whole(1, _DAY_S, "seconds that its body may take from there"),
    "limits.first_byte_s": _whole(1, _DAY_S, "seconds that the upstream may take to begin its answer"),
    "limits.answer_s": _whole(1, _DAY_S, "seconds that an answer may take from its first byte to its last"),
    "limits.held_bytes": _size("size of all bodies together that have begun to arrive and are not answered"),
    "limits.connections": _whole(1, 1_000_000, "connections open at once; each needs two file descriptors"),
    "limits.connections_per_address": _whole(
        1, 1_000_000, "connections open at once from one address, or from one /64 of IPv6; not for trusted_proxies"
    ),
    "limits.store_ms": _whole(1, 2_000, "milliseconds that the store may take"),
    "limits.store_connections": _whole(1, 64, "connections to each Redis server; calls share them"),
    "limits.directory_ms": _whole(1, 2_000, "milliseconds that the accounts may take"),
    "limits.bad_credentials_per_minute": _whole(
        0, 1_000_000, "calls a minute of one address with a bad credential, before more are not looked at; 0: no limit"
    ),
    "limits.idle_s": _whole(1, _DAY_S, "seconds that a connection may stay silent"),
    "limits.drain_s": _whole(0, 3_600, "seconds that what is under way may go on once the fence is told to stop"),
    "limits.step_tokens": _whole(1, 1_000_000, "tokens that a stream reserves, and takes again when they are used up"),
    "limits.assumed_tokens": _whole(
        1, 1_000_000, "tokens that a plain call reserves that names no limit, until its account's answers are known"
    ),
    "limits.lease_s": _whole(2, 3_600, "seconds after which what a worker that died had reserved is given back"),
}

SETTINGS: Mapping[str, Setting] = {**_TOP, **_JWT, **_STORE, **_GEO, **_CONNECTIONS, **_EVIDENCE, **_LIMITS}
"""By dotted key."""

GROUPS: Mapping[str, str] = {
    "jwt": "tokens of an identity provider",
    "geo": "databases by which addresses are placed",
    "geo_update": "where `modelfence geo update` renews the databases from",
    "tls": "serve callers over TLS",
    "egress": "whether callers use the fence as their HTTP proxy",
    "audit": "evidence of decisions",
    "extraction": "what watches for model extraction",
    "record": "recordings, to be replayed",
    "limits": "bounds of everything a caller or a slow neighbour could stretch",
}
"""What the keys before a dot mean."""


def setting_keys() -> tuple[Key, ...]:
    """Return the keys of a settings file, those of a group within it. Each may be null, which is as if left out."""
    found: dict[str, Key] = {}
    for key in SETTINGS:
        group, dot, _ = key.partition(".")
        found.setdefault(group, Key(group, GROUPS[group], value=Record(_within(group))) if dot else _key(key, key))
    return tuple(found.values())


def _within(group: str) -> tuple[Key, ...]:
    return tuple(_key(key, key.removeprefix(f"{group}.")) for key in SETTINGS if key.startswith(f"{group}."))


def _key(key: str, name: str) -> Key:
    return Key(name, SETTINGS[key].what, value=SETTINGS[key].value, may_be_null=True)
