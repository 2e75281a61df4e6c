"""What a request to Anthropic's API asks for: its JSON body to the facts of a call.

After Anthropic's API reference for messages, its beta fields included. Rule: what would let another model answer, or
another party pay, than the call says is refused: the policy could not see it.

Why a thinking budget is added to `max_tokens` only when it is not smaller: it counts within `max_tokens`, except with
interleaved thinking, whose budget is for a whole turn and may be larger. Then the answer may come on top.
"""

from modelfence.core.call import Reading
from modelfence.core.dialect import Json, MalformedRequestError
from modelfence.dialects.anthropic.prompt import instructions_in, prompt_in, prompt_of_batch
from modelfence.dialects.anthropic.sizes import size_of_content
from modelfence.dialects.shared.fields import (
    Body,
    boolean,
    integer,
    mapping,
    model,
    objects,
    refuse_other_cases,
    string,
    wrong_type,
)
from modelfence.dialects.shared.tokens import size_of_json, tokens_in

_READ = frozenset(
    (
        "model", "messages", "system", "max_tokens", "stream", "thinking", "tools", "tool_choice", "output_config",
        "output_format", "fallbacks", "billing_policy", "requests", "mcp_servers",
    )
)  # fmt: skip
_INSIDE = frozenset(("type", "budget_tokens", "effort", "format", "bill_to"))
_NOT_THINKING = ("disabled", "between_tools")


def read_message(operation: str, body: Body) -> Reading:
    """Return what a body asks for. Raises MalformedRequestError naming the field that is wrong.

    Counting tokens reads the same body, and is answered with none.
    """
    refuse_other_cases(body, _READ)
    _refuse_what_no_policy_sees(body)
    tools = objects(body, "tools")
    mapping(body, "tool_choice")
    _check_output(body)
    contents = (message.get("content") for message in objects(body, "messages"))
    size = size_of_content(_system(body)) + sum(map(size_of_content, (*contents, *instructions_in(body))))
    limit = output_tokens_in(body)
    return Reading(
        operation,
        model=model(body),
        stream=boolean(body, "stream"),
        tools=len(tools) + _servers_by_themselves(body, tools),
        reasoning=_reasoning(body),
        input_tokens=tokens_in(size + (size_of_json(list(tools)) if tools else 0)),
        output_tokens=0 if operation == "tokens" else limit,
        prompt=prompt_in(body),
    )


def read_batch(body: Body) -> Reading:
    """Return what all requests of a batch ask for together.

    The model is unknown when they name several, and the limit when one of them sets none.
    """
    refuse_other_cases(body, _READ)
    readings = [_read_entry(place, entry) for place, entry in enumerate(objects(body, "requests"))]
    models = {reading.model for reading in readings} or {""}
    limits = [reading.output_tokens for reading in readings]
    stated = [limit for limit in limits if limit is not None]
    return Reading(
        "batch",
        model=models.pop() if len(models) == 1 else None,
        choices=len(readings),
        tools=max((reading.tools or 0 for reading in readings), default=0),
        reasoning=any(reading.reasoning for reading in readings),
        input_tokens=sum(reading.input_tokens or 0 for reading in readings),
        output_tokens=sum(stated) if len(stated) == len(limits) else None,
        prompt=prompt_of_batch([reading.prompt for reading in readings]),
    )


def output_tokens_in(body: Body) -> int | None:
    """Return the most tokens a request may be answered with, thinking included; None where it sets no limit."""
    limit = integer(body, "max_tokens", least=0)
    budget = integer(_inside(body, "thinking"), "thinking.budget_tokens", least=0)
    if limit is None or budget is None or budget < limit:
        return limit
    return limit + budget


def _read_entry(place: int, entry: Body) -> Reading:
    where = f"requests[{place}]"
    refuse_other_cases(entry, ("params",))
    params = mapping(_named(entry, where), f"{where}.params")
    return read_message("batch", params or {})


def _refuse_what_no_policy_sees(body: Body) -> None:
    if body.get("fallbacks") is not None:
        raise MalformedRequestError("Fallback models are not supported by this service; leave out 'fallbacks'.")
    billing = _inside(body, "billing_policy")
    if string(billing, "billing_policy.bill_to") not in {None, "self"}:
        raise MalformedRequestError("Invalid value for 'billing_policy.bill_to': only 'self' is supported here.")
    for place, tool in enumerate(objects(body, "tools")):
        refuse_other_cases(tool, ("model",))
        if tool.get("model") is not None:
            message = f"Tools that ask another model are not supported by this service: 'tools[{place}].model'."
            raise MalformedRequestError(message)


def _system(body: Body) -> Json:
    system = body.get("system")
    if system is not None and not isinstance(system, str | list):
        raise wrong_type("system", "a string or an array", system)
    return system


def _check_output(body: Body) -> None:
    """Check what is said of the output. Effort is how much to write and to think, and asks for neither."""
    config = _inside(body, "output_config")
    string(config, "output_config.effort")
    mapping(config, "output_config.format")
    mapping(body, "output_format")


def _servers_by_themselves(body: Body, tools: list[Body]) -> int:
    """Return how many servers offer their tools without an entry among the tools, as in the older version."""
    return max(0, len(objects(body, "mcp_servers")) - sum(tool.get("type") == "mcp_toolset" for tool in tools))


def _reasoning(body: Body) -> bool:
    """Say whether thinking is asked for: any kind of it but those that turn it off."""
    thinking = _inside(body, "thinking")
    return bool(thinking) and string(thinking, "thinking.type") not in _NOT_THINKING


def _inside(body: Body, name: str) -> Body:
    """Return the fields of an object in a body, by names that say where they stand; none when it is absent."""
    fields = mapping(body, name) or {}
    refuse_other_cases(fields, _INSIDE)
    return _named(fields, name)


def _named(fields: Body, where: str) -> Body:
    return {f"{where}.{name}": value for name, value in fields.items()}
