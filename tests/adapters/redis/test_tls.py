"""Encrypted connections to a real server, which is let alone by those whose certificates do not fit."""

import pytest
from redis.exceptions import RedisError
from tests.tls_front import Authority

from modelfence.adapters.redis.servers import NotSentError, RedisServers

PATIENCE_S = 20


@pytest.fixture
def client(authority):
    return authority.certificate("fence")


async def ask(url: str, *, deadline_s: float = PATIENCE_S) -> object:
    servers = RedisServers(url, deadline_s=deadline_s)
    try:
        return await servers.ask("", "PING")
    finally:
        await servers.close()


async def test_a_server_and_a_client_that_know_each_other_talk(tls_front, authority, client):
    url = f"rediss://127.0.0.1:{tls_front.port}/0?ssl_ca_certs={authority.file}&ssl_certfile={client}"
    assert await ask(url) == b"PONG"
    assert await ask(f"{url}&ssl_keyfile={client}") == b"PONG"


async def test_a_server_of_another_authority_is_refused(tls_front, client, tmp_path):
    other = Authority(tmp_path, "other")
    with pytest.raises(NotSentError, match="CERTIFICATE_VERIFY_FAILED"):
        await ask(f"rediss://127.0.0.1:{tls_front.port}?ssl_ca_certs={other.file}&ssl_certfile={client}")


async def test_without_an_authority_of_its_own_the_systems_are_asked(tls_front, client):
    with pytest.raises(NotSentError, match="CERTIFICATE_VERIFY_FAILED"):
        await ask(f"rediss://127.0.0.1:{tls_front.port}?ssl_certfile={client}")


async def test_a_server_of_another_name_is_refused(authority, client, start_tls_front):
    front = start_tls_front("elsewhere.test")
    with pytest.raises(NotSentError, match="CERTIFICATE_VERIFY_FAILED"):
        await ask(f"rediss://127.0.0.1:{front.port}?ssl_ca_certs={authority.file}&ssl_certfile={client}")


async def test_a_client_without_a_certificate_is_not_let_in(tls_front, authority, tmp_path):
    url = f"rediss://127.0.0.1:{tls_front.port}?ssl_ca_certs={authority.file}"
    with pytest.raises(RedisError):  # it is told so after its side of the handshake, if it listens long enough
        await ask(url)
    other = Authority(tmp_path, "other").certificate("fence")
    with pytest.raises(RedisError):
        await ask(f"{url}&ssl_certfile={other}")


async def test_a_server_that_does_not_speak_tls_is_refused(redis_server, authority):
    with pytest.raises(NotSentError):
        await ask(f"rediss://127.0.0.1:{redis_server.port}?ssl_ca_certs={authority.file}", deadline_s=0.05)


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("ssl_ca_certs={folder}/none.pem", "`ssl_ca_certs` can't be used: no such file or directory"),
        ("ssl_ca_certs={folder}/empty.pem", "`ssl_ca_certs` can't be used: they are no PEM files that fit"),
        ("ssl_certfile={folder}/none.pem", "`ssl_certfile` and `ssl_keyfile` can't be used: no such file or directory"),
        (
            "ssl_certfile={client}&ssl_keyfile={other}",
            "`ssl_certfile` and `ssl_keyfile` can't be used: they are no PEM",
        ),
    ],
)
def test_files_that_cannot_be_used_are_found_before_the_first_call(query, says, authority, client, tmp_path):
    (tmp_path / "empty.pem").touch()
    files = {"folder": tmp_path, "client": client, "other": authority.certificate("fence")}
    with pytest.raises(ValueError, match=says):
        RedisServers(f"rediss://127.0.0.1?{query.format(**files)}", deadline_s=PATIENCE_S)
