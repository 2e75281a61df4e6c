"""What a request to Mistral's API asks for: its JSON body to the facts of a call.

After the request models of Mistral's own SDK. Rule: a body is read as OpenAI's would be, with what Mistral names or
shapes otherwise put in OpenAI's place before.

Why some fields of others are refused: Mistral's own servers know no `max_completion_tokens`, and a server that speaks
its API, such as vLLM, does. The one would be limited where the other is not.
"""

from dataclasses import replace

from modelfence.core.call import Reading
from modelfence.core.dialect import MalformedRequestError
from modelfence.dialects.mistral.content import flat_messages
from modelfence.dialects.mistral.paths import AGENTS, CHAT_MODERATIONS, MODERATIONS
from modelfence.dialects.openai.reading import read_body
from modelfence.dialects.shared.fields import (
    Body,
    array,
    boolean,
    integer,
    mapping,
    objects,
    refuse_other_cases,
    string,
    wrong_type,
)
from modelfence.dialects.shared.reading import UNKNOWN
from modelfence.dialects.shared.tokens import size_of, tokens_in

COUNTS = ("n", "best_of")
LIMIT = "max_tokens"
LOGPROBS = ("logprobs", "top_logprobs", "prompt_logprobs", "top_prompt_logprobs")
_PROMPT_LOGPROBS = ("prompt_logprobs", "top_prompt_logprobs")
_READ_HERE = frozenset((*_PROMPT_LOGPROBS, "agent_id", "prompt_mode", "prediction", "inputs"))
_CAMEL_CASE = {
    "maxTokens": LIMIT, "agentId": "agent_id", "promptMode": "prompt_mode", "reasoningEffort": "reasoning_effort",
    "topLogprobs": "top_logprobs", "promptLogprobs": "prompt_logprobs", "topPromptLogprobs": "top_prompt_logprobs",
    "logitBias": "logit_bias", "bestOf": "best_of",
}  # fmt: skip
"""As Mistral's SDK for JavaScript spells the fields before it sends them."""
_NOT_MISTRALS = frozenset(("max_completion_tokens", "max_output_tokens"))


def read_call(operation: str, path: str, body: Body) -> Reading:
    """Return what a body asks for. Raises MalformedRequestError naming the field that is wrong."""
    refuse_other_cases(body, _READ_HERE | _NOT_MISTRALS)
    _refuse(body, _NOT_MISTRALS, f"Did you mean '{LIMIT}'?")
    for name in sorted(_CAMEL_CASE.keys() & body.keys()):
        raise MalformedRequestError(f"Unknown parameter: '{name}'. Did you mean '{_CAMEL_CASE[name]}'?")
    if path == AGENTS:
        return _read_chat(_with_agent(body))
    _refuse(body, {"agent_id"}, "Agents are called under another path.")
    if operation == "chat":
        return _read_chat(body)
    if operation == "completion":
        string(body, "prompt")
        return read_body("completion", body)
    _refuse(body, {"inputs"}, "Did you mean 'input'?")
    if path in (MODERATIONS, CHAT_MODERATIONS):
        return _read_moderation(path, body)
    return read_body("embeddings", body)


def read_batch(body: Body) -> Reading:
    """Return what a new batch asks for: only its model can be seen, and only where the job says it for all calls."""
    refuse_other_cases(body, {"model", "agent_id", "requests", "input_files", "endpoint"})
    agent, model, requests = string(body, "agent_id"), string(body, "model"), objects(body, "requests")
    if agent is not None and model is not None:
        raise MalformedRequestError("A batch has a 'model' or an 'agent_id'; give one of them.")
    named = agent if model is None else model
    has_others = any((mapping(request, "body") or {}).get("model") not in (None, named) for request in requests)
    return replace(UNKNOWN, operation="batch", model=None if has_others else named)


def _read_chat(body: Body) -> Reading:
    as_openai = {name: value for name, value in body.items() if name not in _PROMPT_LOGPROBS}
    as_openai["messages"] = [*flat_messages(objects(body, "messages"))]
    reading = read_body("chat", as_openai)
    asks_of_prompt = boolean(body, "prompt_logprobs") or bool(integer(body, "top_prompt_logprobs", least=0))
    mode = string(body, "prompt_mode")
    return replace(
        reading,
        logprobs=reading.logprobs or asks_of_prompt,
        reasoning=reading.reasoning or mode is not None,
        input_tokens=(reading.input_tokens or 0) + tokens_in(_size_of_prediction(body)),
    )


def _read_moderation(path: str, body: Body) -> Reading:
    if path == MODERATIONS:
        return replace(read_body("embeddings", body), operation="moderation")
    messages: list[Body] = []
    for entry in array(body, "input"):
        for message in entry if isinstance(entry, list) else (entry,):
            if not isinstance(message, dict):
                raise wrong_type("input", "an array of messages, or of arrays of messages", message)
            messages.append(message)
    reading = read_body("chat", {"model": body.get("model"), "messages": [*flat_messages(messages)]})
    return replace(reading, operation="moderation", output_tokens=0)


def _with_agent(body: Body) -> Body:
    """Return the body of a call to an agent with its id in the place of the model."""
    _refuse(body, {"model"}, "The model of an agent is its own.")
    agent = string(body, "agent_id")
    if not agent:
        raise MalformedRequestError("you must provide an agent_id parameter")
    return {**body, "model": agent}


def _size_of_prediction(body: Body) -> int:
    prediction = mapping(body, "prediction")
    if prediction is None:
        return 0
    content = prediction.get("content")
    if not isinstance(content, str | None):
        raise wrong_type("prediction.content", "a string", content)
    return size_of(content or "")


def _refuse(body: Body, names: frozenset[str] | set[str], hint: str) -> None:
    for name in sorted(names & body.keys()):
        if body[name] is not None:
            raise MalformedRequestError(f"Unknown parameter: '{name}'. {hint}")
