"""What every dialect owes the loop, whatever its API; each has a profile (`tests/dialects/NAME/profile.py`)."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.dialects.profile import profiles

from modelfence.core.bucket import PERIODS_US, Rate
from modelfence.core.charge import Balance, Charge, Unit
from modelfence.core.decision import Effect
from modelfence.core.dialect import MalformedRequestError, Outgoing, Refusal, Request
from modelfence.core.facts import OPERATIONS
from modelfence.core.policy import Reshaping
from modelfence.core.strict_json import parse
from modelfence.dialects.known import DIALECTS as REGISTERED

PROFILES = profiles()
NAMES = list(PROFILES)
JSON_HEADERS = (("content-type", "application/json"), ("authorization", "Bearer sk-1"))
CALLS = [pytest.param(name, call, id=f"{name} {' '.join(call)}") for name in NAMES for call in PROFILES[name].calls]
DIALECTS = {name: profile.dialect for name, profile in PROFILES.items()}


def test_every_dialect_has_a_profile():
    assert set(PROFILES) == set(REGISTERED)


def request_of(call, body):
    method, path = call
    return Request(method, path, JSON_HEADERS, b"", body)


def reading_or_none(dialect, request):
    try:
        return dialect.read(request)
    except MalformedRequestError:
        return None


@pytest.mark.parametrize(("name", "call"), CALLS)
@given(data=st.data())
def test_any_json_is_read_or_refused_as_malformed(name, call, data):
    body = data.draw(PROFILES[name].values() | PROFILES[name].bodies)
    reading = reading_or_none(DIALECTS[name], request_of(call, body))
    if reading is None or reading.operation == "unknown" or (reading.input_tokens is None and "prompt" in body):
        return  # with a stored prompt, too, what was asked is not all there
    counts = (reading.logit_bias, reading.choices, reading.tools, reading.input_tokens)
    assert all(type(count) is int and 0 <= count < 2**63 for count in counts)
    assert reading.output_tokens is None or 0 <= reading.output_tokens < 2**63
    assert {type(reading.stream), type(reading.logprobs), type(reading.reasoning)} == {bool}


@pytest.mark.parametrize(("name", "call"), CALLS)
@given(data=st.data())
def test_the_model_is_the_one_that_a_plain_reader_reads(name, call, data):
    raw = json.dumps(data.draw(PROFILES[name].bodies)).encode()
    try:
        request = request_of(call, parse(raw))
    except MalformedRequestError:
        return
    reading = reading_or_none(DIALECTS[name], request)
    if reading is not None and reading.operation not in {"unknown", "models"}:
        assert reading.model == PROFILES[name].model_of(call[1], raw)


@pytest.mark.parametrize(("name", "call"), CALLS)
@given(data=st.data(), choices=st.integers(1, 5), output_tokens=st.integers(100, 10**6))
def test_what_was_reshaped_keeps_to_it_and_stays_readable(name, call, data, choices, output_tokens):
    dialect, body = DIALECTS[name], data.draw(PROFILES[name].bodies)
    before = reading_or_none(dialect, request_of(call, body))
    if before is None or before.operation == "unknown":
        return
    reshaping = Reshaping(frozenset({"logprobs", "logit_bias"}), {"choices": choices, "output_tokens": output_tokens})
    unshaped = json.dumps(body)
    reshaped = dialect.reshape(request_of(call, body), reshaping)
    assert json.dumps(body) == unshaped
    after = dialect.read(request_of(call, reshaped))
    assert (after.model, after.stream, after.input_tokens) == (before.model, before.stream, before.input_tokens)
    assert (after.logprobs, after.logit_bias) == (False, 0)
    assert after.output_tokens is not None
    assert after.output_tokens <= output_tokens
    assert after.choices <= max(choices, before.choices)


@pytest.mark.parametrize("name", NAMES)
@given(method=st.sampled_from(["GET", "POST", "PUT", ""]), path=st.text())
def test_every_operation_is_one_that_facts_know(name, method, path):
    assert DIALECTS[name].operation(method, path) in OPERATIONS
    assert DIALECTS[name].operation(method, "/v1/" + path) in OPERATIONS


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("header", ["authorization", "x-api-key", "api-key", "x-goog-api-key"])
@given(value=st.text())
def test_any_header_value_is_a_credential_or_a_malformed_one(name, header, value):
    found = DIALECTS[name].credential([(header, value)])
    assert bool(found.digest) == (found.state == "presented")


@pytest.mark.parametrize("name", NAMES)
def test_the_header_that_carries_a_key_up_is_one_it_reads(name):
    dialect, secret = DIALECTS[name], PROFILES[name].secret
    if PROFILES[name].signs:
        return
    presented = dialect.credential([("authorization", f"Bearer {secret}")])
    outgoing = Outgoing("POST", "api.test", "/v1/x", "", (), b"{}")
    assert dialect.credential(dialect.credential_headers(secret, outgoing)) == presented


@pytest.mark.parametrize("name", NAMES)
@given(
    status=st.sampled_from([400, 401, 403, 404, 408, 413, 415, 429, 431, 502, 503]),
    message=st.text(min_size=1),
    wait_us=st.none() | st.integers(0, 10**13),
    left_us=st.integers(-(10**12), 10**9),
)
def test_a_refusal_is_json_that_says_its_message_but_not_the_rule(name, status, message, wait_us, left_us):
    charge = Charge("rule-name", "bucket-key", Rate(1000, PERIODS_US["hour"], 1000), unit=Unit.TOTAL_TOKENS)
    answer = DIALECTS[name].refuse(
        Refusal(
            Effect.DENY,
            status,
            message,
            "0123abcd",
            help_url="https://example.com/help",
            retry_after_us=wait_us,
            balance=Balance(charge, left_us),
        )
    )
    assert answer.status == status
    text = json.dumps(json.loads(answer.body), ensure_ascii=False)
    assert "0123abcd" in text
    assert "https://example.com/help" in text
    assert json.dumps(message.strip(), ensure_ascii=False)[1:-1] in text
    headers = dict(answer.headers)
    assert headers["content-type"] == "application/json"
    assert all(name == name.lower() and value.isascii() and value.isprintable() for name, value in answer.headers)
    assert not {"rule-name", "bucket-key"} & set(text.split())
    assert ("retry-after" in headers) == (wait_us is not None)
    assert wait_us is None or int(headers["retry-after"]) >= max(1, wait_us / 1_000_000)


@pytest.mark.parametrize("name", NAMES)
@given(
    operation=st.sampled_from(OPERATIONS),
    content_type=st.sampled_from(
        ["application/json", "", "a/b;;", *{profile.stream_type for profile in PROFILES.values()}]
    ),
    pieces=st.lists(st.binary()),
)
def test_any_answer_is_counted_without_raising(name, operation, content_type, pieces):
    reader = DIALECTS[name].usage_reader(operation, content_type)
    for piece in pieces:
        reader.feed(piece)
        usage = reader.usage()
        assert usage is None or min(usage.by_direction().values()) >= 0
        assert reader.output_tokens == (usage.output_tokens if usage else 0)


@pytest.mark.parametrize("name", NAMES)
@given(operation=st.sampled_from(OPERATIONS), with_usage=st.booleans(), pieces=st.lists(st.binary()))
def test_only_a_stream_of_events_has_an_ending_and_it_is_events(name, operation, with_usage, pieces):
    for content_type in (PROFILES[name].stream_type, "application/json", ""):
        end = PROFILES[name].end_of(operation, content_type)
        reader = DIALECTS[name].usage_reader(operation, content_type)
        for piece in pieces:
            reader.feed(piece)
        ending = reader.ending(with_usage=with_usage, input_tokens=0)
        assert reader.ending(with_usage=with_usage, input_tokens=0) == ending
        assert not ending or (end is not None and ending.endswith(end))
        assert (reader.framing is not None) == (end is not None)


BALANCES = st.builds(
    lambda unit, burst, left_us, shadow: Balance(
        Charge("rule-name", "bucket-key", Rate(60, PERIODS_US["hour"], burst), unit=unit, shadow=shadow), left_us
    ),
    st.sampled_from(Unit),
    st.floats(0.001, 10**9),
    st.integers(-(10**12), 10**9),
    st.booleans(),
)


@pytest.mark.parametrize("name", NAMES)
@given(balances=st.lists(BALANCES, max_size=5))
def test_what_is_left_is_told_in_sound_headers_and_as_a_refusal_would(name, balances):
    headers = DIALECTS[name].limits(balances)
    assert bool(headers) == any(not balance.charge.shadow for balance in balances)
    assert len(dict(headers)) == len(headers)
    assert all(name == name.lower() and value.isascii() and value.isprintable() for name, value in headers)
    assert not {"rule-name", "bucket-key"} & {value for _, value in headers}
    refusals = [
        DIALECTS[name].refuse(Refusal(Effect.THROTTLE, 429, "No.", "0123abcd", balance=balance)) for balance in balances
    ]
    assert set(headers) <= {header for refusal in refusals for header in refusal.headers}
