"""Requests as people have them, read as the request that a fence would see."""

import json
from pathlib import Path

import pytest

from modelfence.core.call import Credential, CredentialState
from modelfence.workbench.explaining.inquiry import NOWHERE, InquiryError, placed
from modelfence.workbench.explaining.requests import read_request
from modelfence.workbench.explaining.shell import ShellError, split

BODY = {"model": "gpt-4o", "messages": [{"role": "user", "content": "it's\n$5"}]}

CHROME = r"""curl 'https://api.openai.com/v1/chat/completions?x=1' \
  -H 'accept: */*' \
  -H 'authorization: Bearer sk-acme' \
  -b 'session=1' \
  -H 'content-type: application/json' \
  --data-raw $'{"model":"gpt-4o","messages":[{"role":"user","content":"it\'s\\n$5"}]}' --compressed"""
DOCUMENTED = r"""
curl https://api.anthropic.com/v1/messages \
     --header "x-api-key: $ANTHROPIC_API_KEY" \
     --header "content-type: application/json" \
     --data \
'{
    "model": "claude-sonnet-4-5",
    "max_tokens": 1024
}' | jq .
"""
RAW = b"""POST /v1/chat/completions HTTP/1.1\r
Host: api.openai.com\r
Authorization: Bearer sk-acme\r
X-Forwarded-For: 8.8.8.8\r
\r
{"model": "gpt-4o"}\r
"""


def test_a_command_copied_from_a_browser_is_the_request_it_would_send():
    inquiry = read_request(CHROME.encode())
    line = inquiry.line
    assert (line.method, line.path, inquiry.host) == ("POST", "/v1/chat/completions?x=1", "api.openai.com")
    assert dict(line.headers) == {
        "accept": "*/*", "authorization": "Bearer sk-acme", "cookie": "session=1", "content-type": "application/json",
    }  # fmt: skip
    assert json.loads(line.body) == BODY
    assert line.bytes == len(line.body)


def test_a_command_of_the_documentation_is_read_up_to_the_pipe():
    inquiry = read_request(DOCUMENTED.encode())
    assert (inquiry.line.method, inquiry.line.path, inquiry.host) == ("POST", "/v1/messages", "api.anthropic.com")
    assert json.loads(inquiry.line.body)["max_tokens"] == 1024
    assert inquiry.notes == (
        "`$ANTHROPIC_API_KEY` stands for something that only your shell knows, and is taken as it is written",
    )


@pytest.mark.parametrize(
    ("options", "method", "path", "headers", "body"),
    [
        ("", "GET", "/v1/models", {}, b""),
        ("-I", "HEAD", "/v1/models", {}, b""),
        ("-X DELETE", "DELETE", "/v1/models", {}, b""),
        ("-sSXPUT", "PUT", "/v1/models", {}, b""),
        ("--request=PUT -d a", "PUT", "/v1/models", {"content-type": "application/x-www-form-urlencoded"}, b"a"),
        ("-d a -d b", "POST", "/v1/models", {"content-type": "application/x-www-form-urlencoded"}, b"a&b"),
        ("-G -d a -d b", "GET", "/v1/models?a&b", {}, b""),
        ("--data-raw @a", "POST", "/v1/models", {"content-type": "application/x-www-form-urlencoded"}, b"@a"),
        ("--json '{\"a\":1}'", "POST", "/v1/models", {"content-type": "application/json"}, b'{"a":1}'),
        ("-H 'Content-Type: text/x' -d a", "POST", "/v1/models", {"content-type": "text/x"}, b"a"),
        ("-H 'Accept:' -o out -m 5 -k -N", "GET", "/v1/models", {}, b""),
        ("-u me:secret", "GET", "/v1/models", {"authorization": "Basic bWU6c2VjcmV0"}, b""),
        ("--oauth2-bearer sk-x", "GET", "/v1/models", {"authorization": "Bearer sk-x"}, b""),
        ("-A me -e there", "GET", "/v1/models", {"user-agent": "me", "referer": "there"}, b""),
    ],
)
def test_options_of_curl(options, method, path, headers, body):
    line = read_request(f"curl {options} https://a.test/v1/models".encode()).line
    assert (line.method, line.path, dict(line.headers), line.body) == (method, path, headers, body)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("curl", "is no request"),
        ("curl -s", "has no URL"),
        ("curl a.test b.test", "two URLs"),
        ("curl -d @body.json a.test", "`-d @body.json` reads a file"),
        ("curl -H @heads a.test", "`-H @heads` reads a file"),
        ("curl -F file=@a.wav a.test", "sends files"),
        ("curl --frob a.test", "the option `--frob` of curl is not known"),
        ("curl -Z a.test", "the option `-Z` of curl is not known"),
        ("curl a.test -H", "lacks its value"),
        ("curl 'a.test", "a quote ' is opened"),
        ('curl "a.test', 'a quote " is opened'),
        ("curl $'a.test", "a quote $' is opened"),
        ('curl ^"https://a.test^" ^\n  -H ^"a: b^"', "Windows"),
        ("curl 'http://[a'", "is no URL"),
    ],
)
def test_what_is_wrong_with_a_command_is_said_in_a_sentence(command, words):
    with pytest.raises(InquiryError) as raised:
        read_request(command.encode())
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("text", "words", "variables"),
    [
        ("a 'b c' \"d e\"f", ("a", "b c", "d ef"), ()),
        (r'a\ b "\"\$x\n" \'', ("a b", '"$x\\n', "'"), ()),
        (r"$'\x41\u00e9\U0001F600\101\n\'\q'", ("Aé😀A\n'\\q",), ()),
        ("a \\\n  b \\\r\n c # d", ("a", "b", "c"), ()),
        ('"a\\\nb"', ("ab",), ()),
        ("a '' | b", ("a", ""), ()),
        (
            "$A \"${B} $(date)\" '$C' `d` $A $5",
            ("$A", "${B} $(date)", "$C", "`d`", "$A", "$5"),
            ("$A", "${B}", "$(date)", "`d`"),
        ),
        ("", (), ()),
    ],
    ids=range(8),
)
def test_words_of_a_command_line(text, words, variables):
    cut = split(text)
    assert (cut.words, cut.variables) == (words, variables)


@pytest.mark.parametrize("before", ["$ ", "# models\n# of one\n", "\n  ", "\ufeff", "# a\n\n% "])
def test_what_pages_show_before_a_command_is_passed_over(before):
    assert read_request(f"{before}curl https://a.test/v1/models".encode()).line.path == "/v1/models"


def test_what_curl_calls_a_body_by_itself_is_told():
    assert "--json" in read_request(b"curl -d '{}' https://a.test/").notes[0]
    assert read_request(b"curl --json '{}' https://a.test/").notes == ()


def test_what_is_no_character_is_complained_of():
    with pytest.raises(ShellError):
        split(r"$'\UFFFFFFFF'")


def test_a_request_as_a_tool_shows_it():
    inquiry = read_request(RAW)
    line = inquiry.line
    assert (line.method, line.path, inquiry.host) == ("POST", "/v1/chat/completions", "api.openai.com")
    assert (line.headers[1], line.body) == (("authorization", "Bearer sk-acme"), b'{"model": "gpt-4o"}')
    assert "x-forwarded-for" in inquiry.notes[0]


def test_a_request_line_may_name_the_whole_address():
    inquiry = read_request(b"GET https://a.test/v1/models?x=1\n\n")
    assert (inquiry.line.path, inquiry.host) == ("/v1/models?x=1", "a.test")


def test_a_request_of_http2_has_its_line_in_pieces():
    pieces = b":method: POST\n:authority: a.test:443\n:scheme: https\n:path: /v1/models?x=1\nx: y\n\n{}\n"
    inquiry = read_request(pieces)
    assert (inquiry.line.method, inquiry.line.path, inquiry.host) == ("POST", "/v1/models?x=1", "a.test")
    assert (dict(inquiry.line.headers)["x"], inquiry.line.body) == ("y", b"{}")


@pytest.mark.parametrize(
    ("shown", "body"),
    [
        (b'4\r\n{"a"\r\n3;x=y\r\n:1}\r\n0\r\n\r\n', b'{"a":1}'),
        (b'7\n{"a":1}\n0\n', b'{"a":1}'),
        (b'{"a":1}\n', b'{"a":1}'),
        (b'5\n{"a":1}\n0\n', b'5\n{"a":1}\n0'),
        (b'7\n{"a":1}\n', b'7\n{"a":1}'),
    ],
    ids=["chunks", "of an editor", "shown as one", "of another size", "cut short"],
)
def test_a_body_in_chunks_is_joined(shown, body):
    assert read_request(b"POST /v1/messages HTTP/1.1\nTransfer-Encoding: chunked\n\n" + shown).line.body == body


def test_a_line_of_a_recording_says_when_and_from_where():
    text = json.dumps({"ts": 5.5, "client_ip": "8.8.8.8", "method": "POST", "path": "/v1/messages", "body": BODY})
    inquiry = read_request(text.encode())
    assert (inquiry.line.at_us, inquiry.line.client_ip) == (5_500_000, "8.8.8.8")
    assert inquiry.says == {"ts", "client_ip"}


def test_an_object_may_leave_out_what_can_be_said_beside_it():
    inquiry = read_request(json.dumps({"path": "/v1/messages", "body": BODY}, indent=2).encode())
    assert (inquiry.line.method, inquiry.line.client_ip, inquiry.says) == ("POST", NOWHERE, frozenset())
    assert json.loads(inquiry.line.body) == BODY


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{}", "lacks its `path`"),
        ("{", "the request is broken: it is not JSON"),
        ('{"path": 5}', "`path` should be a text"),
        ('{"path": "/", "client_ip": "x"}', "`client_ip` is no address"),
        ('{"path": "/a"}\n{"path": "/b"}\n', "it holds 2 requests; say which by --line"),
        ("hello", "it is no request"),
        ("GET / HTTP/1.1\nnothing", "line 2 of the request is no header"),
        ("GET http://[ HTTP/1.1", "is no path and no URL"),
        (b"\xff", "not UTF-8"),
    ],
    ids=range(9),
)
def test_what_is_wrong_with_a_request_is_said_in_a_sentence(text, words):
    with pytest.raises(InquiryError) as raised:
        read_request(text if isinstance(text, bytes) else text.encode())
    assert words in str(raised.value)


def test_what_is_said_beside_a_request_counts():
    inquiry = placed(read_request(RAW), at_us=7, client_ip="2001:DB8::1", country="NO", account="acme")
    assert (inquiry.line.at_us, inquiry.line.client_ip, inquiry.country) == (7, "2001:db8::1", "NO")
    assert inquiry.line.credential == Credential(CredentialState.PRESENTED, "sha256:" + "0" * 64, account="acme")
    assert inquiry.given == {"ts", "client_ip"}


def test_a_request_that_says_no_time_is_made_now():
    assert placed(read_request(RAW), now_us=9).line.at_us == 9
    assert placed(read_request(b'{"ts": 1, "path": "/"}'), now_us=9).line.at_us == 1_000_000


def test_what_is_no_address_is_complained_of():
    with pytest.raises(InquiryError):
        placed(read_request(RAW), client_ip="here")


def test_no_file_is_read(tmp_path):
    (tmp_path / "secret").write_text("secret")
    with pytest.raises(InquiryError):
        read_request(f"curl -d @{Path(tmp_path) / 'secret'} a.test".encode())
