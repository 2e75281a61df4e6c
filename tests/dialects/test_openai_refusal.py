import json

import pytest

from modelfence.core.bucket import PERIODS_US, Rate
from modelfence.core.charge import Balance, Charge, Unit
from modelfence.core.decision import Effect
from modelfence.core.dialect import Refusal
from modelfence.dialects.openai.refusal import refuse

SECOND_US = 1_000_000
HOURLY = Rate(60, PERIODS_US["hour"], 120)


def balance(unit, *, left_us):
    return Balance(Charge("throttle-of-acme", "acme", HOURLY, unit=unit), left_us)


REFUSED = {
    "no API key that is known": (
        Refusal(Effect.DENY, 401, "The API key is not known.", "c1"),
        {"message": "The API key is not known. (request id c1)", "type": "invalid_request_error", "param": None,
         "code": "invalid_api_key"},
        {"www-authenticate": "Bearer"},
    ),
    "a rule, with help": (
        Refusal(Effect.DENY, 403, "Verify your organisation.", "c1", help_url="https://example.com/kyc"),
        {"message": "Verify your organisation. See https://example.com/kyc for help. (request id c1)",
         "type": "request_forbidden", "param": None, "code": "request_forbidden"},
        {},
    ),
    "too many requests": (
        Refusal(Effect.THROTTLE, 429, "Slow down.", "c1", retry_after_us=1_500_001,
                balance=balance(Unit.REQUESTS, left_us=90 * SECOND_US)),
        {"message": "Slow down. (request id c1)", "type": "requests", "param": None, "code": "rate_limit_exceeded"},
        {"retry-after": "2", "retry-after-ms": "1501", "x-ratelimit-limit-requests": "120",
         "x-ratelimit-remaining-requests": "1", "x-ratelimit-reset-requests": "1h58m30s"},
    ),
    "too many tokens, in debt, and a wait no SDK would keep to": (
        Refusal(Effect.THROTTLE, 429, "Slow down.", "c1", retry_after_us=3600 * SECOND_US,
                balance=balance(Unit.OUTPUT_TOKENS, left_us=-SECOND_US)),
        {"message": "Slow down. (request id c1)", "type": "tokens", "param": None, "code": "rate_limit_exceeded"},
        {"retry-after": "3600", "retry-after-ms": "3600000", "x-should-retry": "false",
         "x-ratelimit-limit-tokens": "120", "x-ratelimit-remaining-tokens": "0",
         "x-ratelimit-reset-tokens": "2h0m1s"},
    ),
    "a moment's wait": (
        Refusal(Effect.THROTTLE, 429, "Slow down.", "c1", retry_after_us=1),
        {"message": "Slow down. (request id c1)", "type": "requests", "param": None, "code": "rate_limit_exceeded"},
        {"retry-after": "1", "retry-after-ms": "1"},
    ),
    "a malformed request": (
        Refusal(Effect.REJECT, 400, "The request body gives 'n' twice in one object.", "c1"),
        {"message": "The request body gives 'n' twice in one object. (request id c1)",
         "type": "invalid_request_error", "param": None, "code": None},
        {},
    ),
    "a body too large": (
        Refusal(Effect.REJECT, 413, "The request body is larger than 20 MB.", "c1"),
        {"message": "The request body is larger than 20 MB. (request id c1)", "type": "invalid_request_error",
         "param": None, "code": None},
        {},
    ),
    "a fault of the fence": (
        Refusal(Effect.ERROR, 503, "Try again.", "c1", retry_after_us=SECOND_US),
        {"message": "Try again. (request id c1)", "type": "server_error", "param": None,
         "code": "service_unavailable"},
        {"retry-after": "1", "retry-after-ms": "1000"},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("refusal", "error", "headers"), REFUSED.values(), ids=REFUSED)
def test_a_refusal_is_said_in_the_words_of_the_api(refusal, error, headers):
    answer = refuse(refusal)
    assert answer.status == refusal.status
    assert json.loads(answer.body) == {"error": error}
    assert dict(answer.headers) == {"content-type": "application/json", "x-request-id": "c1"} | headers
    assert len(dict(answer.headers)) == len(answer.headers)


def test_a_caller_learns_nothing_of_the_rule_or_the_bucket_that_refused():
    refusal = Refusal(Effect.THROTTLE, 429, "No.", "c1", balance=balance(Unit.REQUESTS, left_us=0))
    answer = refuse(refusal)
    assert "acme" not in repr(answer)
