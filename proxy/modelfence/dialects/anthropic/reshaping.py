"""Lowering the limits of a request to Anthropic's API.

Rule: what comes out is a request that the API takes, and reads as at most what was allowed.

Why a thinking budget is lowered to half of what is left: the API wants it at least 1,024 and smaller than
`max_tokens`, and an answer needs room beside it. Where there is no such room, thinking is turned off.
"""

from modelfence.core.dialect import Json, MalformedRequestError
from modelfence.core.policy import Reshaping
from modelfence.dialects.anthropic.reading import output_tokens_in
from modelfence.dialects.shared.fields import Body, objects

LEAST_BUDGET = 1024
"""The smallest thinking budget that the API takes."""


def reshape(operation: str, json: Json, reshaping: Reshaping) -> Json:
    """Return the body with its limits lowered; the given one is left as it was.

    `cap.output_tokens` is for the whole call, as the fact is: each request of a batch may have its share. The requests
    themselves are all kept, since each is asked for one answer only.
    """
    most = reshaping.cap.get("output_tokens")
    if most is None or not isinstance(json, dict):
        return json
    if operation == "chat":
        return _limited(json, most)
    return _limited_batch(json, most) if operation == "batch" and json.get("requests") else json


def _limited_batch(body: Body, most: int) -> Body:
    requests = objects(body, "requests")
    share = most // len(requests)
    if not share:
        message = f"A batch of {len(requests)} requests is more than may be asked here, which is {most} tokens in all."
        raise MalformedRequestError(message, status=403)
    shares = [
        {**one, "params": _limited(params, share)} if isinstance(params := one.get("params"), dict) else one
        for one in requests
    ]
    return {**body, "requests": list(shares)}


def _limited(body: Body, most: int) -> Body:
    stated = output_tokens_in(body)
    if stated is not None and stated <= most:
        return body
    given = body.get("max_tokens")
    limit = min(given, most) if isinstance(given, int) else most
    limited = {**body, "max_tokens": limit}
    thinking = body.get("thinking")
    budget = thinking.get("budget_tokens") if isinstance(thinking, dict) else None
    if isinstance(thinking, dict) and isinstance(budget, int) and budget >= limit:
        room = limit > LEAST_BUDGET
        limited["thinking"] = (
            {**thinking, "budget_tokens": max(LEAST_BUDGET, limit // 2)} if room else {"type": "disabled"}
        )
    return limited
