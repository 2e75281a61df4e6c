"""OpenAI's API, also as vLLM, SGLang and other servers speak it.

After OpenAI's API reference for chat completions, completions, responses, embeddings and models. A path is known
exactly or not at all: an upstream may be laxer, and what the fence can't read is judged as operation `unknown`.

Why a model is always needed: a stored prompt of the responses API may name one, which the fence can't see; beside
such a prompt the model is to be named in the call.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote

from modelfence.core.call import Credential, Reading
from modelfence.core.dialect import Answer, Headers, Json, Refusal, Request, UsageReader
from modelfence.core.policy import Reshaping
from modelfence.dialects.credentials import credential
from modelfence.dialects.fields import (
    Body,
    array,
    boolean,
    integer,
    json_object,
    mapping,
    model,
    objects,
    refuse_other_cases,
    string,
    wrong_type,
)
from modelfence.dialects.openai_refusal import refuse
from modelfence.dialects.openai_usage import usage_reader
from modelfence.dialects.tokens import size_of, size_of_content, size_of_json, tokens_in

_OPERATIONS = {
    ("POST", "/v1/chat/completions"): "chat",
    ("POST", "/v1/completions"): "completion",
    ("POST", "/v1/responses"): "responses",
    ("POST", "/v1/embeddings"): "embeddings",
    ("GET", "/v1/models"): "models",
}
# Ids such as `ft:gpt-4o:acme` and `org/name`, whose slash stands escaped; none begins with a dot, so none climbs.
_ID = r"(?!\.)(?:[\w.:~@+-]|%3[Aa]|%40|%2[Bb])+"
_MODEL_PATH = re.compile(rf"/v1/models/({_ID}(?:%2[Ff]{_ID})*)", re.ASCII)
_UNKNOWN = Reading(
    "unknown",
    model=None,
    stream=None,
    logprobs=None,
    logit_bias=None,
    choices=None,
    tools=None,
    reasoning=None,
    input_tokens=None,
)
_MOST_OUTPUT_TOKENS = 10**15
"""Where limits times choices stop growing, so that the fact stays inside 64 bits."""


@dataclass(frozen=True, slots=True)
class _Fields:
    """The fields in which one operation is told something, where operations differ."""

    limits: tuple[str, ...]
    """Limits of the output; the first is the one that the API reads today."""
    counts: tuple[str, ...] = ()
    """Answers asked for."""
    logprobs: tuple[str, ...] = ()


_FIELDS = {
    "chat": _Fields(
        limits=("max_completion_tokens", "max_tokens"),
        counts=("n", "best_of"),
        logprobs=("logprobs", "top_logprobs", "prompt_logprobs"),
    ),
    "completion": _Fields(limits=("max_tokens",), counts=("n", "best_of"), logprobs=("logprobs", "prompt_logprobs")),
    "responses": _Fields(limits=("max_output_tokens",), logprobs=("top_logprobs",)),
}
_LOGPROBS_INCLUDE = "message.output_text.logprobs"
_READ = frozenset(
    (
        "model", "stream", "logit_bias", "tools", "functions", "reasoning", "reasoning_effort", "include",
        "messages", "prompt", "input", "instructions", "suffix",
        *(name for fields in _FIELDS.values() for name in (*fields.limits, *fields.counts, *fields.logprobs)),
    )
)  # fmt: skip


class OpenAI:
    """The dialect `openai`."""

    name = "openai"

    def operation(self, method: str, path: str) -> str:
        """Return the operation a path stands for, `unknown` when it is none of those read here."""
        if known := _OPERATIONS.get((method, path)):
            return known
        return "models" if method == "GET" and _MODEL_PATH.fullmatch(path) else "unknown"

    def credential(self, headers: Headers) -> Credential:
        """Return the caller's credential. Raises MalformedRequestError when two different ones are given."""
        return credential(headers)

    def credential_header(self, secret: str) -> tuple[str, str]:
        """Return the header that carries an API key."""
        return "authorization", f"Bearer {secret}"

    def read(self, request: Request) -> Reading:
        """Return what the facts need. Raises MalformedRequestError when the upstream might read it otherwise."""
        operation = self.operation(request.method, request.path)
        if operation == "unknown":
            return _UNKNOWN
        if operation == "models":
            named = _MODEL_PATH.fullmatch(request.path)
            return Reading(operation, model=unquote(named[1]) if named else "", output_tokens=0)
        body = json_object(request)
        refuse_other_cases(body, _READ)
        return _READERS[operation](body)

    def reshape(self, request: Request, reshaping: Reshaping) -> Json:
        """Return the body with fields removed and limits lowered; the given one is left as it was.

        `cap.output_tokens` is for the whole call, as the fact is, and the API's limits are for one choice: each
        choice may have its share, at least one token. `cap.choices` lowers what is asked for each prompt; prompts
        sent in one batch are all kept.
        """
        operation = self.operation(request.method, request.path)
        if operation not in _FIELDS or not isinstance(request.json, dict):
            return request.json
        fields = _FIELDS[operation]
        body = dict(request.json)
        if "logit_bias" in reshaping.remove:
            body.pop("logit_bias", None)
        if "logprobs" in reshaping.remove:
            _remove_logprobs(body, fields)
        prompts = _prompts(body, "prompt")[0] if operation == "completion" else 1
        if (most := reshaping.cap.get("choices")) is not None:
            _lower(body, fields.counts, max(1, most // prompts))
        if (most := reshaping.cap.get("output_tokens")) is not None:
            limit = max(1, most // (prompts * _choices(body, fields)))
            if not _lower(body, fields.limits, limit):
                body[fields.limits[0]] = limit
        return body

    def usage_reader(self, operation: str, content_type: str) -> UsageReader:
        """Return a counter for an answer of that kind."""
        return usage_reader(operation, content_type)

    def refuse(self, refusal: Refusal) -> Answer:
        """Return the refusal in the API's own shape."""
        return refuse(refusal)


def _read_chat(body: Body) -> Reading:
    fields = _FIELDS["chat"]
    choices = _choices(body, fields)
    tools = [*array(body, "tools"), *array(body, "functions")]
    top_logprobs = integer(body, "top_logprobs", least=-1)
    prompt_logprobs = integer(body, "prompt_logprobs", least=-1)
    return Reading(
        "chat",
        model=model(body),
        stream=boolean(body, "stream"),
        logprobs=boolean(body, "logprobs") or bool(top_logprobs) or prompt_logprobs is not None,
        logit_bias=len(mapping(body, "logit_bias") or ()),
        choices=choices,
        tools=len(tools),
        reasoning=_reasoning(body),
        input_tokens=tokens_in(_size_of_messages(objects(body, "messages")) + _size_of_tools(tools)),
        output_tokens=_output_tokens(body, fields, choices, least=1),
    )


def _read_completion(body: Body) -> Reading:
    fields = _FIELDS["completion"]
    prompts, input_tokens = _prompts(body, "prompt")
    choices = prompts * _choices(body, fields)
    return Reading(
        "completion",
        model=model(body),
        stream=boolean(body, "stream"),
        # Here 0 asks for the probability of each token that was chosen.
        logprobs=any(integer(body, name, least=-1) is not None for name in fields.logprobs),
        logit_bias=len(mapping(body, "logit_bias") or ()),
        choices=choices,
        input_tokens=input_tokens + tokens_in(size_of(string(body, "suffix") or "")),
        output_tokens=_output_tokens(body, fields, choices, least=0),
    )


def _read_responses(body: Body) -> Reading:
    tools = array(body, "tools")
    given = body.get("input")
    size = size_of(given) if isinstance(given, str) else _size_of_messages(objects(body, "input"))
    return Reading(
        "responses",
        model=model(body),
        stream=boolean(body, "stream"),
        logprobs=_LOGPROBS_INCLUDE in array(body, "include") or bool(integer(body, "top_logprobs", least=-1)),
        logit_bias=len(mapping(body, "logit_bias") or ()),
        tools=len(tools),
        reasoning=_reasoning(body),
        input_tokens=tokens_in(size + size_of(string(body, "instructions") or "") + _size_of_tools(tools)),
        output_tokens=_output_tokens(body, _FIELDS["responses"], 1, least=1),
    )


def _read_embeddings(body: Body) -> Reading:
    return Reading("embeddings", model=model(body), input_tokens=_prompts(body, "input")[1], output_tokens=0)


_READERS: dict[str, Callable[[Body], Reading]] = {
    "chat": _read_chat,
    "completion": _read_completion,
    "responses": _read_responses,
    "embeddings": _read_embeddings,
}


def _choices(body: Body, fields: _Fields) -> int:
    """Return how many answers are asked for to each prompt."""
    return max((integer(body, name, least=1) or 1 for name in fields.counts), default=1)


def _output_tokens(body: Body, fields: _Fields, choices: int, *, least: int) -> int | None:
    limits = [limit for name in fields.limits if (limit := integer(body, name, least=least)) is not None]
    return min(max(limits) * choices, _MOST_OUTPUT_TOKENS) if limits else None


def _reasoning(body: Body) -> bool:
    """Say whether reasoning is asked for: by `reasoning_effort`, or by the object that the responses API takes."""
    effort = string(body, "reasoning_effort")
    reasoning = mapping(body, "reasoning")
    if reasoning is not None:
        named = reasoning.get("effort")
        if not isinstance(named, str | None):
            raise wrong_type("reasoning.effort", "a string", named)
        if named != "none":
            return True
    return effort is not None and effort != "none"


_OTHER_TEXTS = ("output", "arguments", "input", "summary", "reasoning_content")
_CALLS = ("tool_calls", "function_call")


def _size_of_messages(messages: list[Body]) -> int:
    size = 0
    for message in messages:
        size += size_of_content(message.get("content"))
        # Most have only a role and a content.
        if len(message) > 2:  # noqa: PLR2004
            size += sum(size_of_content(message.get(name)) for name in _OTHER_TEXTS)
            size += sum(size_of_json(calls) for name in _CALLS if (calls := message.get(name)))
    return size


def _size_of_tools(tools: list[Json]) -> int:
    return size_of_json(tools) if tools else 0


def _prompts(body: Body, name: str) -> tuple[int, int]:
    """Return how many prompts a field holds and their tokens: a text, texts, token ids or lists of token ids."""
    value = body.get(name)
    if value is None:
        return 1, 0
    if isinstance(value, str):
        return 1, tokens_in(size_of(value))
    if not isinstance(value, list):
        raise wrong_type(name, "a string or an array", value)
    if _are_token_ids(value):
        return 1, len(value)
    texts = [entry for entry in value if isinstance(entry, str)]
    if texts and len(texts) == len(value):
        return len(texts), tokens_in(sum(map(size_of, texts)))
    lists = [entry for entry in value if isinstance(entry, list) and _are_token_ids(entry)]
    if lists and len(lists) == len(value):
        return len(lists), sum(map(len, lists))
    raise wrong_type(name, "a string, or an array of strings, of token ids or of arrays of token ids", value)


def _are_token_ids(value: list[Json]) -> bool:
    return set(map(type, value)) == {int}


def _remove_logprobs(body: Body, fields: _Fields) -> None:
    for name in fields.logprobs:
        body.pop(name, None)
    include = body.get("include")
    if isinstance(include, list):
        body["include"] = [entry for entry in include if entry != _LOGPROBS_INCLUDE]


def _lower(body: Body, names: tuple[str, ...], most: int) -> bool:
    """Lower those of the fields that are given to at most that; say whether any was given."""
    given = {name: value for name in names if isinstance(value := body.get(name), int)}
    body.update({name: min(value, most) for name, value in given.items()})
    return bool(given)
