"""What a request to OpenAI's API for text asks for: its JSON body to the facts of a call.

After OpenAI's API reference, with the fields that vLLM and SGLang add (`openai.additions`). Rule: a field is read where
the operation's API reads it, so that a limit which the upstream would pass over is none here either.

Why a model is always needed: a stored prompt of the responses API may name one, which the fence can't see; beside
such a prompt the model is to be named in the call. What else is stored: `openai.stored`.
"""

from collections.abc import Callable
from dataclasses import dataclass

from modelfence.core.call import Reading
from modelfence.core.dialect import MalformedRequestError
from modelfence.dialects.openai.additions import (
    ADDED,
    BIASES,
    PROBABILITIES,
    asks_for_probabilities,
    biases_in,
    refuse_hidden,
)
from modelfence.dialects.openai.prompt import prompt_in
from modelfence.dialects.openai.sizes import prompts_in, size_of_input, size_of_messages, size_of_tools
from modelfence.dialects.openai.stored import refuse_other_models, uses_stored_input, uses_stored_prompt
from modelfence.dialects.shared.fields import (
    Body,
    array,
    boolean,
    integer,
    mapping,
    model,
    objects,
    refuse_other_cases,
    string,
    wrong_type,
)
from modelfence.dialects.shared.tokens import size_of, tokens_in

_MOST_OUTPUT_TOKENS = 10**15
"""Where limits times choices stop growing, so that the fact stays inside 64 bits."""


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields in which one operation is told something, where operations differ."""

    limits: tuple[str, ...]
    """Limits of the output; the first is the one that the API reads today."""
    counts: tuple[str, ...] = ()
    """Answers asked for."""
    logprobs: tuple[str, ...] = ()
    biases: tuple[str, ...] = ("logit_bias",)
    least: tuple[str, ...] = ()
    """Lower limits of the output, which may not be above the upper ones."""


FIELDS = {
    "chat": Fields(
        limits=("max_completion_tokens", "max_tokens"),
        counts=("n", "best_of"),
        logprobs=("logprobs", "top_logprobs", *PROBABILITIES),
        biases=BIASES,
        least=("min_tokens",),
    ),
    "completion": Fields(
        limits=("max_tokens",),
        counts=("n", "best_of"),
        logprobs=("logprobs", *PROBABILITIES),
        biases=BIASES,
        least=("min_tokens",),
    ),
    "responses": Fields(limits=("max_output_tokens",), logprobs=("top_logprobs",)),
}
LOGPROBS_INCLUDE = "message.output_text.logprobs"
_READ = frozenset(
    (
        "model", "stream", "logit_bias", "tools", "functions", "reasoning", "reasoning_effort", "include",
        "messages", "prompt", "input", "instructions", "suffix", "web_search_options", *ADDED,
        *(name for fields in FIELDS.values() for name in (*fields.limits, *fields.counts, *fields.logprobs)),
    )
)  # fmt: skip


def read_body(operation: str, body: Body) -> Reading:
    """Return what a body asks for. Raises MalformedRequestError naming the field that is wrong."""
    refuse_other_cases(body, _READ)
    refuse_hidden(body, _READ)
    return _READERS[operation](body)


def _read_chat(body: Body) -> Reading:
    fields = FIELDS["chat"]
    choices = choices_in(body, fields)
    tools = [*array(body, "tools"), *array(body, "functions")]
    top_logprobs = integer(body, "top_logprobs", least=-1)
    return Reading(
        "chat",
        model=model(body),
        stream=boolean(body, "stream"),
        logprobs=boolean(body, "logprobs") or bool(top_logprobs) or asks_for_probabilities(body),
        logit_bias=biases_in(body),
        choices=choices,
        # Searching the web is a tool that stands in a field of its own.
        tools=len(tools) + (mapping(body, "web_search_options") is not None),
        reasoning=_reasoning(body),
        input_tokens=tokens_in(size_of_messages(objects(body, "messages")) + size_of_tools(tools)),
        output_tokens=_output_tokens(body, fields, choices, least=1),
        prompt=prompt_in("chat", body),
    )


def _read_completion(body: Body) -> Reading:
    fields = FIELDS["completion"]
    prompts, input_tokens = prompts_in(body, "prompt")
    choices = prompts * choices_in(body, fields)
    return Reading(
        "completion",
        model=model(body),
        stream=boolean(body, "stream"),
        # Here 0 asks for the probability of each token that was chosen.
        logprobs=integer(body, "logprobs", least=-1) is not None or asks_for_probabilities(body),
        logit_bias=biases_in(body),
        choices=choices,
        input_tokens=input_tokens + tokens_in(size_of(string(body, "suffix") or "")),
        output_tokens=_output_tokens(body, fields, choices, least=0),
        prompt=prompt_in("completion", body),
    )


def _read_responses(body: Body) -> Reading:
    if boolean(body, "background"):
        # What it costs is known only to a later call, which nothing ties to this one.
        raise MalformedRequestError("Responses in the background are not supported by this service.")
    refuse_other_models(body)
    tools, is_stored = array(body, "tools"), uses_stored_prompt(body)
    given = tokens_in(size_of_input(body, tools))
    return Reading(
        "responses",
        model=model(body),
        stream=boolean(body, "stream"),
        logprobs=LOGPROBS_INCLUDE in array(body, "include") or bool(integer(body, "top_logprobs", least=-1)),
        logit_bias=len(mapping(body, "logit_bias") or ()),
        tools=None if is_stored and not tools else len(tools),
        reasoning=_reasoning(body) or (None if is_stored else False),
        input_tokens=None if (is_part := uses_stored_input(body)) else given,
        seen_input_tokens=given if is_part else 0,
        output_tokens=_output_tokens(body, FIELDS["responses"], 1, least=1),
        prompt=prompt_in("responses", body),
    )


def _read_tokens(body: Body) -> Reading:
    """Read what is to be counted. No model answers, so none has to be named."""
    tools = array(body, "tools")
    given = tokens_in(size_of_input(body, tools))
    return Reading(
        "tokens",
        model=model(body) if body.get("model") is not None else None,
        tools=len(tools),
        reasoning=_reasoning(body),
        input_tokens=None if (is_part := uses_stored_input(body)) else given,
        seen_input_tokens=given if is_part else 0,
        output_tokens=0,
        prompt=prompt_in("responses", body),
    )


def _read_embeddings(body: Body) -> Reading:
    _, input_tokens = prompts_in(body, "input")
    prompt = prompt_in("embeddings", body)
    return Reading("embeddings", model=model(body), input_tokens=input_tokens, output_tokens=0, prompt=prompt)


def choices_in(body: Body, fields: Fields) -> int:
    """Return how many answers are asked for to each prompt."""
    return max((integer(body, name, least=1) or 1 for name in fields.counts), default=1)


def _output_tokens(body: Body, fields: Fields, choices: int, *, least: int) -> int | None:
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


_READERS: dict[str, Callable[[Body], Reading]] = {
    "chat": _read_chat,
    "completion": _read_completion,
    "responses": _read_responses,
    "tokens": _read_tokens,
    "embeddings": _read_embeddings,
}
