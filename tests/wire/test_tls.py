"""TLS towards callers: which versions, which certificate, who is let in; and which authority an upstream must have."""

import asyncio
import contextlib
import logging
import os
import ssl
import warnings
from ipaddress import ip_network
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from tests.tls_front import Authority

from modelfence.core.upstream import Upstream
from modelfence.source_files import SourceFiles
from modelfence.wire.tls import ServerTls, pinned

HEADER = b"PROXY TCP4 203.0.113.7 10.0.0.1 5000 443\r\n"


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path, "authority")


@pytest.fixture
def certificate(authority, tmp_path):
    """The file the fence serves with; to be replaced by some tests."""
    path = tmp_path / "served.pem"
    path.write_bytes(authority.certificate("localhost").read_bytes())
    return path


@pytest.fixture
async def fence(start_fence, certificate):
    fence = await start_fence()
    fence.proxy._tls = ServerTls(certificate)
    return fence


def trusting(authority, own: Path | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authority.file)
    if own is not None:
        context.load_cert_chain(own)
    return context


async def connect(wire, fence, context, before=b""):
    """Return a client after its handshake, which comes after what is sent in the clear."""
    client = await fence.connect()
    await client.send(before)
    async with asyncio.timeout(wire.WITHIN_S):
        await client.writer.start_tls(context, server_hostname="localhost")
    return client


async def connect_and_send(wire, fence, authority):
    client = await connect(wire, fence, trusting(authority))
    await client.send(wire.post())
    return client


def met_with(client) -> bytes:
    return client.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)


def in_file(path: Path) -> bytes:
    text = path.read_text()
    return ssl.PEM_cert_to_DER_cert(
        text[text.index("-----BEGIN CERT") : text.index("-----END CERT")] + "-----END CERTIFICATE-----\n"
    )


async def test_calls_over_tls_are_served_like_any_other(fence, wire, authority):
    client = await connect(wire, fence, trusting(authority))
    for _ in range(2):
        await client.send(wire.post())
        assert (await client.answer()).body == wire.PLAIN
    assert client.writer.get_extra_info("ssl_object").version() == "TLSv1.3"
    assert [judged.call.client_ip for judged in fence.watcher.calls] == ["127.0.0.1"] * 2


async def test_a_stream_over_tls_passes_whole(fence, wire, upstream, authority):
    async def stream(writer):
        writer.write(wire.STREAM_HEAD)
        for n in range(200):
            writer.write(wire.chunk(wire.event(f"word {n}" * 100)))
            await writer.drain()
        writer.write(wire.chunk(wire.event(usage=wire.USAGE)) + wire.chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")

    upstream.answers.append(stream)
    client = await connect(wire, fence, trusting(authority))
    await client.send(wire.post({**wire.BODY, "stream": True, "stream_options": {"include_usage": True}}))
    assert (await client.answer()).body.count(b"data:") == 202
    assert (await fence.watcher.settlement()).usage.output_tokens == 7


async def test_a_refusal_arrives_though_more_was_sent_than_is_read(fence, wire, authority, caplog):
    client = await connect(wire, fence, trusting(authority))
    await client.send(wire.post(b"x" * 100_000, "Content-Length: 100000000"))
    await client.send(b"x" * 100_000)
    assert (await client.answer()).status == 413
    client.close()
    await fence.proxy.stop()
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_who_leaves_right_after_the_handshake_does_no_harm(fence, wire, authority, caplog):
    for _ in range(5):
        client = await connect(wire, fence, trusting(authority))
        client.writer.transport.abort()
        for words in (b"", wire.post(), wire.post()[:-1]):
            client = await connect(wire, fence, trusting(authority))
            client.writer.write(words)
            client.writer.transport._ssl_protocol._transport.close()  # without TLS's own end
        (await connect(wire, fence, trusting(authority))).close()
    assert (await (await connect_and_send(wire, fence, authority)).answer()).status == 200
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_what_is_no_tls_gets_no_answer_and_reaches_nobody(fence, wire, upstream):
    client = await fence.connect()
    await client.send(wire.post())
    assert b"HTTP" not in await client.rest()
    assert upstream.received == []


@pytest.mark.parametrize(
    ("least", "most", "is_served"),
    [
        (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1, False),
        (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2, True),
        (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_3, True),
    ],
)
async def test_versions_before_1_2_are_not_spoken(fence, wire, authority, least, most, is_served):
    context = trusting(authority)
    with warnings.catch_warnings(action="ignore"):
        context.minimum_version, context.maximum_version = least, most
    context.set_ciphers("ALL:@SECLEVEL=0")
    try:
        client = await connect(wire, fence, context)
    except OSError:
        assert not is_served
        return
    await client.send(wire.post())
    assert (await client.answer()).status == 200
    assert is_served


@pytest.mark.parametrize(
    ("offered", "chosen"), [(["h2", "http/1.1"], "http/1.1"), (["http/1.1"], "http/1.1"), (["h2"], None), ([], None)]
)
async def test_no_other_protocol_than_http_1_1_is_agreed_on(fence, wire, authority, offered, chosen):
    context = trusting(authority)
    if offered:
        context.set_alpn_protocols(offered)
    client = await connect(wire, fence, context)
    assert client.writer.get_extra_info("ssl_object").selected_alpn_protocol() == chosen
    if chosen is None and offered:
        await client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        assert (await client.answer()).status == 400


async def test_a_changed_certificate_is_what_the_next_connection_is_met_with(fence, wire, authority, certificate):
    first = await connect(wire, fence, trusting(authority))
    assert met_with(first) == in_file(certificate)
    renewed = authority.certificate("localhost")
    await asyncio.to_thread(os.replace, renewed, certificate)
    fence.proxy._tls.reload()
    second = await connect(wire, fence, trusting(authority))
    assert met_with(second) == in_file(certificate) != met_with(first)
    for client in (first, second):  # what is open stays
        await client.send(wire.post())
        assert (await client.answer()).status == 200


@pytest.mark.parametrize("data", [b"", b"-----BEGIN CERTIFICATE-----\nnone\n-----END CERTIFICATE-----\n", None])
async def test_a_certificate_that_can_not_be_used_leaves_the_last_good_one(fence, wire, authority, certificate, data):
    good = in_file(certificate)
    if data is None:
        certificate.unlink()
    else:
        certificate.write_bytes(data)
    with pytest.raises(ValueError, match=rf"the certificate can't be used \({certificate}\)"):
        fence.proxy._tls.reload()
    assert met_with(await connect(wire, fence, trusting(authority))) == good
    certificate.write_bytes(authority.certificate("localhost").read_bytes())
    fence.proxy._tls.reload()
    assert met_with(await connect(wire, fence, trusting(authority))) == in_file(certificate) != good


def test_a_key_that_belongs_to_another_certificate_is_waited_out(authority, tmp_path):
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.write_bytes(authority.certificate("localhost").read_bytes())
    key.write_bytes(cert.read_bytes())
    tls = ServerTls(cert, key)
    first = tls.context
    renewed = authority.certificate("localhost").read_bytes()
    cert.write_bytes(renewed)  # the first of two files is there
    with pytest.raises(ValueError, match="KEY_VALUES_MISMATCH"):
        tls.reload()
    assert tls.context is first
    key.write_bytes(renewed)
    tls.reload()
    assert tls.context is not first


def test_what_can_not_be_used_from_the_start_says_so(authority, tmp_path):
    certificate, empty = authority.certificate("localhost"), tmp_path / "empty.pem"
    empty.write_text("")
    encrypted = tmp_path / "encrypted.pem"
    key = load_pem_private_key(certificate.read_bytes()[certificate.read_bytes().index(b"-----BEGIN PRIVATE") :], None)
    encrypted.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"word")))
    for files, said in (
        ((tmp_path / "none.pem",), "No such file"),
        ((empty,), "empty.pem"),
        ((certificate, authority.certificate("other")), "KEY_VALUES_MISMATCH"),
        ((certificate, encrypted), "the key is encrypted"),
        ((certificate, None, empty), "empty.pem"),
    ):
        with pytest.raises(ValueError, match=said):
            ServerTls(*files)


@pytest.fixture
def clients(tmp_path):
    """The authority of clients, beside that of the fence's own certificate."""
    return Authority(tmp_path, "clients")


@pytest.fixture
async def asking(start_fence, certificate, clients):
    """A fence that asks for certificates."""
    fence = await start_fence()
    fence.proxy._tls = ServerTls(certificate, None, clients.file)
    return fence


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_client_with_a_certificate_of_the_authority_is_served(asking, wire, authority, clients, version):
    context = trusting(authority, clients.certificate("client"))
    context.minimum_version = context.maximum_version = version
    client = await connect(wire, asking, context)
    await client.send(wire.post())
    assert (await client.answer()).status == 200


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(
    "kind", ["none", "another authority's", "self-signed under its name", "for servers only", "expired"]
)
async def test_any_other_client_is_turned_away_in_the_handshake(
    asking, wire, upstream, tmp_path, authority, clients, kind, version
):
    (tmp_path / "other").mkdir()
    own = {
        "none": lambda: None,
        "another authority's": lambda: authority.certificate("client"),
        "self-signed under its name": lambda: Authority(tmp_path / "other", "clients").certificate("client"),
        "for servers only": lambda: clients.certificate("client", for_clients=False),
        "expired": lambda: clients.certificate("client", days=-1),
    }[kind]()
    context = trusting(authority, own)
    context.minimum_version = context.maximum_version = version
    with contextlib.suppress(OSError):
        client = await connect(wire, asking, context)
        await client.send(wire.post())
        assert b"HTTP" not in await client.rest()  # in version 1.3 a client learns of it later
    assert asking.watcher.calls == []
    assert upstream.received == []


async def test_no_session_is_resumed_where_clients_have_certificates(asking, wire, authority, clients):
    context = trusting(authority, clients.certificate("client"))
    first = await connect(wire, asking, context)
    await first.send(wire.post())
    await first.answer()
    assert not first.writer.get_extra_info("ssl_object").session.has_ticket


@pytest.mark.parametrize("header", [HEADER, b"PROXY UNKNOWN\r\n"])
async def test_a_load_balancer_says_who_calls_before_the_handshake(fence, wire, authority, header):
    fence.proxy._proxy_protocol_from = [ip_network("127.0.0.0/8")]
    client = await connect(wire, fence, trusting(authority), before=header)
    await client.send(wire.post())
    assert (await client.answer()).status == 200
    (judged,) = fence.watcher.calls
    assert judged.call.client_ip == ("203.0.113.7" if header is HEADER else "127.0.0.1")


async def test_from_anyone_else_such_a_header_breaks_the_handshake(fence, wire, authority, upstream):
    with pytest.raises(OSError):
        await connect(wire, fence, trusting(authority), before=HEADER)
    assert upstream.received == []


async def test_the_fence_stops_while_a_handshake_is_awaited(fence):
    client = await fence.connect()
    await asyncio.sleep(0)
    async with asyncio.timeout(3):
        await fence.proxy.stop()
    assert await client.rest() == b""


async def test_the_fence_stops_while_a_client_says_nothing(fence, wire, authority):
    client = await connect(wire, fence, trusting(authority))
    async with asyncio.timeout(3):
        await fence.proxy.stop()
        assert await client.rest() == b""


@pytest.fixture
async def start_pinned(start_fence, upstream, authority):
    """Starts a fence that trusts two authorities, in front of an upstream whose certificate one of them signed."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(authority.certificate("localhost"))
    await upstream.stop()
    await upstream.start(context)

    async def start(ca, host="localhost"):
        one = Upstream("openai", "openai", "https", host, upstream.port, secret="sk-real", ca=str(ca))
        fence = await start_fence(upstreams=[one])
        fence.proxy._master.options.update(ssl_verify_upstream_trusted_ca=str(authority.file))
        fence.proxy._pins._authorities = {(host, upstream.port): Path(one.ca)}
        fence.proxy._pins.reload()
        return fence

    return start


async def test_an_upstream_with_a_certificate_of_its_own_authority_is_called(start_pinned, wire, authority, upstream):
    fence = await start_pinned(authority.file)
    fence.proxy._master.options.update(ssl_verify_upstream_trusted_ca=None)  # no list knows that one
    client = await fence.connect()
    for _ in range(2):
        await client.send(wire.post())
        assert (await client.answer()).body == wire.PLAIN
    assert len(upstream.received) == 1


async def test_an_upstream_with_a_certificate_that_others_trust_gets_no_byte(start_pinned, wire, clients, upstream):
    fence = await start_pinned(clients.file)
    assert (await fence.exchange(wire.post())).status == 502
    assert all(record == b"" for record in upstream.received)


async def test_its_own_authority_does_not_make_another_name_good(start_pinned, wire, authority, upstream):
    fence = await start_pinned(authority.file, host="127.0.0.1")
    assert (await fence.exchange(wire.post())).status == 502
    assert all(record == b"" for record in upstream.received)


def test_a_file_without_an_authority_can_not_be_pinned_to(tmp_path):
    (tmp_path / "empty.pem").write_text("")
    for name in ("empty.pem", "none.pem"):
        with pytest.raises(ValueError, match="holds no certificate of an authority"):
            pinned(tmp_path / name, SourceFiles())
