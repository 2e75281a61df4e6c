"""TLS towards callers, who may prove themselves with certificates, and the authorities that upstreams are pinned to.

Rule: certificates are verified by the TLS library, in the handshake. Nothing here looks into one.

Why a certificate is known by its fingerprint: the digest of all of it can't be had by another one, whatever names an
authority is brought to sign; deleting one line revokes it; and a renewed one is listed beside the old. Why no session
is resumed from a ticket where clients have certificates: they would not be verified again.
"""

import asyncio
import hashlib
import os
import ssl
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from OpenSSL import SSL

from modelfence.core.account import certificate_digest
from modelfence.core.call import Credential, CredentialState
from modelfence.core.dialect import Dialect, Headers
from modelfence.source_files import SourceFiles

HANDSHAKE_S = 10.0
SHUTDOWN_S = 10.0
"""How long a client has, once the fence closes, to take what is still written to it and to close in turn."""
# The guard speaks HTTP/1.1 to clients, and nothing else.
_PROTOCOLS = ["http/1.1"]

client_certificate: ContextVar[str] = ContextVar("client_certificate", default="")
"""Under which digest the directory finds the certificate of the connection that is served; empty without one."""


class ServerTls:
    """What callers are met with: the certificate that was in the files when they were last read and could be used."""

    def __init__(
        self, cert: Path, key: Path | None = None, client_ca: Path | None = None, *, files: SourceFiles | None = None
    ) -> None:
        """`key` None: it is in the certificate's file. With `client_ca` every client must have a certificate of it.

        What the files hold counts, else what is on the disk. Raises ValueError for what can't be used.
        """
        self._cert = cert
        self._key = key
        self._client_ca = client_ca
        self.reload(files)

    def reload(self, files: SourceFiles | None = None) -> None:
        """Go on with what the files hold. Raises ValueError for what can't be used; what was before stays in use."""
        try:
            self.context = self._load(files or SourceFiles())
        except (OSError, ValueError) as error:
            raise ValueError(self._words(error)) from None

    def _load(self, files: SourceFiles) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION
        context.set_alpn_protocols(_PROTOCOLS)
        with ExitStack() as opened:
            cert, key, client_ca = (
                None if path is None else opened.enter_context(_in_memory(files.text(path)))
                for path in (self._cert, self._key, self._client_ca)
            )
            assert cert is not None  # noqa: S101 - there is no server without one
            context.load_cert_chain(cert, key, password=_no_password)
            if client_ca is not None:
                context.load_verify_locations(client_ca)
                context.verify_mode = ssl.CERT_REQUIRED
                context.options |= ssl.OP_NO_TICKET
                context.num_tickets = 0
        return context

    def _words(self, error: Exception) -> str:
        files = ", ".join(str(path) for path in (self._cert, self._key, self._client_ca) if path is not None)
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        return f"the certificate can't be used ({files}): {reason}"


@contextmanager
def _in_memory(text: bytes) -> Iterator[str]:
    """Lend what was read a path, for libraries that take nothing else: it may be a key, and comes to no disk."""
    with os.fdopen(os.memfd_create("certificate"), "wb", buffering=0) as file:
        file.write(text)
        yield f"/proc/self/fd/{file.fileno()}"


def _no_password() -> str:
    # Without this OpenSSL would ask for one on the terminal, and wait.
    raise ValueError("the key is encrypted; give one that is not, readable by the fence alone")


class _TlsTransport:
    """asyncio's transport over TLS, which has no buffer to ask for once it is closed, and raises."""

    def __init__(self, transport: asyncio.WriteTransport) -> None:
        self._transport = transport

    def get_write_buffer_size(self) -> int:
        """Return how much is written and not sent, as far as anyone else has to see to it."""
        return 0 if self._transport.is_closing() else self._transport.get_write_buffer_size()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class ClientWriter(asyncio.StreamWriter):
    """The way back to a client. mitmproxy takes from it who the client is, and half-closes it."""

    def __init__(
        self, transport: asyncio.Transport, reader: asyncio.StreamReader, client: tuple[str, int] | None = None
    ) -> None:
        """`client` stands in for the peer, where that has passed on somebody else's connection."""
        super().__init__(transport, transport.get_protocol(), reader, asyncio.get_running_loop())
        self._client = client

    @property
    def transport(self) -> asyncio.WriteTransport:
        """Return what carries the bytes."""
        transport = super().transport
        return transport if self.can_write_eof() else cast("asyncio.WriteTransport", _TlsTransport(transport))

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what is known of the connection."""
        return self._client if name == "peername" and self._client else super().get_extra_info(name, default)

    def write_eof(self) -> None:
        """Say that nothing more comes. asyncio can't over TLS: there an answer's own length says it."""
        if self.can_write_eof():
            super().write_eof()

    def certificate(self) -> str:
        """Return under which digest the directory finds the client's certificate, empty when it has none."""
        connected: ssl.SSLObject | None = self.get_extra_info("ssl_object")
        presented = connected.getpeercert(binary_form=True) if connected else None
        return certificate_digest(f"sha256:{hashlib.sha256(presented).hexdigest()}") if presented else ""


class CertifiedDialect:
    """A dialect whose callers have certificates: everything else is the API's own."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect

    def credential(self, headers: Headers, query: str = "") -> Credential:
        """Return the API key with the certificate beside it, or without a key the certificate alone.

        Raises MalformedRequestError.
        """
        credential, certificate = self._dialect.credential(headers, query), client_certificate.get()
        if not certificate or credential.state is CredentialState.MALFORMED:
            return credential
        if credential.state is CredentialState.MISSING:
            return Credential(CredentialState.PRESENTED, certificate)
        return replace(credential, certificate=certificate)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dialect, name)


def certified(dialects: Mapping[str, Dialect]) -> Mapping[str, Dialect]:
    """Return the dialects, for callers with certificates."""
    return {name: cast("Dialect", CertifiedDialect(dialect)) for name, dialect in dialects.items()}


class UpstreamPins:
    """What verifies the certificates of upstreams that are pinned to one authority, by host and port."""

    def __init__(self, authorities: Mapping[tuple[str, int], Path], files: SourceFiles | None = None) -> None:
        """What the files hold counts, else what is on the disk. Raises ValueError for what can't be used."""
        self._authorities = authorities
        self.reload(files)

    def get(self, address: tuple[str, int]) -> SSL.Context | None:
        """Return what verifies this upstream; None: any authority that is known."""
        return self._contexts.get(address)

    def reload(self, files: SourceFiles | None = None) -> None:
        """Go on with what the files hold. Raises ValueError for what can't be used; what was before stays in use."""
        files = files or SourceFiles()
        self._contexts = {address: pinned(path, files) for address, path in self._authorities.items()}


def pinned(ca: Path, files: SourceFiles) -> SSL.Context:
    """Return what verifies certificates of one authority alone. Raises ValueError for a file that can't be used."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    try:
        with _in_memory(files.text(ca)) as path:
            context.load_verify_locations(path)
    except (OSError, SSL.Error):
        raise ValueError(f"{ca} holds no certificate of an authority that can be read") from None
    return context
