import json

import pytest

from modelfence.core.bucket import PERIODS_US, Rate
from modelfence.core.charge import Balance, Charge, Unit
from modelfence.core.decision import Effect
from modelfence.core.dialect import Refusal
from modelfence.dialects.anthropic.refusal import refuse

SECOND_US = 1_000_000
HOURLY = Rate(60, PERIODS_US["hour"], 120)


def balance(unit, *, left_us):
    return Balance(Charge("throttle-of-acme", "acme", HOURLY, unit=unit), left_us)


REFUSED = {
    "no API key that is known": (
        Refusal(Effect.DENY, 401, "The API key is not known.", "c1"),
        {"type": "authentication_error", "message": "The API key is not known. (request id c1)"},
        {"www-authenticate": "Bearer"},
    ),
    "a rule, with help": (
        Refusal(Effect.DENY, 403, "Verify your organisation.", "c1", help_url="https://example.com/kyc"),
        {"type": "permission_error",
         "message": "Verify your organisation. See https://example.com/kyc for help. (request id c1)"},
        {},
    ),
    "too many requests": (
        Refusal(Effect.THROTTLE, 429, "Slow down.", "c1", retry_after_us=1_500_001,
                balance=balance(Unit.REQUESTS, left_us=90 * SECOND_US)),
        {"type": "rate_limit_error", "message": "Slow down. (request id c1)"},
        {"retry-after": "2", "retry-after-ms": "1501", "anthropic-ratelimit-requests-limit": "120",
         "anthropic-ratelimit-requests-remaining": "1"},
    ),
    "too many tokens, in debt, and a wait no SDK should keep to": (
        Refusal(Effect.THROTTLE, 429, "Slow down.", "c1", retry_after_us=3600 * SECOND_US,
                balance=balance(Unit.OUTPUT_TOKENS, left_us=-SECOND_US)),
        {"type": "rate_limit_error", "message": "Slow down. (request id c1)"},
        {"retry-after": "3600", "retry-after-ms": "3600000", "x-should-retry": "false",
         "anthropic-ratelimit-output-tokens-limit": "120", "anthropic-ratelimit-output-tokens-remaining": "0"},
    ),
    "a malformed request": (
        Refusal(Effect.REJECT, 400, "The request body gives 'model' twice in one object.", "c1"),
        {"type": "invalid_request_error",
         "message": "The request body gives 'model' twice in one object. (request id c1)"},
        {},
    ),
    "a path where nothing is": (
        Refusal(Effect.REJECT, 404, "Nothing is served under this path.", "c1"),
        {"type": "not_found_error", "message": "Nothing is served under this path. (request id c1)"},
        {},
    ),
    "a body too large": (
        Refusal(Effect.REJECT, 413, "The body is too large.", "c1"),
        {"type": "request_too_large", "message": "The body is too large. (request id c1)"},
        {},
    ),
    "headers too large": (
        Refusal(Effect.REJECT, 431, "The headers are too large.", "c1"),
        {"type": "invalid_request_error", "message": "The headers are too large. (request id c1)"},
        {},
    ),
    "an upstream that can't be reached": (
        Refusal(Effect.ERROR, 502, "The service can't be reached.", "c1"),
        {"type": "api_error", "message": "The service can't be reached. (request id c1)"},
        {},
    ),
    "a fault of the fence": (
        Refusal(Effect.ERROR, 503, "Try again.", "c1", retry_after_us=SECOND_US),
        {"type": "overloaded_error", "message": "Try again. (request id c1)"},
        {"retry-after": "1", "retry-after-ms": "1000"},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("refusal", "error", "headers"), REFUSED.values(), ids=REFUSED)
def test_a_refusal_is_said_in_the_words_of_the_api(refusal, error, headers):
    answer = refuse(refusal)
    assert answer.status == refusal.status
    assert json.loads(answer.body) == {"type": "error", "error": error, "request_id": "c1"}
    assert dict(answer.headers) == {"content-type": "application/json", "request-id": "c1"} | headers
    assert len(dict(answer.headers)) == len(answer.headers)


def test_a_caller_learns_nothing_of_the_rule_or_the_bucket_that_refused():
    refusal = Refusal(Effect.THROTTLE, 429, "No.", "c1", balance=balance(Unit.REQUESTS, left_us=0))
    assert "acme" not in repr(refuse(refusal))
