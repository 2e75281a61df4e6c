"""What a refused caller gets, and what Google's SDK and OpenAI's make of it."""

import json

import httpx
import httpx2
import openai
import pytest
from google import genai
from google.genai import errors, types

from modelfence.core.bucket import PERIODS_US, SECOND_US, Rate
from modelfence.core.charge import Balance, Charge
from modelfence.core.decision import Effect
from modelfence.core.dialect import Refusal
from modelfence.dialects.gemini.refusal import refuse

TYPES = "type.googleapis.com/google.rpc."
STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    502: "INTERNAL",
    503: "UNAVAILABLE",
}


def refusal_of(status, **fields):
    return Refusal(Effect.DENY, status, "No.", "call-7", **fields)


@pytest.mark.parametrize(("status", "name"), STATUSES.items())
def test_a_refusal_has_the_name_that_google_gives_its_status(status, name):
    answer = refuse(refusal_of(status))
    assert answer.status == status
    assert json.loads(answer.body)["error"] == {
        "code": status,
        "message": "No. (request id call-7)",
        "status": name,
        "details": [{"@type": f"{TYPES}RequestInfo", "requestId": "call-7"}],
    }


def test_who_has_to_wait_is_told_how_long_in_the_body_and_in_the_headers():
    charge = Charge("rule", "bucket", Rate(60, PERIODS_US["hour"], 120))
    answer = refuse(refusal_of(429, retry_after_us=2_000_001, balance=Balance(charge, 90 * SECOND_US)))
    retry, _ = json.loads(answer.body)["error"]["details"]
    assert retry == {"@type": f"{TYPES}RetryInfo", "retryDelay": "3s"}
    headers = dict(answer.headers)
    assert headers["retry-after"] == "3"
    assert headers["x-ratelimit-limit-requests"] == "120"


def test_where_help_is_found_is_a_detail():
    answer = refuse(refusal_of(403, help_url="https://example.com/kyc"))
    *_, detail = json.loads(answer.body)["error"]["details"]
    assert detail == {"@type": f"{TYPES}Help", "links": [{"description": "Help", "url": "https://example.com/kyc"}]}


@pytest.fixture
def waits(monkeypatch):
    """Return what the SDK slept, in seconds, instead of sleeping."""
    slept: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", slept.append)
    return slept


def ask_as_google(refusal, *, stream=False, retry_options=None):
    answer = refuse(refusal)

    def serve(request):
        return httpx.Response(answer.status, headers=answer.headers, content=answer.body, request=request)

    http = httpx.Client(transport=httpx.MockTransport(serve))
    options = types.HttpOptions(base_url="http://fence.test", httpx_client=http, retry_options=retry_options)
    with genai.Client(api_key="k", http_options=options) as client:
        if stream:
            list(client.models.generate_content_stream(model="m", contents="Hi"))
        else:
            client.models.generate_content(model="m", contents="Hi")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", STATUSES)
def test_googles_sdk_raises_its_own_error_with_the_rules_message(status, stream):
    kind = errors.ClientError if status < 500 else errors.ServerError
    with pytest.raises(kind) as raised:
        ask_as_google(refusal_of(status, retry_after_us=SECOND_US), stream=stream)
    assert (raised.value.code, raised.value.status) == (status, STATUSES[status])
    assert raised.value.message == "No. (request id call-7)"


@pytest.mark.parametrize(("status", "tries_again"), [(403, 0), (429, 2), (503, 2)])
def test_googles_sdk_tries_again_where_it_is_told_to_and_waiting_is_the_answer(status, tries_again, waits):
    """It reads no header and no detail, but waits a second, then two, and so on."""
    with pytest.raises(errors.APIError):
        ask_as_google(refusal_of(status, retry_after_us=SECOND_US), retry_options=types.HttpRetryOptions(attempts=3))
    assert len(waits) == tries_again


RAISED = {
    401: openai.AuthenticationError,
    403: openai.PermissionDeniedError,
    429: openai.RateLimitError,
    503: openai.InternalServerError,
}


@pytest.mark.parametrize(("status", "kind"), RAISED.items())
def test_openais_sdk_raises_its_own_error_too(status, kind):
    answer = refuse(refusal_of(status, retry_after_us=3600 * SECOND_US))

    def serve(request):
        return httpx2.Response(answer.status, headers=answer.headers, content=answer.body, request=request)

    with httpx2.Client(transport=httpx2.MockTransport(serve)) as http:
        client = openai.OpenAI(api_key="k", base_url="http://fence.test/v1beta/openai", http_client=http)
        with pytest.raises(kind) as raised:
            client.chat.completions.create(model="gemini-2.5-flash", messages=[])
    assert raised.value.request_id == "call-7"
    assert "No. (request id call-7)" in raised.value.message
