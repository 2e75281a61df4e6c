"""What callers come in by, and upstreams are reached by, from settings: TLS, pinned authorities, and tunnels."""

import logging
from pathlib import Path

from modelfence.settings import CannotStartError, Settings
from modelfence.source_files import SourceFiles
from modelfence.wire.egress import NAME as AUTHORITY
from modelfence.wire.egress import Egress
from modelfence.wire.guard import require_tested_version
from modelfence.wire.tls import ServerTls, UpstreamPins

log = logging.getLogger(__name__)


def tested(settings: Settings, files: SourceFiles) -> tuple[ServerTls | None, UpstreamPins]:
    """Return TLS towards callers and upstreams, once mitmproxy's version is known to be one that can be guarded.

    `files` are those of certificates. Raises CannotStartError.
    """
    tls = settings.tls
    if tls.cert is None and (tls.key or tls.client_ca):
        raise CannotStartError("there is no certificate to serve TLS with: give `tls.cert`, or leave out all of `tls`")
    try:
        require_tested_version()
        pins = UpstreamPins({(one.host, one.port): Path(one.ca) for one in settings.upstreams if one.ca}, files)
        return (ServerTls(tls.cert, tls.key, tls.client_ca, files=files) if tls.cert else None), pins
    except (RuntimeError, ValueError) as error:
        raise CannotStartError(str(error)) from None


def egress_of(settings: Settings) -> Egress | None:
    """Return what opens tunnels to the upstreams, None where callers come as to a server. Raises CannotStartError."""
    if not settings.egress.enabled:
        return None
    if settings.tls.cert is not None:
        raise CannotStartError("with `egress` callers ask for tunnels in the clear: leave out `tls`")
    if plain := [one.name for one in settings.upstreams if one.scheme != "https"]:
        raise CannotStartError(
            f"with `egress` every upstream is reached by https, and these are not: {', '.join(plain)}"
        )
    authority = settings.egress.authority or Path.home() / ".modelfence"
    try:
        egress = Egress(
            {(one.host, one.port) for one in settings.upstreams},
            authority=authority,
            leaves_others=settings.egress.tunnel_others,
        )
    except (OSError, ValueError) as error:
        raise CannotStartError(f"the authority in {authority} can't be used: {error}") from None
    log.info("callers have to trust %s", authority / f"{AUTHORITY}-ca-cert.pem")
    return egress
