"""Files are exchanged while the fence serves, without a connection being lost."""

import asyncio
import contextlib
import ssl

import openai
import pytest
from tests.e2e.conftest import ACCOUNTS, POLICY
from tests.tls_front import Authority

from modelfence.core.call import key_digest
from modelfence.settings import Tls
from modelfence.workers.watch import Watch

FROM_US = {"X-Forwarded-For": "8.8.8.8"}
MESSAGES = [{"role": "user", "content": "hello"}]


@pytest.fixture
async def gateway(start):
    return await start()


@pytest.fixture
async def client(gateway):
    async with openai.AsyncOpenAI(
        base_url=f"http://{gateway.listen}/v1", api_key="sk-acme", max_retries=0, timeout=20, default_headers=FROM_US
    ) as client:
        yield client


async def ask(client, **changes):
    return await client.chat.completions.create(model="gpt-4o", messages=MESSAGES, **changes)


async def test_another_policy_is_live_for_the_next_call_and_a_stream_goes_on(gateway, client):
    assert (await ask(client)).choices[0].message.content
    stream = await ask(client, stream=True)
    first = await anext(aiter(stream))
    before = gateway.parts.policy.hash
    gateway.settings.policy.write_text(POLICY.replace("embargoed: [KP]", "embargoed: [KP, US]"))
    reloaded = await gateway.reload()
    assert (reloaded.changed, reloaded.failures) == (("policy",), {})
    with pytest.raises(openai.PermissionDeniedError, match="not available in your region"):
        await ask(client)
    rest = [chunk async for chunk in stream]
    assert first
    assert rest[-1].usage or rest[-1].choices[0].finish_reason
    state = gateway.state()
    assert state.policy == gateway.parts.policy.hash != before
    assert (await gateway.reload()).changed == ()


async def test_a_policy_with_a_problem_changes_nothing_and_says_what_is_wrong(gateway, client):
    gateway.settings.policy.write_text(POLICY.replace("client.country in", "client.contry in"))
    reloaded = await gateway.reload()
    assert reloaded.changed == ()
    assert "unknown fact `client.contry`" in reloaded.failures["policy"]
    assert "did you mean `client.country`?" in reloaded.failures["policy"]
    assert await ask(client)


async def test_a_policy_that_asks_what_no_database_says_is_live_with_a_warning(gateway):
    assert (await gateway.reload()).warnings == ()
    changed = POLICY.replace("client.country in", "client.region == 'UA-43' || client.country in")
    gateway.settings.policy.write_text(changed)
    reloaded = await gateway.reload()
    assert reloaded.changed == ("policy",)
    [warning] = reloaded.warnings
    assert "warning: the policy reads `client.region`, and no database under `geo` says it" in warning
    assert (await gateway.reload()).warnings == ()


async def test_an_included_file_that_a_broken_policy_hides_is_waited_for_and_not_read_again_and_again(gateway):
    policy, pack = gateway.settings.policy, gateway.settings.policy.with_name("pack.yaml")
    pack.write_text("version: 1\nlists: {embargoed: [KP]}\n")
    including = POLICY.replace("lists:\n  embargoed: [KP]", "include: [pack.yaml]\nlists:")
    policy.write_text(including)
    assert (await gateway.reload()).failures == {}
    watch = Watch()
    policy.write_text(including + "\t")
    pack.write_text("version: 1\nlists: {embargoed: [KP, US]}\n")
    reloaded = await gateway.reload()
    assert "policy" in reloaded.failures
    watch.expect(reloaded.stamps)
    assert [watch.has_changed() for _ in range(2)] == [False, False]
    policy.write_text(including)
    assert [watch.has_changed() for _ in range(2)] == [False, True]
    await gateway.reload()
    assert "US" in gateway.parts.policy.lists["embargoed"]


async def test_a_part_that_is_left_out_stays_as_it_was_and_is_read_the_next_time(gateway):
    settings, accounts = gateway.settings, gateway.parts.accounts
    watch = Watch()
    settings.policy.write_text(POLICY.replace("embargoed: [KP]", "embargoed: [KP, US]"))
    settings.accounts.write_text("half of a directory")
    reloaded = await gateway.reload(left_out={settings.accounts})
    assert (reloaded.changed, reloaded.failures) == (("policy",), {})
    assert gateway.parts.accounts is accounts
    settings.accounts.write_text(ACCOUNTS.replace("id: acme", "id: acme-2"))
    watch.expect(reloaded.stamps)
    assert [watch.has_changed() for _ in range(2)] == [False, True]
    assert (await gateway.reload()).changed == ("accounts",)


async def test_a_suspended_account_is_out_and_a_new_one_is_in(gateway, client):
    assert await ask(client)
    accounts = ACCOUNTS.replace("id: acme", "id: acme-2").replace(key_digest("sk-acme"), key_digest("sk-fresh"))
    gateway.settings.accounts.write_text(accounts)
    assert (await gateway.reload()).changed == ("accounts",)
    with pytest.raises(openai.AuthenticationError):
        await ask(client)
    assert await ask(client.with_options(api_key="sk-fresh"))


async def test_a_renewed_certificate_meets_the_next_connection_and_one_that_fits_nothing_does_not(start, tmp_path):
    authority, cert = Authority(tmp_path, "authority"), tmp_path / "served.pem"
    cert.write_bytes(authority.certificate("localhost").read_bytes())
    gateway = await start(tls=Tls(cert))
    context = ssl.create_default_context(cafile=authority.file)

    async def met_with():
        async with asyncio.timeout(20):
            _, writer = await asyncio.open_connection(
                gateway.listen.host, gateway.listen.port, ssl=context, server_hostname="localhost"
            )
        certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return certificate

    first = await met_with()
    cert.write_bytes(b"half a certificate")
    reloaded = await gateway.reload()
    assert "can't be used" in reloaded.failures["tls"]
    assert "tls" in (await gateway.reload()).failures  # it is still not what the file holds
    assert await met_with() == first
    cert.write_bytes(authority.certificate("localhost").read_bytes())
    assert (await gateway.reload()).changed == ("tls",)
    assert await met_with() != first
