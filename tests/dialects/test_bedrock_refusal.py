import json

import pytest

from modelfence.core.decision import Effect
from modelfence.core.dialect import Refusal
from modelfence.dialects.bedrock.refusal import refuse

SECOND_US = 1_000_000
ERRORS = {
    400: "ValidationException",
    401: "UnrecognizedClientException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    413: "ValidationException",
    429: "ThrottlingException",
    502: "ServiceUnavailableException",
    503: "ServiceUnavailableException",
}


@pytest.mark.parametrize(("status", "error"), ERRORS.items())
def test_a_refusal_is_named_as_the_api_names_it(status, error):
    answer = refuse(Refusal(Effect.DENY, status, "No.", "c1"))
    assert answer.status == status
    assert json.loads(answer.body) == {"message": "No. (request id c1)"}
    assert dict(answer.headers) == {
        "content-type": "application/json",
        "x-amzn-requestid": "c1",
        "x-amzn-errortype": error,
    }


def test_a_refusal_says_how_long_to_wait_in_whole_seconds():
    answer = refuse(Refusal(Effect.THROTTLE, 429, "Slow down.", "c1", retry_after_us=1_500_001))
    assert dict(answer.headers)["retry-after"] == "2"
