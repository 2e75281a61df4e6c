"""Removing fields from a request to one of Bedrock's models, and lowering its limits.

Rule: what comes out is read as at most what was allowed. Every limit is lowered, whichever of them the model reads, and
where a call sets none the one is added that it reads today.

Why a thinking budget is lowered to half of the limit: models want it at least 1,024 and smaller than the limit, and an
answer needs room beside it. Where there is no such room, thinking is not asked for.
"""

from modelfence.core.dialect import MalformedRequestError
from modelfence.core.policy import Reshaping
from modelfence.dialects.bedrock.forms import Form, Place, at, form_asked, replaced
from modelfence.dialects.bedrock.models import Action, Asked, Family
from modelfence.dialects.bedrock.reading import budgets_in, choices_in, limits_in, output_tokens_in
from modelfence.dialects.shared.fields import Body, integer

LEAST_BUDGET = 1024
"""The smallest thinking budget that models take."""


def reshape(asked: Asked, body: Body, reshaping: Reshaping) -> Body:
    """Return the body with fields removed and limits lowered; the given one is left as it was.

    `cap.output_tokens` is for the whole call, as the fact is: each choice may have its share. Raises
    MalformedRequestError, 403, when there are more choices than tokens.
    """
    if asked.action is Action.COUNT:
        return body
    form = form_asked(asked)
    for word, places in (("logprobs", form.logprobs), ("logit_bias", (form.logit_bias,))):
        if word in reshaping.remove:
            for place in places:
                body = _without(body, place)
    if (most := reshaping.cap.get("choices")) is not None:
        body = _lowered(body, form.counts, max(1, most))
    if asked.operation == "chat" and (most := reshaping.cap.get("output_tokens")) is not None:
        body = _limited(asked, body, form, most)
    return body


def _limited(asked: Asked, body: Body, form: Form, most: int) -> Body:
    stated = output_tokens_in(body, form)
    if stated is not None and stated <= most:
        return body
    limit = most // choices_in(body, form)
    if not limit:
        message = f"More answers are asked for than may be asked here, which is {most} tokens in all."
        raise MalformedRequestError(message, status=403)
    body = _lowered(body, (*form.limits, *form.other_limits), limit)
    if not limits_in(body, form.limits):
        body = replaced(body, _read_today(asked, body, form), limit)
    # A lower limit of the caller's own stays, and a budget is to fit into that.
    limit = max(limits_in(body, (*form.limits, *form.other_limits)))
    if max(budgets_in(body, form), default=0) < limit:
        return body
    for place in form.thinking:
        field, name = at(body, place)
        if isinstance(field.get(name), dict) and (given := _given(body, (*place, "budget_tokens"))) is not None:
            lower = min(given, max(LEAST_BUDGET, limit // 2))
            room = limit > LEAST_BUDGET
            body = replaced(body, (*place, "budget_tokens"), lower) if room else replaced(body, place, None)
    return body


def _read_today(asked: Asked, body: Body, form: Form) -> Place:
    """Return the limit to add: Claude's older text completions, which hold a prompt, know another than messages."""
    is_old = asked.family is Family.ANTHROPIC and len(form.limits[0]) == 1 and body.get("prompt") is not None
    return form.limits[1] if is_old else form.limits[0]


def _lowered(body: Body, places: tuple[Place, ...], most: int) -> Body:
    for place in places:
        given = _given(body, place)
        if given is not None and given > most:
            body = replaced(body, place, most)
    return body


def _without(body: Body, place: Place) -> Body:
    field, name = at(body, place)
    return body if field.get(name) is None else replaced(body, place, None)


def _given(body: Body, place: Place) -> int | None:
    return integer(*at(body, place), least=0)
