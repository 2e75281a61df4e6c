"""What a request to Ollama's API asks for: its JSON body to the facts of a call.

After Ollama's API reference and its `api` package. Rule: Ollama folds the case of names, so no name that is read may
stand in another.

Why `num_predict` is no limit unless it is above zero: less than zero asks for as much as there is room for, and the
runner takes zero for no limit as well. Whoever gives a limit for thinking and none for the answer has none.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from modelfence.core.call import Reading
from modelfence.core.dialect import Json, MalformedRequestError
from modelfence.core.extraction import Prompt
from modelfence.dialects.ollama.names import known_name
from modelfence.dialects.openai.prompt import prompt_in
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
from modelfence.dialects.shared.tokens import IMAGE_SIZE, size_of, size_of_content, size_of_json, tokens_in

_READ = frozenset(
    (
        "model", "name", "messages", "prompt", "suffix", "system", "template", "context", "stream", "raw", "format",
        "images", "options", "think", "tools", "logprobs", "top_logprobs", "input",
    )
)  # fmt: skip
_READ_OF_OPTIONS = frozenset(("num_predict", "logit_bias"))
_READ_OF_MESSAGES = frozenset(("role", "content", "thinking", "images", "tool_calls", "tool_name", "tool_call_id"))


def read_body(path: str, body: Body) -> Reading:
    """Return what a body asks for. Raises MalformedRequestError naming the field that is wrong."""
    refuse_other_cases(body, _READ)
    return _READERS[path](body)


def limit_in(options: Body) -> int | None:
    """Return the limit that options set, None where they set none."""
    name = "options.num_predict"
    given = integer({name: options.get("num_predict")}, name, least=-2)
    return given if given is not None and given > 0 else None


def _read_chat(body: Body) -> Reading:
    messages, tools = objects(body, "messages"), array(body, "tools")
    size = sum(map(_size_of_message, messages)) + (size_of_json(tools) if tools else 0)
    asked: Body = {"messages": body.get("messages"), "response_format": body.get("format")}
    return replace(_generated("chat", body, size), tools=len(tools), prompt=prompt_in("chat", asked))


def _read_generate(body: Body) -> Reading:
    boolean(body, "raw")
    texts = [string(body, name) or "" for name in ("prompt", "suffix", "system", "template")]
    context = array(body, "context")
    size = sum(map(size_of, texts)) + len(array(body, "images")) * IMAGE_SIZE
    reading = _generated("completion", body, size)
    said = prompt_in("completion", body)
    before = prompt_in("completion", {"prompt": context}).user
    schema = prompt_in("chat", {"response_format": body.get("format")}).schema
    prompt = Prompt(tuple(filter(None, texts[2:])), said.user, before, schema)
    return replace(reading, input_tokens=(reading.input_tokens or 0) + len(context), prompt=prompt)


def _generated(operation: str, body: Body, size: int) -> Reading:
    """Read what both ways to generate have in common; `size` is that of all that is said."""
    options = mapping(body, "options") or {}
    refuse_other_cases(options, _READ_OF_OPTIONS)
    bias = mapping({"options.logit_bias": options.get("logit_bias")}, "options.logit_bias")
    limit, schema, (thinks, budget) = limit_in(options), _format(body), _thinking(body)
    return Reading(
        operation,
        model=known_name(model(body)),
        stream=body.get("stream") is None or boolean(body, "stream"),
        logprobs=boolean(body, "logprobs") or bool(integer(body, "top_logprobs", least=0)),
        logit_bias=len(bias or ()),
        reasoning=thinks,
        input_tokens=tokens_in(size + (size_of_json(schema) if schema else 0)),
        output_tokens=None if limit is None else max(limit, budget),
    )


def _thinking(body: Body) -> tuple[bool, int]:
    """Say whether thinking is asked for: by a flag, a level or a number of tokens; and how many those are."""
    think = body.get("think")
    if think is None or isinstance(think, bool):
        return think is True, 0
    if isinstance(think, str):
        return True, 0
    return True, integer(body, "think", least=1) or 0


def _format(body: Body) -> Body | None:
    """Return the schema that an answer is to have, None where a word or nothing stands for it."""
    return None if isinstance(body.get("format"), str) else mapping(body, "format")


def _read_embed(body: Body) -> Reading:
    given = body.get("input")
    return _embedding(body, array(body, "input") if isinstance(given, list) else [string(body, "input")])


def _read_embeddings(body: Body) -> Reading:
    return _embedding(body, [string(body, "prompt")])


def _embedding(body: Body, given: Sequence[Json]) -> Reading:
    texts = [text for text in given if isinstance(text, str)]
    if len(texts) < len(given) and given != [None]:
        raise wrong_type("input", "a string or an array of strings", body.get("input"))
    asked = "\n".join(texts)
    return Reading(
        "embeddings",
        model=known_name(model(body)),
        input_tokens=tokens_in(sum(map(size_of, texts))),
        output_tokens=0,
        prompt=Prompt(user=(asked,) if asked else ()),
    )


def _read_show(body: Body) -> Reading:
    names = {name for field in ("model", "name") if (name := string(body, field))}
    if len(names) > 1:
        raise MalformedRequestError("The fields 'model' and 'name' must not name two models.")
    return Reading("models", model=known_name(*names) if names else "", output_tokens=0)


def _size_of_message(message: Body) -> int:
    refuse_other_cases(message, _READ_OF_MESSAGES)
    size = sum(size_of_content(message.get(name)) for name in ("content", "thinking", "tool_name"))
    calls: Json = message.get("tool_calls")
    return size + len(array(message, "images")) * IMAGE_SIZE + (size_of_json(calls) if calls else 0)


_READERS: Mapping[str, Callable[[Body], Reading]] = {
    "/api/chat": _read_chat,
    "/api/generate": _read_generate,
    "/api/embed": _read_embed,
    "/api/embeddings": _read_embeddings,
    "/api/show": _read_show,
}
