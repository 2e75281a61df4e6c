"""A call as a line and back: nothing is lost, and nothing is written that must not be."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfence.core.call import Call, Credential, CredentialState, Reading, Usage, key_digest
from modelfence.core.client_address import parse_address
from modelfence.core.extraction import Fingerprint, Prompt
from modelfence.core.facts import OPERATIONS
from modelfence.recording.fields import BrokenLineError
from modelfence.recording.lines import BEFORE_S, END, Line, beginning_of, end_of, line_of, read_line

counts = st.integers(0, 10**15)
hashes = st.integers(0, 2**48 - 1)
sketches = st.lists(hashes, max_size=64).map(tuple)
fingerprints = st.builds(
    Fingerprint,
    system=sketches,
    earlier=sketches,
    last=sketches,
    item=hashes,
    history=hashes,
    phrases=st.lists(st.text(), max_size=3).map(tuple),
)
credentials = st.one_of(
    st.builds(Credential.of, st.text(st.characters(codec="utf-8"))),
    st.sampled_from([Credential(CredentialState.MISSING), Credential(CredentialState.MALFORMED)]),
    st.just(replace(Credential.of("sk-acme"), certificate=key_digest("a certificate"))),
    st.builds(
        Credential, st.just(CredentialState.PRESENTED), st.just(key_digest("a token")), account=st.text(min_size=1)
    ),
)
readings = st.builds(
    Reading,
    operation=st.sampled_from(OPERATIONS),
    model=st.none() | st.text(),
    stream=st.none() | st.booleans(),
    logprobs=st.none() | st.booleans(),
    logit_bias=st.none() | counts,
    choices=st.none() | counts,
    tools=st.none() | counts,
    reasoning=st.none() | st.booleans(),
    input_tokens=st.none() | counts,
    output_tokens=st.none() | counts,
    prompt=st.just(Prompt()),
)
calls = st.builds(
    Call,
    id=st.just("0"),
    at_us=st.integers(0, BEFORE_S * 1_000_000 - 1),
    client_ip=st.ip_addresses().map(str).map(parse_address).map(str),
    credential=credentials,
    provider=st.text(min_size=1),
    method=st.sampled_from(["GET", "POST"]),
    path=st.text(),
    bytes=counts,
    reading=readings,
    max_output_tokens=st.none() | counts,
    fingerprint=fingerprints,
)
usages = st.builds(
    Usage,
    input_tokens=counts,
    output_tokens=counts,
    cached_tokens=counts,
    reasoning_tokens=counts,
    estimated=st.booleans(),
)

CALL = Call(
    id="0",
    at_us=1_772_409_606_562_000,
    client_ip="8.8.4.4",
    credential=Credential.of("sk-secret"),
    provider="openai",
    method="POST",
    path="/v1/chat/completions",
    bytes=72,
    reading=Reading("chat", model="gpt-4o", input_tokens=3, prompt=Prompt(user=("Tell nobody",))),
    body=b'{"model": "gpt-4o",\r\n "messages": [{"role":"user","content":"Tell nobody"}]}',
)


def line(**changes: object) -> bytes:
    """Return a line that is fine, with some fields replaced, and those that become ... left out."""
    fields = {"ts": 1772409606.562, "client_ip": "8.8.4.4", "method": "POST", "path": "/v1/models"} | changes
    return json.dumps({name: value for name, value in fields.items() if value is not ...}).encode()


def call_in(read: Line) -> Call:
    return Call(
        id="0",
        at_us=read.at_us,
        client_ip=read.client_ip,
        credential=read.credential,
        provider=read.provider,
        method=read.method,
        path=read.path,
        bytes=read.bytes,
        reading=read.reading,
        max_output_tokens=read.max_output_tokens,
        fingerprint=read.fingerprint,
    )


@given(calls, usages, st.integers(100, 299))
def test_a_call_without_its_prompt_comes_back_as_it_was(call, usage, status):
    read = read_line(line_of(call, usage, prompts=False, status=status))
    assert call_in(read) == call
    assert (read.usage, read.status, read.was_served) == (usage, status, True)


@given(calls, usages, st.dictionaries(st.text(), st.recursive(st.text() | st.integers(), st.lists)))
def test_a_call_with_its_prompt_comes_back_as_it_was_sent(call, usage, body):
    sent = json.dumps(body, indent=1).encode()
    written = line_of(replace(call, body=sent, bytes=len(sent)), usage, prompts=True)
    assert written.count(b"\n") == 1
    read = read_line(written)
    assert json.loads(read.body) == body
    assert (len(read.body), read.bytes) == (len(sent), len(sent))
    assert (read.credential, read.usage, read.reading) == (call.credential, usage, None)
    parsed = read_line(line_of(replace(call, body=body), usage, prompts=True))
    assert json.loads(parsed.body) == body


@pytest.mark.parametrize("prompts", [False, True])
def test_no_api_key_is_written_and_no_prompt_unasked(prompts):
    written = line_of(CALL, Usage(), prompts=prompts)
    assert b"sk-secret" not in written
    assert key_digest("sk-secret").encode() in written
    assert (b"Tell nobody" in written) is prompts


def test_a_line_can_be_written_in_two_parts():
    call = replace(CALL, fingerprint=Fingerprint(item=7))
    whole = line_of(call, Usage(3, 4), prompts=False, status=200)
    assert beginning_of(CALL, Fingerprint(item=7), prompts=False) + end_of(Usage(3, 4), 200) + END == whole
    cut_short = read_line(beginning_of(call, None, prompts=True) + END)
    assert (cut_short.usage, cut_short.was_served, cut_short.status) == (None, True, None)


@pytest.mark.parametrize(
    ("end", "usage", "was_served"),
    [
        ({}, None, True),
        ({"usage": None}, None, True),
        ({"usage": {"input_tokens": 3, "output_tokens": 4}}, Usage(3, 4), True),
        ({"usage": {"output_tokens": 4, "estimated": True}, "status": None}, Usage(0, 4, estimated=True), True),
        ({"usage": {"input_tokens": 3}, "status": 500}, Usage(3), False),
        ({"usage": None, "status": 200}, None, False),
        ({"usage": None, "status": None}, None, False),
    ],
)
def test_a_line_says_what_the_answer_cost_and_whether_there_was_one(end, usage, was_served):
    read = read_line(line(**end))
    assert (read.usage, read.was_served) == (usage, was_served)


def test_every_header_counts_and_the_body_is_kept_as_it_stands():
    given = line(headers=..., body=...)[:-1] + b', "headers": {"A": "1", "a": "2"}, "body" : {"x": 1, "x":2} }'
    read = read_line(given)
    assert read.headers == [("a", "1"), ("a", "2")]
    assert read.body == b'{"x": 1, "x":2}'
    assert read.bytes == 15
    assert read.credential is None


def test_what_is_not_known_is_passed_over():
    read = read_line(
        line(label="attack", decision={"effect": "deny"}, reading={"operation": "chat", "new": 1}, at=[{}])
    )
    assert read.reading == Reading("chat")


BROKEN = [
    (b"", "it is empty"),
    (b" \n", "it is empty"),
    (b"\xff", "it is not UTF-8: byte 1 can't be decoded"),
    (b"[]", "it is no JSON object"),
    (b"{", "it is not JSON: Expecting property name enclosed in double quotes at column 2"),
    (b'{"ts": 1', "it is not JSON: Expecting ',' delimiter at column 9"),
    (b'{"ts" 1}', "it is not JSON: Expecting ':' delimiter at column 7"),
    (b'{"ts": 1,}', "it is not JSON: Expecting property name enclosed in double quotes at column 10"),
    (b'{"ts": }', "it is not JSON: Expecting value at column 8"),
    (b'{"ts": 1, "path": "/v1\n', "it is not JSON: Unterminated string starting at column 19"),
    (b'{"ts": 1} {}', "it is not JSON: Extra data at column 10"),
    (b'{"ts": 1, "ts": 2}', "it gives `ts` twice"),
    (b'{"body": ' + b"[" * 100_000, "it is nested too deeply"),
    (b"{}", "`ts` is missing"),
    (line(ts=None), "`ts` is missing"),
    (line(client_ip=...), "`client_ip` is missing"),
    (line(method=...), "`method` is missing"),
    (line(path=...), "`path` is missing"),
    (line(ts="now"), "`ts` should be a number, not a text"),
    (line(ts=True), "`ts` should be a number, not true"),
    (line(ts=float("nan")), "`ts` should be a number, not NaN"),
    (line(ts=-1), "`ts` is in seconds since 1970, and -1 is none of this century's"),
    (
        line(ts=1772409606562),
        "`ts` is in seconds since 1970, and 1772409606562 is none of this century's",
    ),
    (line(client_ip="8.8.4"), "`client_ip` is no address"),
    (line(client_ip=8), "`client_ip` should be a text, not 8"),
    (line(method=["GET"]), "`method` should be a text, not a list"),
    (line(path={}), "`path` should be a text, not an object"),
    (line(headers=[]), "`headers` should be an object, not a list"),
    (line(headers={"authorization": 1}), "`headers.authorization` should be a text, not 1"),
    (line(bytes=-1), "`bytes` should be a whole number from 0 to 1000000000000000, not -1"),
    (line(usage=7), "`usage` should be an object, not 7"),
    (
        line(usage={"input_tokens": True}),
        "`usage.input_tokens` should be a whole number from 0 to 1000000000000000, not true",
    ),
    (
        line(usage={"output_tokens": 1.5}),
        "`usage.output_tokens` should be a whole number from 0 to 1000000000000000, not 1.5",
    ),
    (line(usage={"estimated": 1}), "`usage.estimated` should be true or false, not 1"),
    (line(status="200"), "`status` should be a whole number from 0 to 999, not a text"),
    (line(provider=1), "`provider` should be a text, not 1"),
    (
        line(max_output_tokens="1"),
        "`max_output_tokens` should be a whole number from 0 to 1000000000000000, not a text",
    ),
    *(
        (
            line(credential=credential),
            "`credential` should be `sha256:` and 64 hexadecimal digits, `malformed` or null",
        )
        for credential in ("sk-secret", "sha256:" + "A" * 64, 7)
    ),
    *(
        (
            line(credential=key_digest("sk-secret"), certificate=certificate),
            "`certificate` should be `sha256:` and 64 hexadecimal digits",
        )
        for certificate in ("", "sha256:" + "A" * 64, 0)
    ),
    (line(reading={}), "`reading.operation` is none that a policy knows"),
    (line(reading={"operation": "spying"}), "`reading.operation` is none that a policy knows"),
    (line(reading={"operation": "chat", "stream": 1}), "`reading.stream` should be true or false, not 1"),
    (line(reading={"operation": "chat"}, body={}), "it gives both `body` and `reading`"),
    (
        line(fingerprint={"item": 2**48}),
        f"`fingerprint.item` should be a whole number from 0 to {2**48 - 1}, not {2**48}",
    ),
    (line(fingerprint={"last": 1}), "`fingerprint.last` should be a list, not 1"),
    (
        line(fingerprint={"last": ["a"]}),
        f"`fingerprint.last` should be a whole number from 0 to {2**48 - 1}, not a text",
    ),
    (line(fingerprint={"phrases": [1]}), "`fingerprint.phrases` should be a text, not 1"),
]


@pytest.mark.parametrize(("broken", "words"), BROKEN, ids=[words for _, words in BROKEN])
def test_a_broken_line_is_told_in_a_sentence(broken, words):
    with pytest.raises(BrokenLineError) as raised:
        read_line(broken)
    assert str(raised.value) == words


@given(
    st.binary()
    | st.recursive(st.none() | st.integers() | st.text(), lambda v: st.dictionaries(st.text(), v) | st.lists(v)).map(
        lambda v: json.dumps(v).encode()
    )
)
def test_nothing_else_is_ever_raised(data):
    with pytest.raises(BrokenLineError):
        read_line(data)
