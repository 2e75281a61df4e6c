"""Reading the settings: file, then environment, then flags, into one value that is checked once.

Each key has one reader in `_KEYS`, and each source hands it a node, so every source is checked alike. An environment
variable is named after its key: `geo.country` is MODELFENCE_GEO_COUNTRY. Paths in a file are relative to the file.

Rule: a secret is never shown, nor a line in which one may stand for its variable's name.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from modelfence import redis_url, settings_candidate, settings_jwt
from modelfence.core.client_address import FORWARDED, FORWARDED_FOR, SINGLE_HEADERS, Network
from modelfence.core.problem import Problem, Severity, errors, in_order
from modelfence.document import Document, Node, did_you_mean, read
from modelfence.settings import (
    Address,
    Auditing,
    Detecting,
    Egress,
    Geo,
    GeoUpdate,
    Jwt,
    Limits,
    Recording,
    Settings,
    Tls,
)
from modelfence.settings_geo import (
    account_in,
    country_code_in,
    country_database_in,
    edition_in,
    license_key_in,
    publisher_in,
)
from modelfence.settings_upstreams import path_in, secret_of, upstreams_in

ENVIRONMENT_PREFIX = "MODELFENCE_"
CONFIG_VARIABLE = "MODELFENCE_CONFIG"
_MAX_PORT = 65_535
_UNITS = {"": 1, "B": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}
_MAY_HOLD_A_SECRET = re.compile(
    r"(?i://.*@|passw|secret|token:|\bsk-)|(?:credential|licen[cs]e_?key): *(?!\{ *env: *[A-Z_][A-Z0-9_]* *\}|$)\S"
)

type Reader = Callable[[Node, Path], object]


def load(
    file: Path | None,
    environment: Mapping[str, str],
    flags: Mapping[str, str],
    *,
    with_upstreams: bool = True,
    with_secrets: bool = True,
) -> tuple[Settings | None, tuple[Problem, ...]]:
    """Return the settings, or None with the problems that stop them; warnings come with settings.

    Without upstreams, or without secrets, none of the upstreams' API keys need be there. `flags` maps keys such as
    `listen` to their texts. A file that can't be read is a problem.
    """
    reading = _Reading()
    if file is not None:
        reading.read_file(file)
    for name, text in sorted(environment.items()):
        if name.startswith(ENVIRONMENT_PREFIX) and name != CONFIG_VARIABLE:
            reading.read_variable(name, text)
    for key, text in flags.items():
        reading.read_text(key, text, source=f"--{key}")
    if not with_upstreams:
        reading.values.pop("upstreams", None)
    if with_secrets:  # replay has one process, a store of its own, one policy and no tokens to verify
        reading.check_workers()
        reading.check_tokens()
    else:
        for key in (*settings_jwt.KEYS, *settings_candidate.KEYS):
            reading.values.pop(key, None)
    reading.check_prefixes()
    reading.problems.extend(settings_candidate.without_candidate(reading.values, reading.nodes))
    reading.find_secrets(environment if with_secrets else None)
    found = in_order(reading.problems)
    return (None if errors(found) else reading.settings(file)), found


@dataclass(frozen=True, slots=True)
class _Reading:
    """What the sources have said so far: values by dotted key, the later source over the earlier."""

    values: dict[str, object] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)
    """Where each value stands."""
    problems: list[Problem] = field(default_factory=list)

    def read_file(self, file: Path) -> None:
        try:
            document = read(file)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            self.problems.append(Problem(str(file), 1, 1, "unreadable-file", f"can't read the settings: {reason}"))
            return
        root = document.compose()
        if root is not None:
            # By the name it was asked for: where links lead changes while the fence runs, as Kubernetes swaps them.
            self._read_mapping(root, "", file.absolute().parent)
        self.problems.extend(_without_secrets(document.problems))

    def read_variable(self, name: str, text: str) -> None:
        variables = {ENVIRONMENT_PREFIX + key.upper().replace(".", "_"): key for key in _KEYS}
        if name in variables:
            self.read_text(variables[name], text, source=name)
            return
        hint = did_you_mean(name, variables)
        message = f"unknown variable `{name}`"
        warning = Problem("environment", 1, 1, "unknown-variable", message, hint=hint, severity=Severity.WARNING)
        self.problems.append(warning)

    def read_text(self, key: str, text: str, *, source: str) -> None:
        """Read one key from a text: lists are written in YAML, everything else is the value itself."""
        document = Document(source, text)
        node = document.compose() if key in _LISTS else document.scalar()
        if node is not None:
            self._keep(key, node, Path.cwd())
        self.problems.extend(_without_secrets(document.problems))

    def check_prefixes(self) -> None:
        """Say which upstreams callers could not tell apart: with egress they name the host, too."""
        written = self.values.get("upstreams", ())
        assert isinstance(written, tuple)  # noqa: S101 - made by _upstreams
        seen: set[tuple[object, ...]] = set()
        for upstream, _variable, node in written:
            host = (upstream.host, upstream.port) if self.values.get("egress.enabled") else ()
            if (upstream.prefix, host) in seen:
                words = f"two upstreams have the prefix `{upstream.prefix}`"
                self.problems.append(Problem(node.document.path, node.line, node.column, "duplicate-upstream", words))
            seen.add((upstream.prefix, host))

    def check_workers(self) -> None:
        """Say that workers with a store of their own each would multiply every rate by their number."""
        if self.values.get("workers", 1) != 1 and self.values.get("store", "memory") == "memory":
            node, words = self.nodes["workers"], "several workers need a shared store: give `store: redis://…`"
            self.problems.append(Problem(node.document.path, node.line, node.column, "no-shared-store", words))

    def check_tokens(self) -> None:
        """Say what tokens can't be verified without; what is wrong with the rest comes first."""
        if not errors(self.problems):
            self.problems.extend(settings_jwt.missing(self.nodes))

    def find_secrets(self, environment: Mapping[str, str] | None) -> None:
        """Replace the upstreams as written by upstreams with the API keys that their credentials name.

        Without an environment nobody is going to call them, so they have none.
        """
        written = self.values.get("upstreams", ())
        assert isinstance(written, tuple)  # noqa: S101 - made by _upstreams
        upstreams = []
        for upstream, credential, node in written:
            secret = None
            try:
                if credential is not None and environment is not None:
                    secret = secret_of(credential, environment)
            except ValueError as error:
                words = f"`{upstream.name}` takes its key from {error}"
                self.problems.append(Problem(node.document.path, node.line, node.column, "no-credential", words))
            upstreams.append(replace(upstream, secret=secret))
        if upstreams:
            self.values["upstreams"] = tuple(upstreams)

    def settings(self, file: Path | None) -> Settings:
        flat: dict[str, object] = {}
        groups: dict[str, dict[str, object]] = {name: {} for name in _GROUPS}
        for key, value in self.values.items():
            group, _, name = key.rpartition(".")
            groups.get(group, flat)[name] = value
        grouped = {name: _GROUPS[name](**values) for name, values in groups.items()}
        return Settings(file=file, **grouped, **flat)  # type: ignore[arg-type]

    def _read_mapping(self, node: Node, prefix: str, folder: Path) -> None:
        known = dict.fromkeys(key.removeprefix(prefix).partition(".")[0] for key in _KEYS if key.startswith(prefix))
        for name, value in node.entries(known, what="setting").items():
            key = prefix + name
            if key not in _KEYS:
                self._read_mapping(value, f"{key}.", folder)
            elif not value.is_null:
                self._keep(key, value, folder)

    def _keep(self, key: str, node: Node, folder: Path) -> None:
        value = _KEYS[key](node, folder)
        if value is not None:
            self.values[key] = value
            self.nodes[key] = node


def _address(node: Node, _: Path) -> Address | None:
    value = node.text()
    if value is None:
        return None
    host, _colon, port = value.replace("localhost", "127.0.0.1").rpartition(":")
    try:
        address = Address(str(ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))), int(port))
    except ValueError:
        address = None
    if address is None or not port.isdecimal() or address.port > _MAX_PORT:
        node.problem("bad-address", f"an address and port like 127.0.0.1:8080 is expected here, not `{value}`")
        return None
    return address


def _accounts(node: Node, folder: Path) -> Path | str | None:
    # As with the store, the problems do not quote the value.
    value = node.filled_text()
    if value is None or "://" not in value:
        return path_in(node, folder)
    try:
        redis_url.parse(value)
    except ValueError as error:
        is_known = value.partition("://")[0] in (*redis_url.SCHEMES, "unix")
        words = str(error) if is_known else "accounts are in a file, or in Redis servers whose URL begins with redis://"
        node.problem("bad-accounts", words, quote=False)
        return None
    return value


def _log_format(node: Node, _: Path) -> str | None:
    return node.choice(("text", "json"))


def _store(node: Node, _: Path) -> str | None:
    # The problems do not quote the value: a URL may hold a password.
    value = node.text()
    if value is None or value == "memory":
        return value
    try:
        redis_url.parse(value)
    except ValueError as error:
        node.problem("bad-store", str(error), quote=False)
        return None
    return value


def _store_prefix(node: Node, _: Path) -> str | None:
    value = node.text()
    # A brace would move keys to other slots of a cluster, a star or a bracket would widen what an ACL lets through.
    if value is None or re.fullmatch(r"[A-Za-z0-9_.:-]{1,64}", value):
        return value
    node.problem("bad-prefix", f"a prefix of letters, digits and _ . : - is expected here, not `{value}`")
    return None


def _networks(node: Node, _: Path) -> tuple[Network, ...]:
    """Return the networks of a list, or of a text with commas, as a variable gives it."""
    written = (
        [(item, item.text() or "") for item in node.items()]
        if node.is_list
        else [(node, part.strip()) for part in (node.text() or "").split(",") if part.strip()]
    )
    networks: list[Network] = []
    for place, value in written:
        try:
            networks.append(ipaddress.ip_network(value))
        except ValueError:
            place.problem("bad-network", f"a network like 10.0.0.0/8 is expected here, not `{value}`")
    return tuple(networks)


def _client_header(node: Node, _: Path) -> str | None:
    value = node.text()
    if value is not None and value.lower() in (FORWARDED_FOR, FORWARDED, *SINGLE_HEADERS):
        return value.lower()
    return node.choice((FORWARDED_FOR, FORWARDED, *sorted(SINGLE_HEADERS)))


def _size(node: Node, _: Path) -> int | None:
    value = node.text()
    if value is None:
        return None
    match = re.fullmatch(r"([1-9][0-9]{0,9}) ?([KMG]?B)?", value)
    if match is None:
        node.problem("wrong-type", f"a size like 20MB is expected here, not `{value}`")
        return None
    return int(match[1]) * _UNITS[match[2] or ""]


def _whole(minimum: int, maximum: int) -> Reader:
    return lambda node, _: node.integer(minimum=minimum, maximum=maximum)


def _yes_or_no(node: Node, _: Path) -> bool | None:
    return node.boolean()


def _one_of(*choices: str) -> Reader:
    return lambda node, _: node.choice(choices)


_LISTS = (
    *settings_jwt.LISTS,
    "trusted_proxies",
    "proxy_protocol_from",
    "upstreams",
    "geo_update.license_key",
)
_KEYS: Mapping[str, Reader] = {
    "listen": _address,
    "admin": _address,
    "workers": _whole(1, 1_024),
    "log_format": _log_format,
    "policy": path_in,
    **settings_candidate.KEYS,
    "accounts": _accounts,
    **settings_jwt.KEYS,
    "store": _store,
    "store_prefix": _store_prefix,
    "geo.country": country_database_in,
    "geo.asn": path_in,
    "geo.anonymous": path_in,
    "geo.private": country_code_in,
    "geo_update.account": account_in,
    "geo_update.license_key": license_key_in,
    "geo_update.country": edition_in,
    "geo_update.asn": edition_in,
    "geo_update.anonymous": edition_in,
    "geo_update.url": publisher_in,
    "trusted_proxies": _networks,
    "client_address": _client_header,
    "proxy_protocol_from": _networks,
    "upstreams": upstreams_in,
    "tls.cert": path_in,
    "tls.key": path_in,
    "tls.client_ca": path_in,
    "egress.enabled": _yes_or_no,
    "egress.authority": path_in,
    "egress.tunnel_others": _yes_or_no,
    "audit.path": path_in,
    "audit.key_file": path_in,
    "audit.addresses": _one_of("plain", "hashed"),
    "audit.on_failure": _one_of("allow", "refuse"),
    "audit.max_bytes": _size,
    "audit.rotate_hours": _whole(1, 8_784),
    "audit.keep": _whole(0, 100_000),
    "extraction.key_file": path_in,
    "extraction.accounts": _whole(1_000, 100_000_000),
    "extraction.shingles": _whole(10_000, 1_000_000_000),
    "extraction.cohorts": _whole(10, 10_000),
    "record.path": path_in,
    "record.prompts": _yes_or_no,
    "record.max_bytes": _size,
    "record.keep": _whole(1, 1_000),
    "limits.request_bytes": _size,
    "limits.head_bytes": _size,
    "limits.headers": _whole(10, 1_000),
    "limits.head_s": _whole(1, 3_600),
    "limits.body_s": _whole(1, 86_400),
    "limits.first_byte_s": _whole(1, 86_400),
    "limits.answer_s": _whole(1, 86_400),
    "limits.held_bytes": _size,
    "limits.connections": _whole(1, 1_000_000),
    "limits.connections_per_address": _whole(1, 1_000_000),
    "limits.store_ms": _whole(1, 2_000),
    "limits.store_connections": _whole(1, 64),
    "limits.directory_ms": _whole(1, 2_000),
    "limits.bad_credentials_per_minute": _whole(0, 1_000_000),
    "limits.idle_s": _whole(1, 86_400),
    "limits.drain_s": _whole(0, 3_600),
    "limits.step_tokens": _whole(1, 1_000_000),
    "limits.assumed_tokens": _whole(1, 1_000_000),
    "limits.lease_s": _whole(2, 3_600),
}


_GROUPS: Mapping[str, Callable[..., object]] = {
    "geo": Geo,
    "geo_update": GeoUpdate,
    "limits": Limits,
    "record": Recording,
    "audit": Auditing,
    "extraction": Detecting,
    "jwt": Jwt,
    "tls": Tls,
    "egress": Egress,
}


def keys() -> Sequence[str]:
    """Return every key, dotted."""
    return tuple(_KEYS)


def _without_secrets(problems: Iterable[Problem]) -> list[Problem]:
    return [replace(one, excerpt="") if _MAY_HOLD_A_SECRET.search(one.excerpt) else one for one in problems]
