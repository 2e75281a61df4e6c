"""Egress: OpenAI's own SDK, told of a proxy and of an authority and of nothing else, is judged on its way out."""

import asyncio
import ssl
from contextlib import suppress

import httpx2
import openai
import pytest
from tests.tls_front import Authority

from modelfence.core.upstream import Upstream
from modelfence.settings import CannotStartError, Egress, Tls

MESSAGES = [{"role": "user", "content": "Say hi"}]
WITHIN_S = 10
FROM_NORWAY = {"x-forwarded-for": "84.208.20.110"}


@pytest.fixture
async def front(api, tmp_path):
    """Return the port on which the stand-in API speaks TLS as `localhost`, and who vouches for it."""
    authority = Authority(tmp_path, "upstream-authority")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.certificate("localhost"))

    async def pass_on(reader, writer):
        there, back = await asyncio.open_connection("127.0.0.1", int(api.url.rpartition(":")[2]))
        await asyncio.gather(copy(reader, back), copy(there, writer))

    async def copy(reader, writer):
        with suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
        writer.close()

    server = await asyncio.start_server(pass_on, "127.0.0.1", 0, ssl=context)
    yield server.sockets[0].getsockname()[1], authority.file
    server.close()


@pytest.fixture
async def gateway(start, front, tmp_path):
    port, authority = front
    upstream = Upstream("openai", "openai", "https", "localhost", port, secret="sk-upstream", ca=authority)
    return await start(upstreams=(upstream,), egress=Egress(enabled=True, authority=tmp_path / "ca"))


def client(gateway, front, tmp_path, *, key="sk-acme", trusts=True):
    context = ssl.create_default_context(cafile=tmp_path / "ca" / "modelfence-ca-cert.pem") if trusts else True
    http = httpx2.AsyncClient(proxy=f"http://{gateway.listen}", verify=context, headers=FROM_NORWAY)
    return openai.AsyncOpenAI(api_key=key, base_url=f"https://localhost:{front[0]}/v1", http_client=http, max_retries=0)


async def test_a_call_through_the_proxy_is_judged_and_goes_up_with_the_fences_key(gateway, front, api, tmp_path):
    async with client(gateway, front, tmp_path) as sdk:
        answer = await sdk.chat.completions.create(model="gpt-4o", messages=MESSAGES, max_tokens=5)
    assert answer.choices[0].message.content
    assert api.last_headers["authorization"] == "Bearer sk-upstream"
    assert api.last_headers["host"] == f"localhost:{front[0]}"


async def test_a_call_that_is_refused_never_leaves(gateway, front, api, tmp_path):
    async with client(gateway, front, tmp_path, key="sk-nobody") as sdk:
        with pytest.raises(openai.AuthenticationError):
            await sdk.chat.completions.create(model="gpt-4o", messages=MESSAGES)
    assert api.requests == 0


async def test_who_does_not_trust_the_authority_is_not_served(gateway, front, api, tmp_path):
    async with client(gateway, front, tmp_path, trusts=False) as sdk:
        with pytest.raises(openai.APIConnectionError):
            await sdk.chat.completions.create(model="gpt-4o", messages=MESSAGES)
    assert api.requests == 0


async def first_line(gateway, data):
    reader, writer = await asyncio.open_connection(gateway.listen.host, gateway.listen.port)
    writer.write(data)
    async with asyncio.timeout(WITHIN_S):
        answer = await reader.read()
    writer.close()
    return answer.partition(b"\r\n")[0].strip()


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (b"CONNECT elsewhere.example:443 HTTP/1.1\r\nHost: elsewhere.example:443\r\n\r\n", b"403"),
        (b"CONNECT localhost:1 HTTP/1.1\r\n\r\n", b"403"),
        (b"CONNECT localhost.:443 HTTP/1.1\r\n\r\n", b"403"),
        (b"CONNECT localhost:443 HTTP/2.0\r\n\r\n", b"400"),
        (b"CONNECT localhost:443\r\n\r\n", b"400"),
        (b"CONNECT https://localhost:443/ HTTP/1.1\r\n\r\n", b"400"),
        (b"CONNECT user@localhost:443 HTTP/1.1\r\n\r\n", b"400"),
        (b"CONNECT [::1]:443 HTTP/1.1\r\n\r\n", b"400"),
        (b"CONNECT localhost:443 HTTP/1.1\r\n folded\r\n\r\n", b"400"),
        (b"CONNECT localhost:443 HTTP/1.1\nHost: x\n\r\n\r\n", b"400"),
        (b"CONNECT localhost:443 HTTP/1.1\r\n\r\nmore at once", b"400"),
        (b"GET http://localhost/v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n", b"400"),
        (b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", b"400"),
        (b"CONNECT " + b"x" * 100_000, b"400"),
    ],
)
async def test_what_asks_for_no_tunnel_to_an_upstream_is_refused(gateway, api, asked, status):
    assert await first_line(gateway, asked) == b"HTTP/1.1 " + status
    assert api.requests == 0


async def test_tunnels_to_elsewhere_pass_by_setting_but_never_into_ones_own_network(start, tmp_path):
    upstream = Upstream("openai", "openai", "https", "api.example", 443)
    gateway = await start(
        upstreams=(upstream,), egress=Egress(enabled=True, authority=tmp_path / "ca", tunnel_others=True)
    )
    for asked, status in {
        b"localhost:443": b"502",
        b"127.0.0.1:443": b"502",
        b"169.254.169.254:443": b"502",
        b"10.0.0.1:443": b"502",
        b"api.example.:80": b"403",
        b"elsewhere.example:80": b"403",
    }.items():
        assert await first_line(gateway, b"CONNECT " + asked + b" HTTP/1.1\r\n\r\n") == b"HTTP/1.1 " + status


async def test_what_egress_can_not_do_keeps_the_fence_from_starting(start, front, tmp_path):
    certificate = Authority(tmp_path, "own-authority").certificate("fence")
    upstream = Upstream("openai", "openai", "https", "localhost", front[0])
    egress = Egress(enabled=True, authority=tmp_path / "ca")
    with pytest.raises(CannotStartError, match="leave out `tls`"):
        await start(upstreams=(upstream,), egress=egress, tls=Tls(cert=certificate))
    with pytest.raises(CannotStartError, match="these are not: local"):
        await start(upstreams=(upstream, Upstream("local", "openai", "http", "localhost", 80)), egress=egress)


async def test_two_hosts_may_share_a_prefix(start, front, api, tmp_path):
    port, authority = front
    other = Upstream("anthropic", "anthropic", "https", "api.anthropic.example", 443)
    mine = Upstream("openai", "openai", "https", "localhost", port, secret="sk-upstream", ca=authority)
    gateway = await start(upstreams=(other, mine), egress=Egress(enabled=True, authority=tmp_path / "ca"))
    async with client(gateway, front, tmp_path) as sdk:
        await sdk.chat.completions.create(model="gpt-4o", messages=MESSAGES, max_tokens=5)
    assert api.requests == 1
