"""Anthropic's own SDK gets our refusals: it must raise, show and wait as it does with Anthropic's."""

import anthropic
import httpx2
import pytest

from modelfence.core.decision import Effect
from modelfence.core.dialect import Refusal
from modelfence.dialects.anthropic.api import Anthropic

SECOND_US = 1_000_000


@pytest.fixture
def waits(monkeypatch):
    """Return what the SDK slept, in seconds, instead of sleeping."""
    slept: list[float] = []
    monkeypatch.setattr("anthropic._base_client.time.sleep", slept.append)
    return slept


def ask(refusal, *, stream=False):
    answer = Anthropic().refuse(refusal)

    def serve(request):
        return httpx2.Response(answer.status, headers=answer.headers, content=answer.body, request=request)

    with httpx2.Client(transport=httpx2.MockTransport(serve)) as http:
        client = anthropic.Anthropic(api_key="sk-1", base_url="http://fence.test", http_client=http, max_retries=2)
        client.messages.create(model="m", max_tokens=9, messages=[], stream=stream)


RAISED = {
    400: (anthropic.BadRequestError, Effect.REJECT, "invalid_request_error"),
    401: (anthropic.AuthenticationError, Effect.DENY, "authentication_error"),
    403: (anthropic.PermissionDeniedError, Effect.DENY, "permission_error"),
    404: (anthropic.NotFoundError, Effect.REJECT, "not_found_error"),
    413: (anthropic.APIStatusError, Effect.REJECT, "request_too_large"),
    429: (anthropic.RateLimitError, Effect.THROTTLE, "rate_limit_error"),
    503: (anthropic.InternalServerError, Effect.ERROR, "overloaded_error"),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("status", "raised"), RAISED.items())
@pytest.mark.usefixtures("waits")
def test_the_sdk_raises_its_own_error_with_the_rules_message(status, raised, stream):
    kind, effect, error_type = raised
    refusal = Refusal(effect, status, "This model is not for you.", "call-7", retry_after_us=SECOND_US)
    with pytest.raises(kind) as error:
        ask(refusal, stream=stream)
    assert error.value.status_code == status
    assert error.value.request_id == "call-7"
    assert error.value.body["error"]["type"] == error_type
    assert error.value.body["request_id"] == "call-7"
    assert "This model is not for you. (request id call-7)" in error.value.message


@pytest.mark.parametrize(("status", "effect"), [(429, Effect.THROTTLE), (503, Effect.ERROR)])
def test_the_sdk_waits_to_the_millisecond_as_it_is_told(waits, status, effect):
    with pytest.raises(anthropic.APIStatusError):
        ask(Refusal(effect, status, "Slow down.", "call-7", retry_after_us=1_234_000))
    assert waits == [1.234, 1.234]


@pytest.mark.parametrize("wait_s", [61, 3600])
def test_the_sdk_does_not_try_again_before_a_long_wait_is_over(wait_s, waits):
    with pytest.raises(anthropic.RateLimitError):
        ask(Refusal(Effect.THROTTLE, 429, "Slow down.", "call-7", retry_after_us=wait_s * SECOND_US))
    assert waits == []


@pytest.mark.parametrize("status", [400, 401, 403])
def test_the_sdk_does_not_try_again_what_was_refused_for_good(waits, status):
    with pytest.raises(anthropic.APIStatusError):
        ask(Refusal(Effect.DENY, status, "No.", "call-7"))
    assert waits == []
