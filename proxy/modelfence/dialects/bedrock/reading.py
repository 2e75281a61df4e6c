"""What a request to Bedrock asks for: path and body to the facts of a call.

After the API reference of the Bedrock runtime, "Converse", "InvokeModel" and "CountTokens", and the parameters of each
family. Rule: the path names the model and says whether the answer is streamed, and the body can't say otherwise.

Why `promptVariables` are refused: they fill in a stored prompt, which names a model and limits that no policy sees.

Why a thinking budget is added to the limit only when it is not smaller: it counts within it, except with interleaved
thinking, whose budget is for a whole turn and may be larger.
"""

import base64
import binascii

from modelfence.core.call import Reading
from modelfence.core.dialect import Json, MalformedRequestError
from modelfence.dialects.bedrock.forms import (
    ADDITIONAL,
    ASKED_WITH,
    NOT_SEEN,
    Form,
    at,
    converses,
    form_asked,
    refuse_other_spellings,
)
from modelfence.dialects.bedrock.models import STREAMS, Action, Asked
from modelfence.dialects.bedrock.prompt import prompt_in
from modelfence.dialects.bedrock.sizes import size_of_asked
from modelfence.dialects.shared.fields import Body, array, integer, mapping, objects, string, wrong_type
from modelfence.dialects.shared.tokens import size_of_json, tokens_in

_MOST_OUTPUT_TOKENS = 10**15
"""Where limits times choices stop growing, so that the fact stays inside 64 bits."""
_TEXTS = ("prompt", "inputText", "message", "preamble", "inputImage")
_LISTS_OF_OBJECTS = ("messages", "chat_history")
_LISTS = ("documents", "texts", "images", "inputs")
_NOT_THINKING = ("disabled", "none")


def read_body(asked: Asked, body: Body) -> Reading:
    """Return what a body asks for. Raises MalformedRequestError naming the field that is wrong."""
    if asked.action is Action.COUNT:
        return _read_count(asked, body)
    form = form_asked(asked)
    refuse_other_spellings(body, form, converses=converses(asked))
    _refuse_another_model(asked, body)
    tools = tools_in(body, form)
    return Reading(
        asked.operation,
        model=asked.model,
        stream=asked.action in STREAMS,
        logprobs=_logprobs(body, form),
        logit_bias=len(mapping(*at(body, form.logit_bias)) or ()),
        choices=choices_in(body, form),
        tools=len(tools),
        reasoning=_reasoning(body, form),
        input_tokens=tokens_in(_size_of_asked(body) + (size_of_json(tools) if tools else 0)),
        output_tokens=0 if asked.operation == "embeddings" else output_tokens_in(body, form),
        prompt=prompt_in(body),
    )


def output_tokens_in(body: Body, form: Form) -> int | None:
    """Return the most tokens a call may be answered with, over all its choices; None where it sets no limit."""
    own, others = limits_in(body, form.limits), limits_in(body, form.other_limits)
    budget = max(budgets_in(body, form), default=0)
    if not own:
        return None
    limit = max(own + others)
    most = limit + budget if budget >= limit else limit
    return min(most * choices_in(body, form), _MOST_OUTPUT_TOKENS)


def limits_in(body: Body, places: tuple[tuple[str, ...], ...]) -> list[int]:
    """Return the limits that are given there."""
    return [limit for place in places if (limit := integer(*at(body, place), least=1)) is not None]


def budgets_in(body: Body, form: Form) -> list[int]:
    """Return the thinking budgets that are given."""
    places = [(*place, "budget_tokens") for place in form.thinking if isinstance(_thinking(body, place), dict)]
    return [budget for place in places if (budget := integer(*at(body, place), least=0)) is not None]


def choices_in(body: Body, form: Form) -> int:
    """Return how many answers are asked for."""
    return max((integer(*at(body, place), least=1) or 1 for place in form.counts), default=1)


def tools_in(body: Body, form: Form) -> list[Json]:
    """Return the tools that are offered; marks of what to cache stand between them."""
    offered = [tool for place in form.tools for tool in array(*at(body, place))]
    return [tool for tool in offered if not (isinstance(tool, dict) and tool.keys() == {"cachePoint"})]


def _read_count(asked: Asked, body: Body) -> Reading:
    """Return what is to be counted: a body of `converse`, or one of `invoke` in base64."""
    given = mapping(body, "input") or {}
    form = form_asked(asked)
    size = 0
    if conversation := mapping(*at(given, ("converse",))):
        refuse_other_spellings(conversation, form, converses=True)
        tools = tools_in(conversation, form)
        size = _size_of_asked(conversation) + (size_of_json(tools) if tools else 0)
    encoded = string(*at(given, ("invokeModel", "body")))
    if encoded is not None:
        try:
            size += len(base64.b64decode(encoded, validate=True))
        except (binascii.Error, ValueError):
            raise MalformedRequestError("Invalid value for 'input.invokeModel.body': expected base64.") from None
    prompt = prompt_in(conversation or {})
    return Reading(asked.operation, model=asked.model, input_tokens=tokens_in(size), output_tokens=0, prompt=prompt)


def _refuse_another_model(asked: Asked, body: Body) -> None:
    """Refuse what would let another model answer than the path names, or to something else than was read."""
    for name in ("model", "modelId"):
        if string(body, name) not in {None, asked.model}:
            raise MalformedRequestError(f"The path names another model than '{name}'; name it there only.")
    if body.get("fallbacks") is not None:
        raise MalformedRequestError("Fallback models are not supported by this service; leave out 'fallbacks'.")
    if any(isinstance(tool, dict) and tool.get("model") is not None for tool in tools_in(body, form_asked(asked))):
        raise MalformedRequestError("Tools that ask another model are not supported by this service: 'tools.model'.")
    if mapping(body, "promptVariables"):
        raise MalformedRequestError("Stored prompts are not supported by this service; leave out 'promptVariables'.")
    if converses(asked):
        for name in mapping(body, ADDITIONAL) or {}:
            if name in (*ASKED_WITH, *NOT_SEEN):
                raise MalformedRequestError(f"The parameter '{name}' does not belong into '{ADDITIONAL}'.")


def _size_of_asked(body: Body) -> int:
    """Return the bytes of text of what the model is asked, checking the types of it."""
    for name in _TEXTS:
        string(body, name)
    for name in _LISTS_OF_OBJECTS:
        objects(body, name)
    for name in _LISTS:
        array(body, name)
    system = body.get("system")
    if system is not None and not isinstance(system, str | list):
        raise wrong_type("system", "a string or an array", system)
    return size_of_asked({name: body[name] for name in ASKED_WITH if name in body})


def _logprobs(body: Body, form: Form) -> bool:
    """Say whether probabilities are asked for, by a flag, a number of them, or a word other than NONE."""
    for place in form.logprobs:
        field, name = at(body, place)
        value = field.get(name)
        if isinstance(value, list | dict | float):
            raise wrong_type(name, "a boolean, an integer or a string", value)
        # Some take 0 for the probability of each token that was chosen.
        if value is not None and value is not False and value != "NONE":
            return True
    return False


def _reasoning(body: Body, form: Form) -> bool:
    """Say whether reasoning is asked for, by its effort or by what each family calls it."""
    asks = [string(*at(body, form.effort)) not in {None, "none"}]
    for place in form.thinking:
        thinking = _thinking(body, place)
        if isinstance(thinking, dict):
            asks.append(string(*at(body, (*place, "type"))) not in _NOT_THINKING)
        else:
            asks.append(thinking not in (None, *_NOT_THINKING))
    return any(asks)


def _thinking(body: Body, place: tuple[str, ...]) -> Body | str | None:
    field, name = at(body, place)
    value = field.get(name)
    if value is None or isinstance(value, str | dict):
        return value
    raise wrong_type(name, "an object", value)
