"""An upstream over TLS: by its name, with its certificate verified, in HTTP/1.1, and not at all otherwise."""

import asyncio
import datetime as dt
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from modelfence.core.call import Usage
from modelfence.core.upstream import Upstream


@pytest.fixture
def certificate(tmp_path):
    """A file with a self-signed certificate for `localhost` and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    one = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "certificate.pem"
    plain = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    pem.write_bytes(private + one.public_bytes(serialization.Encoding.PEM))
    return pem


@pytest.fixture
async def tls_upstream(upstream, certificate):
    """The recording upstream, over TLS, with what it was told in the handshakes."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    context.set_alpn_protocols(["h2", "http/1.1"])
    upstream.names = []
    context.sni_callback = lambda _socket, name, _context: upstream.names.append(name)
    await upstream.stop()
    await upstream.start(context)
    return upstream


async def start(start_fence, port, host="localhost"):
    return await start_fence(upstreams=[Upstream("openai", "openai", "https", host, port, secret="sk-real")])


async def test_an_upstream_whose_certificate_is_trusted_is_spoken_to_by_its_name(
    start_fence, tls_upstream, wire, certificate
):
    fence = await start(start_fence, tls_upstream.port)
    fence.proxy._master.options.update(ssl_verify_upstream_trusted_ca=str(certificate))
    client = await fence.connect()
    for _ in range(2):
        await client.send(wire.post())
        assert (await client.answer()).body == wire.PLAIN
    assert tls_upstream.names == ["localhost"]
    assert tls_upstream.requests[0].first_line == "POST /v1/chat/completions HTTP/1.1"
    assert tls_upstream.requests[0]["host"] == f"localhost:{tls_upstream.port}"


@pytest.mark.parametrize("why", ["nobody vouches for it", "it is another's"])
async def test_an_upstream_whose_certificate_is_not_right_gets_no_byte_and_the_client_a_502(
    start_fence, tls_upstream, wire, certificate, why
):
    fence = await start(start_fence, tls_upstream.port, "127.0.0.1" if why == "it is another's" else "localhost")
    if why == "it is another's":
        fence.proxy._master.options.update(ssl_verify_upstream_trusted_ca=str(certificate))
    client = await fence.connect()
    for _ in range(2):
        await client.send(wire.post())
        answer = await client.answer()
        assert answer.status == 502
        assert "certificate" not in answer.body.decode()
    assert all(record == b"" for record in tls_upstream.received)
    assert (await fence.watcher.settlement(2)).usage is None


async def test_a_report_that_comes_after_the_client_has_left_is_charged_over_tls_too(
    start_fence, tls_upstream, wire, certificate
):
    fence = await start(start_fence, tls_upstream.port)
    fence.proxy._master.options.update(ssl_verify_upstream_trusted_ca=str(certificate))
    left, word = asyncio.Event(), wire.chunk(wire.event("word"))

    async def report_late(writer):
        writer.write(wire.STREAM_HEAD + word)
        await left.wait()
        await asyncio.sleep(0.05)
        writer.write(wire.chunk(wire.event(usage=wire.USAGE)) + wire.chunk(b"data: [DONE]\n\n"))

    tls_upstream.answers.append(report_late)
    client = await fence.connect()
    await client.send(wire.post({**wire.BODY, "stream": True}))
    await client.head()
    await client.exactly(word)
    client.close()
    left.set()
    async with asyncio.timeout(wire.WITHIN_S):
        await tls_upstream.closed.wait()
    assert (await fence.watcher.settlement()).usage == Usage(input_tokens=3, output_tokens=7)
