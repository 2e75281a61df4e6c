"""What a URL of Redis servers says. Nothing is connected here.

    redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE]
    redis+sentinel://[USER:PASSWORD@]HOST[:PORT],HOST[:PORT]…/MASTER[/DATABASE]
    redis+cluster://[USER:PASSWORD@]HOST[:PORT],HOST[:PORT]…
    unix://[USER:PASSWORD@]/PATH

With rediss in the place of redis the connections are encrypted, and the servers' certificates verified.

Rule: a URL may hold passwords, so no message quotes it.
"""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qsl, unquote

type Kind = Literal["server", "sentinel", "cluster", "socket"]
type HostAndPort = tuple[str, int]

SCHEMES = ("redis", "rediss", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster")
_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_SENTINEL_CREDENTIALS = ("sentinel_username", "sentinel_password")
_PORT, _SENTINEL_PORT, _MAX_PORT = 6379, 26379, 65_535
_URL = re.compile(
    r"(?P<scheme>[a-z+]+)://(?:(?P<who>[^/?#]*)@)?(?P<hosts>[^/?#@]*)(?P<path>/[^?#]*)?(?:\?(?P<query>[^#]*))?"
)
_HOST = re.compile(r"(?:\[(?P<v6>[^\]]*)\]|(?P<host>[^\s:\[\]]+))(?::(?P<port>[0-9]{1,5}))?")
_ESCAPES = "in a password `/`, `#`, `?`, `@` and `,` are %2F, %23, %3F, %40 and %2C"


@dataclass(frozen=True, slots=True)
class RedisUrl:
    """Where the servers are and how to be let in."""

    kind: Kind
    is_encrypted: bool = False
    hosts: tuple[HostAndPort, ...] = ()
    """The server, the sentinels, or some nodes of the cluster."""
    path: str = ""
    """Of a socket."""
    master: str = ""
    """The sentinels' name for the server."""
    database: int = 0
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    sentinel_username: str | None = field(default=None, repr=False)
    sentinel_password: str | None = field(default=None, repr=False)
    ssl_ca_certs: str | None = None
    """The file of authorities whose certificates are trusted; None is the system's."""
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None


def parse(url: str) -> RedisUrl:
    """Return what the URL says. Raises ValueError with a sentence that does not quote it."""
    scheme = url.partition("://")[0]
    if scheme not in (*SCHEMES, "unix"):
        *others, last = (f"{scheme}://" for scheme in SCHEMES)
        raise ValueError(f"a store is `memory`, or begins with {', '.join(others)} or {last}")
    found = _URL.fullmatch(url)
    if found is None or re.search(r"[\x00-\x1f\x7f]", url):
        raise _malformed(scheme)
    options = _options(scheme, found["query"])
    username, password = _credentials(scheme, found["who"])
    if scheme == "unix":
        if not found["path"] or found["hosts"]:
            raise _malformed(scheme)
        return RedisUrl("socket", path=unquote(found["path"]), username=username, password=password)
    kind = _kind(scheme)
    hosts = tuple(_host(scheme, text) for text in found["hosts"].split(","))
    if kind == "server" and len(hosts) > 1:
        raise _malformed(scheme)
    master, database = _path(scheme, found["path"] or "")
    return RedisUrl(
        kind,
        is_encrypted=scheme.startswith("rediss"),
        hosts=hosts,
        master=master,
        database=database,
        username=username,
        password=password,
        **options,
    )


def _kind(scheme: str) -> Literal["server", "sentinel", "cluster"]:
    if scheme.endswith("+sentinel"):
        return "sentinel"
    return "cluster" if scheme.endswith("+cluster") else "server"


def _malformed(scheme: str) -> ValueError:
    forms = {
        "sentinel": f"{scheme}://HOST:26379,HOST:26379/MASTER",
        "cluster": f"{scheme}://HOST:6379,HOST:6379",
        "server": f"{scheme}://HOST:6379/0",
    }
    form = "unix:///PATH" if scheme == "unix" else forms[_kind(scheme)]
    return ValueError(f"a store is written as {form}; {_ESCAPES}")


def _credentials(scheme: str, who: str | None) -> tuple[str | None, str | None]:
    if who is None:
        return None, None
    # Of several hosts each might seem to have a password of its own; there is one for all.
    if _kind(scheme) != "server" and ("@" in who or "," in who):
        raise _malformed(scheme)
    username, _, password = who.partition(":")
    return unquote(username) or None, unquote(password) or None


def _host(scheme: str, text: str) -> HostAndPort:
    found = _HOST.fullmatch(text)
    if found is None:
        raise _malformed(scheme)
    default = _SENTINEL_PORT if _kind(scheme) == "sentinel" else _PORT
    port = default if found["port"] is None else int(found["port"])
    if not 0 < port <= _MAX_PORT:
        raise _malformed(scheme)
    if found["host"]:
        return found["host"].lower(), port
    try:
        return str(ipaddress.IPv6Address(found["v6"])), port
    except ValueError:
        raise _malformed(scheme) from None


def _path(scheme: str, path: str) -> tuple[str, int]:
    """Return the master's name and the database."""
    form = {"server": "(/(?P<database>[0-9]{0,9}))?", "cluster": "/?"}.get(
        _kind(scheme), "/(?P<master>[^/]+)(/(?P<database>[0-9]{0,9}))?"
    )
    found = re.fullmatch(form, path)
    if found is None:
        raise _malformed(scheme)
    parts = found.groupdict()
    return unquote(parts.get("master") or ""), int(parts.get("database") or 0)


def _options(scheme: str, query: str | None) -> Mapping[str, str]:
    allowed: tuple[str, ...] = _FILES if scheme.startswith("rediss") else ()
    allowed += _SENTINEL_CREDENTIALS if _kind(scheme) == "sentinel" else ()
    given = parse_qsl(query or "", keep_blank_values=True)
    options = dict(given)
    if not options.keys() <= set(allowed):
        there_are = f"they are {', '.join(f'`{name}`' for name in allowed)}" if allowed else "there are none"
        raise ValueError(f"the store's query names an option that does not exist for {scheme}://; {there_are}")
    if len(options) < len(given) or not all(options.values()):
        raise ValueError("each option in the store's query is given once, as NAME=VALUE with `&` between them")
    if not all(options[name].startswith("/") for name in _FILES if name in options):
        raise ValueError("a file in the store's query is named by its whole path, like /etc/modelfence/ca.pem")
    if "ssl_keyfile" in options and "ssl_certfile" not in options:
        raise ValueError("`ssl_keyfile` in the store's query goes with `ssl_certfile`")
    return options
