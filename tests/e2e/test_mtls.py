"""OpenAI's own client over TLS, with a certificate: as what proves who calls, beside an API key, and against one."""

import asyncio
import hashlib
import ssl
from ipaddress import ip_network
from typing import Any

import httpx2
import openai
import pytest
from tests.tls_front import Authority, TlsFront
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from modelfence.core.call import key_digest
from modelfence.core.upstream import Upstream
from modelfence.settings import CannotStartError, Tls

UNUSED = "a key that is not sent"
HI = [{"role": "user", "content": "Say hello."}]


def fingerprint(path) -> str:
    """Return what `openssl x509 -outform DER | sha256sum` prints, as accounts are written."""
    text = path.read_text()
    end = "-----END CERTIFICATE-----\n"
    der = ssl.PEM_cert_to_DER_cert(text[text.index("-----BEGIN CERT") : text.index(end)] + end)
    return f"sha256:{hashlib.sha256(der).hexdigest()}"


class Office:
    """Two authorities, a certificate of each account, one of nobody, and the files for a fence."""

    def __init__(self, folder) -> None:
        (folder / "clients").mkdir()
        self.servers, clients = Authority(folder, "servers"), Authority(folder / "clients", "clients")
        self.acme, self.umbrella, self.nobody = (clients.certificate(name) for name in ("acme", "umbrella", "nobody"))
        self.tls = Tls(self.servers.certificate("localhost"), None, clients.file)
        self.accounts = folder / "certified.yaml"
        self.accounts.write_text(f"""\
accounts:
  - id: acme
    keys: ["{key_digest("sk-acme")}"]
    certificates: ["{fingerprint(self.acme)}"]
    status: active
    tier: verified
    owners: []
  - id: umbrella
    keys: ["{key_digest("sk-umbrella")}"]
    certificates: ["{fingerprint(self.umbrella)}"]
    status: active
    tier: verified
    owners: []
""")

    def client(self, gateway, certificate, key=None):
        """Return the SDK's client."""
        context = ssl.create_default_context(cafile=self.servers.file)
        if certificate is not None:
            context.load_cert_chain(certificate)
        return openai.AsyncOpenAI(
            base_url=f"https://localhost:{gateway.listen.port}/v1",
            api_key=key or UNUSED,
            default_headers={"x-forwarded-for": "8.8.8.8"},
            http_client=httpx2.AsyncClient(verify=context, trust_env=False),
            max_retries=0,
        )


@pytest.fixture
def office(tmp_path):
    return Office(tmp_path)


class Watcher:
    """Remembers which accounts called."""

    def __init__(self) -> None:
        self.accounts: list[str] = []
        self.digests: list[str] = []

    def judged(self, judged) -> None:
        self.accounts.append(judged.account.id if judged.account else "")
        self.digests.append(judged.call.credential.digest)

    def __getattr__(self, name) -> Any:
        return lambda *_: None


@pytest.fixture
def watcher():
    return Watcher()


@pytest.fixture
async def gateway(start, office, watcher):
    return await start(watcher, tls=office.tls, accounts=office.accounts)


async def say(client, **options):
    """Call, without the header for a key where there is none."""
    headers = {"Authorization": openai.Omit()} if client.api_key == UNUSED else {}
    options = {"max_completion_tokens": 3, **options}
    return await client.chat.completions.create(model="gpt-4o", messages=HI, extra_headers=headers, **options)


async def ask(client):
    async with client:
        return await say(client)


async def test_a_certificate_alone_proves_who_calls(gateway, office, watcher, api):
    for certificate in (office.acme, office.umbrella):
        assert (await ask(office.client(gateway, certificate))).choices
    assert watcher.accounts == ["acme", "umbrella"]
    assert api.last_headers["authorization"] == "Bearer sk-upstream"


async def test_what_a_certificate_is_kept_as_is_the_digest_of_no_api_key(gateway, office, watcher):
    await ask(office.client(gateway, office.acme))
    (digest,) = watcher.digests
    assert digest != fingerprint(office.acme)
    for word in (fingerprint(office.acme), fingerprint(office.acme).removeprefix("sha256:"), digest):
        with pytest.raises(openai.AuthenticationError):
            await ask(office.client(gateway, office.acme, word))


async def test_a_stream_is_served_over_tls(gateway, office):
    async with office.client(gateway, office.acme) as client:
        stream = await say(client, stream=True, max_completion_tokens=50)
        words = [chunk.choices[0].delta.content async for chunk in stream if chunk.choices]
    assert any(words)


async def test_a_key_and_a_certificate_of_one_account_are_one_caller(gateway, office, watcher):
    assert (await ask(office.client(gateway, office.acme, "sk-acme"))).choices
    assert watcher.accounts == ["acme"]


@pytest.mark.parametrize(
    ("certificate", "key"),
    [
        ("acme", "sk-umbrella"),
        ("umbrella", "sk-acme"),
        ("acme", "sk-unknown"),
        ("nobody", "sk-acme"),
        ("nobody", "sk-x"),
    ],
)
async def test_a_key_and_a_certificate_that_no_account_has_both_of_are_refused(
    gateway, office, watcher, api, certificate, key
):
    with pytest.raises(openai.AuthenticationError, match="do not belong to the same account"):
        await ask(office.client(gateway, getattr(office, certificate), key))
    assert watcher.accounts == [""]
    assert api.requests == 0


async def test_a_certificate_that_no_account_lists_is_like_an_unknown_key(gateway, office, watcher, api):
    with pytest.raises(openai.AuthenticationError):
        await ask(office.client(gateway, office.nobody))
    assert watcher.accounts == [""]
    assert api.requests == 0


async def test_a_malformed_key_is_not_made_up_for_by_a_certificate(gateway, office, watcher, api):
    with pytest.raises(openai.AuthenticationError):
        await ask(office.client(gateway, office.acme, "a b"))
    assert watcher.accounts == [""]
    assert api.requests == 0


@pytest.mark.parametrize("key", [None, "sk-acme"])
async def test_nobody_gets_in_without_a_certificate_not_even_with_a_key(gateway, office, watcher, key):
    with pytest.raises(openai.APIConnectionError):
        await ask(office.client(gateway, None, key))
    assert watcher.accounts == []


async def test_callers_who_share_the_fence_are_not_taken_for_each_other(gateway, office, watcher):
    async with office.client(gateway, office.acme) as acme, office.client(gateway, office.umbrella) as umbrella:
        for client in (acme, umbrella, acme, umbrella):
            await say(client)
    assert watcher.accounts == ["acme", "umbrella", "acme", "umbrella"]


async def over_wire(gateway, office, header, certificate):
    """Send a PROXY header, make a handshake, call, and return what is answered."""
    body = b'{"model": "gpt-4o", "messages": [], "max_completion_tokens": 1}'
    context = ssl.create_default_context(cafile=office.servers.file)
    context.load_cert_chain(certificate)
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.listen.port)
    writer.write(header)
    await writer.start_tls(context, server_hostname="localhost")
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
    writer.write(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    return answer.decode()


@pytest.mark.parametrize(("address", "status"), [("8.8.8.8", "200"), ("175.45.176.1", "403")])
async def test_a_load_balancer_says_where_callers_are(start, office, address, status):
    networks = (ip_network("127.0.0.0/8"),)
    gateway = await start(tls=office.tls, accounts=office.accounts, proxy_protocol_from=networks)
    header = f"PROXY TCP4 {address} 10.0.0.1 5000 443\r\n".encode()
    answer = await over_wire(gateway, office, header, office.acme)
    assert answer.startswith(f"HTTP/1.1 {status}")
    assert ("not available in your region" in answer) == (status == "403")


@pytest.mark.parametrize("is_its_own", [True, False])
async def test_an_upstream_with_an_authority_of_its_own_is_verified_by_that_alone(start, office, api, is_its_own):
    front = TlsFront(office.servers, office.tls.cert, int(api.url.rpartition(":")[2]), asks=False)
    ca = office.servers.file if is_its_own else office.tls.client_ca
    upstream = Upstream("openai", "openai", "https", "localhost", front.port, secret="sk-upstream", ca=str(ca))
    try:
        gateway = await start(upstreams=(upstream,), tls=office.tls, accounts=office.accounts)
        if is_its_own:
            assert (await ask(office.client(gateway, office.acme))).choices
        else:
            with pytest.raises(openai.InternalServerError) as caught:
                await ask(office.client(gateway, office.acme))
            assert caught.value.status_code == 502
    finally:
        front.close()
    assert api.requests == is_its_own


async def test_where_no_certificates_are_asked_for_one_proves_nothing(start, office, watcher):
    gateway = await start(watcher, tls=Tls(office.tls.cert), accounts=office.accounts)
    with pytest.raises(openai.AuthenticationError):
        await ask(office.client(gateway, office.acme))
    assert (await ask(office.client(gateway, None, "sk-umbrella"))).choices
    assert watcher.accounts == ["", "umbrella"]
    assert gateway.banner().startswith("modelfence listens on https://")


@pytest.mark.parametrize(
    ("tls", "said"),
    [
        (lambda office: Tls(client_ca=office.tls.client_ca), "no certificate to serve TLS with"),
        (lambda office: Tls(key=office.tls.cert), "no certificate to serve TLS with"),
        (lambda office: Tls(office.accounts), "the certificate can't be used"),
        (lambda office: Tls(office.tls.cert, client_ca=office.accounts), "the certificate can't be used"),
    ],
)
async def test_a_fence_that_could_not_keep_its_word_does_not_start(start, office, tls, said):
    with pytest.raises(CannotStartError, match=said):
        await start(tls=tls(office), accounts=office.accounts)


async def test_a_file_without_an_authority_for_an_upstream_keeps_the_fence_from_starting(start, office):
    upstream = Upstream("openai", "openai", "https", "localhost", 1, ca=str(office.accounts))
    with pytest.raises(CannotStartError, match="holds no certificate of an authority"):
        await start(upstreams=(upstream,))


async def test_another_mitmproxy_than_the_tested_one_keeps_the_fence_from_starting(start, monkeypatch):
    monkeypatch.setattr("mitmproxy.version.VERSION", "12.3.0")
    with pytest.raises(CannotStartError, match=r"mitmproxy 12\.3\.0 is not one of the tested versions: 12\.2\.3"):
        await start()


@pytest.mark.parametrize(
    ("certificate", "key", "status", "judged"),
    [
        ("acme", None, 404, ["acme"]),  # from the stand-in API, which serves no websockets
        ("acme", "sk-acme", 404, ["acme"]),
        ("acme", "sk-umbrella", 401, [""]),
        ("acme", "sk-nobody", 401, [""]),
        ("nobody", None, 401, [""]),
        ("nobody", "sk-acme", 401, [""]),
    ],
)
async def test_realtime_sessions_are_judged_by_the_certificate(
    gateway, office, watcher, certificate, key, status, judged
):
    context = ssl.create_default_context(cafile=office.servers.file)
    context.load_cert_chain(getattr(office, certificate))
    headers = {"x-forwarded-for": "8.8.8.8"} | ({"authorization": f"Bearer {key}"} if key else {})
    address = f"wss://localhost:{gateway.listen.port}/v1/realtime?model=gpt-realtime"
    with pytest.raises(InvalidStatus) as refused:
        await connect(address, ssl=context, additional_headers=headers)
    assert refused.value.response.status_code == status
    assert watcher.accounts == judged
