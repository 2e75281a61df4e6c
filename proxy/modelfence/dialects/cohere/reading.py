"""What a request to Cohere's API asks for: its JSON body to the facts of a call.

After Cohere's API reference, versions 1 and 2. Rule: a field is read where the path's API reads it, so that a limit
which the upstream would pass over is none here either.

Why `thinking.token_budget` and `max_tokens` are not added up: Cohere's guide on reasoning asks to leave room for the
answer below the budget, so one limit holds for both. The larger counts.

Why a model is always needed: version 1 takes a default of its own, which the fence can't know. Why a stored
conversation is refused: what stands in it is seen by nobody but the upstream.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from modelfence.core.call import Reading
from modelfence.core.dialect import Json, MalformedRequestError
from modelfence.core.extraction import Prompt
from modelfence.dialects.cohere.prompt import prompt_of_chat, prompt_of_old_chat
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
from modelfence.dialects.shared.reading import UNKNOWN
from modelfence.dialects.shared.tokens import IMAGE_SIZE, size_of, size_of_content, size_of_json, tokens_in

_READ = frozenset(
    (
        "model", "messages", "stream", "max_tokens", "thinking", "logprobs", "tools", "documents", "response_format",
        "message", "chat_history", "preamble", "conversation_id", "connectors", "tool_results", "texts", "images",
        "inputs", "query", "text", "tokens",
    )
)  # fmt: skip
_READ_OF_MESSAGES = frozenset(
    ("role", "content", "tool_calls", "tool_plan", "citations", "message", "tool_results", "tool_call_id")
)
_READ_OF_PARTS = frozenset(("type", "text", "thinking", "document", "image_url", "content"))
_READ_OF_THINKING = frozenset(("type", "token_budget"))


def read_body(path: str, body: Body) -> Reading:
    """Return what a body asks for. Raises MalformedRequestError naming the field that is wrong."""
    refuse_other_cases(body, _READ)
    return _READERS[path](body)


def has_reader(path: str) -> bool:
    """Say whether what is posted under this path is read here."""
    return path in _READERS


def _read_chat(body: Body) -> Reading:
    messages = objects(body, "messages")
    for message in messages:
        refuse_other_cases(message, _READ_OF_MESSAGES)
    size = sum(map(_size_of_message, messages))
    return _chat(body, size, prompt_of_chat(body))


def _read_old_chat(body: Body) -> Reading:
    if string(body, "conversation_id") is not None:
        raise MalformedRequestError("Stored conversations ('conversation_id') are not supported by this service.")
    history = objects(body, "chat_history")
    for message in history:
        refuse_other_cases(message, _READ_OF_MESSAGES)
    texts = [string(body, name) or "" for name in ("message", "preamble")]
    results = [value for entry in (body, *history) if (value := entry.get("tool_results"))]
    said = sum(size_of_content(entry.get("message")) for entry in history)
    calls = sum(size_of_json(value) for entry in history if (value := entry.get("tool_calls")))
    size = sum(map(size_of, texts)) + said + calls + sum(map(size_of_json, results))
    return _chat(body, size, prompt_of_old_chat(body))


def _chat(body: Body, size: int, prompt: Prompt) -> Reading:
    """Read what both versions have in common; `size` is that of all that was said."""
    tools, documents = array(body, "tools"), array(body, "documents")
    thinking = mapping(body, "thinking") or {}
    refuse_other_cases(thinking, _READ_OF_THINKING)
    limits = [integer(body, "max_tokens", least=1), _budget(thinking)]
    shown: list[Json] = [shown for shown in (tools, documents, mapping(body, "response_format")) if shown]
    return Reading(
        "chat",
        model=model(body),
        stream=boolean(body, "stream"),
        logprobs=boolean(body, "logprobs"),
        # What connectors find is shown to the model, as what tools find.
        tools=len(tools) + len(array(body, "connectors")),
        reasoning=bool(thinking) and _kind(thinking) != "disabled",
        input_tokens=tokens_in(size + sum(map(size_of_json, shown))),
        # A budget for thinking alone leaves the answer as long as it likes.
        output_tokens=None if limits[0] is None else max(limit for limit in limits if limit is not None),
        prompt=prompt,
    )


def _budget(thinking: Body) -> int | None:
    budget = integer({"thinking.token_budget": thinking.get("token_budget")}, "thinking.token_budget", least=1)
    return None if _kind(thinking) == "disabled" else budget


def _kind(thinking: Body) -> str | None:
    return string({"thinking.type": thinking.get("type")}, "thinking.type")


def _read_embed(body: Body) -> Reading:
    texts, images = _texts(body, "texts"), _texts(body, "images")
    inputs = objects(body, "inputs")
    for entry in inputs:
        refuse_other_cases(entry, _READ_OF_PARTS)
    parts = [part for entry in inputs for part in objects(entry, "content")]
    size = sum(map(size_of, texts)) + len(images) * IMAGE_SIZE + sum(map(_size_of_part, parts))
    said = (text for part in parts if isinstance(text := part.get("text"), str))
    asked = "\n".join((*texts, *said))
    return Reading(
        "embeddings",
        model=model(body),
        input_tokens=tokens_in(size),
        output_tokens=0,
        prompt=Prompt(user=(asked,) if asked else ()),
    )


def _read_rerank(body: Body) -> Reading:
    query, documents = string(body, "query") or "", array(body, "documents")
    size = size_of(query) + sum(size_of(one) if isinstance(one, str) else size_of_json(one) for one in documents)
    return Reading(
        "embeddings",
        model=model(body),
        input_tokens=tokens_in(size),
        output_tokens=0,
        prompt=Prompt(user=(query,) if query else ()),
    )


def _read_tokenize(body: Body) -> Reading:
    text = string(body, "text") or ""
    return Reading("tokens", model=model(body), input_tokens=tokens_in(size_of(text)), output_tokens=0)


def _read_detokenize(body: Body) -> Reading:
    return Reading("tokens", model=model(body), input_tokens=len(array(body, "tokens")), output_tokens=0)


def _read_embed_job(body: Body) -> Reading:
    """Read a job over a stored dataset: how long its texts are is known to the upstream alone."""
    return Reading("batch", model=model(body), input_tokens=None, output_tokens=0)


def _read_batch(body: Body) -> Reading:
    """Read a batch of stored requests: of what they ask for, the model is all that is known."""
    return replace(UNKNOWN, operation="batch", model=model(body))


def _texts(body: Body, name: str) -> list[str]:
    texts = [entry for entry in array(body, name) if isinstance(entry, str)]
    if len(texts) != len(array(body, name)):
        raise wrong_type(name, "an array of strings", body.get(name))
    return texts


def _size_of_message(message: Body) -> int:
    content = message.get("content")
    parts = content if isinstance(content, list) else [content]
    size = sum(map(_size_of_part, parts)) + size_of_content(message.get("tool_plan"))
    return size + sum(size_of_json(value) for name in ("tool_calls", "citations") if (value := message.get(name)))


def _size_of_part(part: Json) -> int:
    """Return the bytes of a text, a thought or a document; of another part, those of an image."""
    if isinstance(part, dict):
        refuse_other_cases(part, _READ_OF_PARTS)
        if isinstance(thought := part.get("thinking"), str):
            return size_of(thought)
        if (document := part.get("document")) is not None:
            return size_of_json(document)
    return size_of_content(part)


_READERS: Mapping[str, Callable[[Body], Reading]] = {
    "/v2/chat": _read_chat,
    "/v1/chat": _read_old_chat,
    "/v2/embed": _read_embed,
    "/v1/embed": _read_embed,
    "/v2/rerank": _read_rerank,
    "/v1/rerank": _read_rerank,
    "/v1/tokenize": _read_tokenize,
    "/v1/detokenize": _read_detokenize,
    "/v1/embed-jobs": _read_embed_job,
    "/v2/batches": _read_batch,
}
