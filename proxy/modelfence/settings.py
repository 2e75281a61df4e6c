"""Settings of the platform team, as one frozen value. How they are read is `modelfence.settings_reading`'s work."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from modelfence.core.client_address import FORWARDED_FOR, Network
from modelfence.core.problem import Problem, first_of
from modelfence.core.upstream import Upstream


class CannotStartError(Exception):
    """The fence can't do its work. The text says why and what to do; `problems` are those of files."""

    def __init__(self, message: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)

    def report(self) -> str:
        """Return the first problems, then what follows from them."""
        told, more = first_of(self.problems)
        return "\n".join([*(problem.render() for problem in told), *([more] if more else []), str(self)])


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen. Port 0 takes a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Geo:
    """Where addresses are: databases by path. The bundled one serves for countries when none is named."""

    country: Path | None = None
    asn: Path | None = None
    anonymous: Path | None = None
    private: str | None = None
    """The country that private and loopback addresses count as; unknown when None."""


@dataclass(frozen=True, slots=True)
class GeoUpdate:
    """From where `modelfence geo update` renews the databases, and as whom. Nothing else reads it."""

    account: str | None = None
    license_key: str | Path | None = None
    """The variable or the file that holds it."""
    country: str | None = None
    """The edition that is put where `geo.country` says, such as GeoLite2-City; likewise for the other two."""
    asn: str | None = None
    anonymous: str | None = None
    url: str = "https://download.maxmind.com"


@dataclass(frozen=True, slots=True)
class Tls:
    """The files with which callers are served over TLS."""

    cert: Path | None = None
    """The certificate and those between it and its authority; None serves without TLS."""
    key: Path | None = None
    """None: it is in the certificate's file."""
    client_ca: Path | None = None
    """Every client must have a certificate of an authority in this file; None asks for none."""


@dataclass(frozen=True, slots=True)
class Jwt:
    """How tokens of an identity provider are verified."""

    issuer: str = ""
    audience: tuple[str, ...] = ()
    """Any of these names means this service."""
    keys: str | Path | None = None
    """The URL, or the file, of the provider's public keys; None: there are no tokens, only API keys."""
    algorithms: tuple[str, ...] = ("RS256",)
    account: str = "sub"
    """The claim that names the account."""
    claims: Mapping[str, str] = field(default_factory=dict)
    """By names of an account's record, the claims that say them; empty, the directory alone does."""
    leeway_s: int = 30
    """By how much the provider's clock may differ."""


@dataclass(frozen=True, slots=True)
class Egress:
    """Whether callers use the fence as their HTTP proxy, and reach the upstreams under these' own names."""

    enabled: bool = False
    authority: Path | None = None
    """A folder for the authority that callers have to trust; None is `.modelfence` in the user's own folder."""
    tunnel_others: bool = False
    """Whether tunnels to elsewhere pass untouched, instead of being refused."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of everything a caller or a slow neighbour could stretch."""

    request_bytes: int = 20 << 20
    """Body of a request, as received and decoded."""
    head_bytes: int = 64 << 10
    """Request line and headers."""
    headers: int = 100
    """So many of them."""
    head_s: int = 30
    """How long the head of a request may take to arrive, from its first byte."""
    body_s: int = 120
    """How long its body may take from there."""
    first_byte_s: int = 540
    """How long the upstream may take to begin its answer. Most SDKs wait ten minutes."""
    answer_s: int = 3600
    """How long an answer may take from its first byte to its last, also because its client reads slowly."""
    held_bytes: int = 512 << 20
    """Of all bodies that have begun to arrive and whose answers are not over. What is judged takes some times more."""
    connections: int = 4096
    """Open at once. Each takes two file descriptors."""
    connections_per_address: int = 1024
    """Open at once from one address, or from one /64 of IPv6. Trusted proxies are not counted."""
    store_ms: int = 50
    """How long the store may take to answer."""
    store_connections: int = 4
    """Connections to each Redis server; many calls share one at a time."""
    directory_ms: int = 50
    """How long the accounts may take to answer."""
    bad_credentials_per_minute: int = 60
    """So many calls of one address, or of one /64 of IPv6, may be refused for a credential that is not valid, before
    more of them are not looked at. 0 sets no limit. Several workers have a part of it each."""
    idle_s: int = 600
    """How long a connection may stay silent."""
    drain_s: int = 25
    """How long what is under way may go on once the fence is told to stop. Kubernetes kills after 30."""
    step_tokens: int = 256
    """What a stream reserves, and takes again whenever it is used up."""
    assumed_tokens: int = 1024
    """What a plain call reserves that names no limit, until it is known what its account is answered."""
    lease_s: int = 30
    """After how long what a worker had reserved is given back when the worker has died."""


@dataclass(frozen=True, slots=True)
class Recording:
    """Which calls are recorded where, to be replayed."""

    path: Path | None = None
    """None records nothing."""
    prompts: bool = False
    """Whether the requests themselves are kept, instead of only what policies and detection need of them."""
    max_bytes: int = 100 << 20
    """Of one file; then the next one is begun."""
    keep: int = 10
    """So many full files are kept besides."""


@dataclass(frozen=True, slots=True)
class Auditing:
    """Where evidence of decisions is kept."""

    path: Path | None = None
    """None keeps none."""
    key_file: Path | None = None
    """Holds the key that lines are sealed with; None seals them so that whoever writes the files can do it again."""
    addresses: str = "plain"
    """plain or hashed."""
    on_failure: str = "refuse"
    """What becomes of calls while nothing can be written: allow or refuse."""
    max_bytes: int = 100 << 20
    """Of one file; then the next one is begun."""
    rotate_hours: int = 24
    """How old a file grows, if it does not reach that size before."""
    keep: int = 0
    """So many full files are kept; 0 keeps all."""


@dataclass(frozen=True, slots=True)
class Detecting:
    """What watches for model extraction."""

    key_file: Path | None = None
    """Holds the key that prompts are hashed with; None is a published one."""
    accounts: int = 100_000
    """Whose calls are remembered."""
    shingles: int = 400_000
    """Runs of words that are remembered: about fifty of each call, so those of the last 8,000 calls at least."""
    cohorts: int = 1_000


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything `run` needs to know."""

    listen: Address = Address("127.0.0.1", 8080)
    admin: Address = Address("127.0.0.1", 9090)
    workers: int = 1
    policy: Path | None = None
    """None is the policy that comes with the fence."""
    candidate: Path | None = None
    """A policy that is evaluated beside the live one. None: there is none."""
    canary: float = 0.0
    """For how many accounts in a hundred the candidate acts, and the live policy is the one that only watches."""
    accounts: Path | str | None = field(default=None, repr=False)
    """A file, or the URL of Redis servers."""
    jwt: Jwt = Jwt()
    store: str = field(default="memory", repr=False)
    store_prefix: str = "modelfence"
    """What the names of all keys in Redis begin with."""
    geo: Geo = Geo()
    geo_update: GeoUpdate = GeoUpdate()
    trusted_proxies: tuple[Network, ...] = ()
    client_address: str = FORWARDED_FOR
    """The header by which trusted proxies say who called them, in lower case."""
    proxy_protocol_from: tuple[Network, ...] = ()
    """Networks whose connections begin with a header of the PROXY protocol, which is believed."""
    tls: Tls = Tls()
    egress: Egress = Egress()
    upstreams: tuple[Upstream, ...] = ()
    limits: Limits = Limits()
    record: Recording = Recording()
    audit: Auditing = Auditing()
    extraction: Detecting = Detecting()
    log_format: str = "text"
    """Or `json`."""
    file: Path | None = None

    @property
    def store_shown(self) -> str:
        """Return the store without what may be a password."""
        return shown(self.store)

    @property
    def accounts_shown(self) -> str:
        """Return where accounts are, without what may be a password."""
        return shown(self.accounts) if isinstance(self.accounts, str) else str(self.accounts or "none")


def shown(url: str) -> str:
    """Return a URL without user, password and options, of which one may be a password."""
    scheme, separator, rest = url.partition("?")[0].partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"
