"""The studio, attacked by other pages, other names of this machine, and other users of it."""

import asyncio
import json
from contextlib import suppress

import pytest
from tornado.httpserver import HTTPServer
from tornado.iostream import StreamClosedError
from tornado.netutil import bind_sockets
from tornado.simple_httpclient import HTTPStreamClosedError
from tornado.web import Application, stream_request_body

from modelfence.workbench.studio.protection import TOKEN_HEADER, Api, Identity
from modelfence.workbench.studio.server import MAX_BODY_BYTES, MAX_HEAD_BYTES

PARTS = ("/", "/studio.js", "/studio.css", "/world.json", "/licences.txt", "/icon.svg")
QUESTIONS = ("start", "check", "decide", "paste", "map", "cases", "compare", "changes", "save")


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("token", ["", "x", "é"])
async def test_nobody_is_answered_without_the_token(studio, question, token):
    code, answer = await studio.ask(question, X_Studio_Token=token)
    assert code == 403
    assert answer == {"error": "Open the address that modelfence studio has printed."}


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example:80", "[::1]:80", ""]
)
async def test_nobody_is_answered_who_calls_this_machine_by_another_name(studio, host):
    code, _ = await studio.ask("start", Host=host)
    assert code in (400, 421)
    for part in PARTS:
        assert (await studio.fetch(part, Host=host)).code in (400, 421)


async def test_this_machine_may_be_called_localhost(studio):
    code, _ = await studio.ask("start", Host=f"localhost:{studio.identity.port}")
    assert code == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1", "file://"])
async def test_no_other_page_is_answered_even_with_the_token(studio, origin):
    code, answer = await studio.ask("save", Origin=origin)
    assert (code, answer) == (403, {"error": "This is for the studio's own page."})


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none"])
async def test_what_a_browser_says_comes_from_elsewhere_is_refused(studio, site):
    assert (await studio.ask("start", Sec_Fetch_Site=site))[0] == 403


async def test_the_own_page_is_answered(studio):
    code, answer = await studio.ask(
        "start", Origin=f"http://127.0.0.1:{studio.identity.port}", Sec_Fetch_Site="same-origin"
    )
    assert code == 200
    assert answer["name"].endswith("policy.yaml")


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""])
async def test_no_form_can_ask(studio, content_type):
    assert (await studio.ask("start", Content_Type=content_type))[0] == 415


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"])
async def test_questions_are_posted(studio, method):
    response = await studio.fetch("/api/start", method=method, X_Studio_Token=studio.identity.token)
    assert response.code == 405
    assert "Access-Control-Allow-Origin" not in response.headers


@pytest.mark.parametrize(
    "path",
    [
        "/../policy.yaml", "/static/../policy.yaml", "/policy.yaml", "/%2e%2e/policy.yaml", "//etc/passwd", "/api",
        "/api/", "/api/start/", "/index.html", "/studio.js/", "/favicon.ico",
    ],
)  # fmt: skip
async def test_what_is_not_named_is_not_there(studio, path):
    response = await studio.fetch(path)
    assert response.code == 404
    assert json.loads(response.body) == {"error": "There is nothing here."}


@pytest.mark.parametrize("part", PARTS)
async def test_every_part_of_the_page_says_that_it_is_for_itself_alone(studio, part):
    response = await studio.fetch(part)
    assert response.code == 200
    headers = response.headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert "Server" not in headers
    assert studio.identity.token.encode() not in response.body


async def test_the_page_may_run_nothing_but_its_own_script(studio):
    response = await studio.fetch("/")
    policy = response.headers["Content-Security-Policy"]
    assert "script-src 'self';" in policy
    nonce = policy.partition("'nonce-")[2].partition("'")[0]
    assert f'content="{nonce}"' in response.body.decode()
    assert nonce not in (await studio.fetch("/")).headers["Content-Security-Policy"]


@pytest.mark.parametrize("body", [b"", b"[]", b"nonsense", b"[" * 100_000, b"\xff\xfe"], ids=range(5))
async def test_what_is_no_question_is_refused(studio, body):
    response = await studio.fetch(
        "/api/check", method="POST", body=body,
        X_Studio_Token=studio.identity.token, Content_Type="application/json",
    )  # fmt: skip
    assert response.code == 400


async def test_bodies_and_heads_have_a_bound(studio):
    # It answers or hangs up, which of the two depends on what was sent by then.
    with suppress(HTTPStreamClosedError, StreamClosedError):
        response = await studio.fetch(
            "/api/check", method="POST", body=b" " * (MAX_BODY_BYTES + 1), X_Studio_Token=studio.identity.token
        )
        assert response.code in (400, 413, 599)
    with suppress(HTTPStreamClosedError, StreamClosedError):
        response = await studio.fetch("/", X_Much="x" * (MAX_HEAD_BYTES + 1))
        assert response.code in (400, 431, 599)


async def test_nothing_of_a_body_is_waited_for_whose_sender_has_no_token(studio):
    reader, writer = await asyncio.open_connection("127.0.0.1", studio.identity.port)
    head = (
        f"POST /api/save HTTP/1.1\r\nHost: 127.0.0.1:{studio.identity.port}\r\nContent-Length: {MAX_BODY_BYTES}\r\n\r\n"
    )
    writer.write(head.encode())
    async with asyncio.timeout(10):
        assert (await reader.readline()).startswith(b"HTTP/1.1 403 ")
        await reader.read()  # and then it hangs up
    writer.close()


async def test_nobody_works_on_for_a_page_that_hangs_up():
    began, ended = asyncio.Event(), asyncio.Event()

    @stream_request_body
    class Long(Api):
        async def answer(self, _asked):
            began.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

    [listening] = bind_sockets(0, "127.0.0.1")
    identity = Identity.at(listening.getsockname()[1])
    server = HTTPServer(Application([("/long", Long, {"identity": identity})]))
    server.add_socket(listening)
    _, writer = await asyncio.open_connection(*listening.getsockname())
    head = f"Host: 127.0.0.1:{identity.port}\r\n{TOKEN_HEADER}: {identity.token}\r\nContent-Type: application/json\r\n"
    writer.write(f"POST /long HTTP/1.1\r\n{head}Content-Length: 2\r\n\r\n{{}}".encode())
    async with asyncio.timeout(10):
        await began.wait()
        writer.close()
        await ended.wait()
    server.stop()
    await server.close_all_connections()


async def test_no_form_is_taken_apart_before_the_token_was_looked_at(studio):
    body = b"--x\r\nnonsense\r\n"  # the library would refuse it with another word
    response = await studio.fetch("/api/save", method="POST", body=body, Content_Type="multipart/form-data; boundary=x")
    assert response.code == 403


@pytest.mark.parametrize(
    "asked",
    [
        {"texts": []}, {"texts": {"0": 1}}, {"texts": {"7": "x"}}, {"texts": {"../../etc/passwd": "x"}},
        {"texts": {"/etc/passwd": "x"}}, {"texts": {"0": "\ud800"}}, {"texts": None},
    ],
    ids=range(7),
)  # fmt: skip
async def test_texts_are_those_of_files_that_are_open(studio, asked):
    for question in ("check", "decide", "map", "changes"):
        code, answer = await studio.ask(question, asked)
        assert code == 400
        assert answer["error"]
