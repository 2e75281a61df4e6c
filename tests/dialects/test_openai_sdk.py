"""OpenAI's own SDK gets our refusals: it must raise, show and wait as it does with OpenAI's."""

import httpx2
import openai
import pytest

from modelfence.core.decision import Effect
from modelfence.core.dialect import Refusal
from modelfence.dialects.openai.api import OpenAI

SECOND_US = 1_000_000


@pytest.fixture
def waits(monkeypatch):
    """Return what the SDK slept, in seconds, instead of sleeping."""
    slept: list[float] = []
    monkeypatch.setattr("openai._base_client.time.sleep", slept.append)
    return slept


def ask(refusal, *, stream=False):
    answer = OpenAI().refuse(refusal)

    def serve(request):
        return httpx2.Response(answer.status, headers=answer.headers, content=answer.body, request=request)

    with httpx2.Client(transport=httpx2.MockTransport(serve)) as http:
        client = openai.OpenAI(api_key="sk-1", base_url="http://fence.test/v1", http_client=http, max_retries=2)
        client.chat.completions.create(model="gpt-4o", messages=[], stream=stream)


RAISED = {
    400: (openai.BadRequestError, Effect.REJECT, None, "invalid_request_error"),
    401: (openai.AuthenticationError, Effect.DENY, "invalid_api_key", "invalid_request_error"),
    403: (openai.PermissionDeniedError, Effect.DENY, "request_forbidden", "request_forbidden"),
    429: (openai.RateLimitError, Effect.THROTTLE, "rate_limit_exceeded", "requests"),
    503: (openai.InternalServerError, Effect.ERROR, "service_unavailable", "server_error"),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("status", "raised"), RAISED.items())
@pytest.mark.usefixtures("waits")
def test_the_sdk_raises_its_own_error_with_the_rules_message(status, raised, stream):
    kind, effect, code, error_type = raised
    refusal = Refusal(effect, status, "This model is not for you.", "call-7", retry_after_us=SECOND_US)
    with pytest.raises(kind) as error:
        ask(refusal, stream=stream)
    assert error.value.status_code == status
    assert error.value.request_id == "call-7"
    assert (error.value.code, error.value.type, error.value.param) == (code, error_type, None)
    assert "This model is not for you. (request id call-7)" in error.value.message


def test_the_sdk_waits_to_the_millisecond_as_it_is_told(waits):
    with pytest.raises(openai.RateLimitError):
        ask(Refusal(Effect.THROTTLE, 429, "Slow down.", "call-7", retry_after_us=1_234_000))
    assert waits == [1.234, 1.234]


@pytest.mark.parametrize("wait_s", [61, 3600])
def test_the_sdk_does_not_try_again_before_a_long_wait_is_over(wait_s, waits):
    with pytest.raises(openai.RateLimitError):
        ask(Refusal(Effect.THROTTLE, 429, "Slow down.", "call-7", retry_after_us=wait_s * SECOND_US))
    assert waits == []


def test_the_sdk_does_not_try_again_what_a_rule_refused(waits):
    with pytest.raises(openai.PermissionDeniedError):
        ask(Refusal(Effect.DENY, 403, "No.", "call-7"))
    assert waits == []
