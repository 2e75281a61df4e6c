"""What a request to Gemini's API asks for: its path and JSON body to the facts of a call.

After the Gemini API's reference for generating content, counting tokens and embedding. Rule: a field is read in both
of its spellings, and what is given in two or in a wrong type is refused.

Why a budget for thinking is added to the limit: models differ in whether `maxOutputTokens` holds for their thoughts,
too, and of several limits the largest counts. A budget of -1, which leaves it to the model, is what most models do
without being asked; it adds nothing.
"""

from modelfence.core.call import Reading
from modelfence.core.dialect import MalformedRequestError
from modelfence.dialects.gemini.paths import Place
from modelfence.dialects.gemini.prompt import prompt_of
from modelfence.dialects.gemini.sizes import size_of_contents, size_of_tools
from modelfence.dialects.gemini.spellings import Names, several
from modelfence.dialects.shared.fields import Body, boolean, integer, mapping, string
from modelfence.dialects.shared.tokens import tokens_in

_MOST_OUTPUT_TOKENS = 10**15
"""Where limits times choices stop growing, so that the fact stays inside 64 bits."""
_CALL = Names(
    "model", "contents", "systemInstruction", "tools", "toolConfig", "generationConfig", "cachedContent",
    "generateContentRequest", "content", "requests",
)  # fmt: skip
_CONFIG = Names(
    "maxOutputTokens", "candidateCount", "responseLogprobs", "logprobs", "thinkingConfig", "responseSchema",
    "responseJsonSchema",
)  # fmt: skip
_THINKING = Names("thinkingBudget", "includeThoughts", "thinkingLevel")
_TOOL = Names("functionDeclarations")


def read_body(place: Place, body: Body) -> Reading:
    """Return what a body asks for. Raises MalformedRequestError naming the field that is wrong."""
    call = _read_call(body, place.model)
    if place.operation == "chat":
        return _read_generation(place, call)
    if place.operation == "tokens":
        calls = [call, *(_read_call(one, place.model) for one in several(call, "generateContentRequest"))]
    else:
        calls = [call, *(_read_call(one, place.model) for one in several(call, "requests"))]
    return Reading(
        place.operation,
        model=place.model,
        input_tokens=None if any(map(_has_more_than_is_seen, calls)) else tokens_in(sum(map(_size_of, calls))),
        output_tokens=0,
        prompt=prompt_of(*calls),
    )


def config_of(call: Body) -> Body:
    """Return the settings of a generation, their fields named as the reference does."""
    return _CONFIG.read(mapping(_CALL.read(call), "generationConfig") or {})


def thinking_of(config: Body) -> Body:
    """Return the settings of thinking, their fields named as the reference does."""
    return _THINKING.read(mapping(config, "thinkingConfig") or {})


def choices_in(config: Body) -> int:
    """Return how many answers are asked for."""
    return integer(config, "candidateCount", least=1) or 1


def budget_in(thinking: Body) -> int:
    """Return the tokens that are set aside for thinking; zero where the model is to choose."""
    return max(0, integer(thinking, "thinkingBudget", least=-1) or 0)


def _read_call(body: Body, model: str) -> Body:
    """Return a call, or one of several in it, its fields named as the reference does; it must be for that model."""
    call = _CALL.read(body)
    named = string(call, "model")
    if named is not None and named not in (model, f"models/{model}"):
        raise MalformedRequestError(f"Invalid value for 'model': the path of this request names 'models/{model}'.")
    return call


def _read_generation(place: Place, call: Body) -> Reading:
    config = _CONFIG.read(mapping(call, "generationConfig") or {})
    thinking = thinking_of(config)
    choices, limit = choices_in(config), integer(config, "maxOutputTokens", least=1)
    given = tokens_in(_size_of(call))
    logprobs = boolean(config, "responseLogprobs") or integer(config, "logprobs", least=0) is not None
    return Reading(
        "chat",
        model=place.model,
        stream=place.is_streamed,
        logprobs=logprobs,
        choices=choices,
        tools=sum(map(_tools_in, several(call, "tools"))),
        reasoning=_is_reasoning(thinking),
        input_tokens=None if (is_part := _has_more_than_is_seen(call)) else given,
        seen_input_tokens=given if is_part else 0,
        output_tokens=None if limit is None else min((limit + budget_in(thinking)) * choices, _MOST_OUTPUT_TOKENS),
        prompt=prompt_of(call),
    )


def _is_reasoning(thinking: Body) -> bool:
    budget, level = integer(thinking, "thinkingBudget", least=-1), string(thinking, "thinkingLevel")
    return bool(budget) or level is not None or boolean(thinking, "includeThoughts")


def _tools_in(tool: Body) -> int:
    """Return how many tools an entry offers: each function it declares, and each of Google's own."""
    named = _TOOL.read(tool)
    functions = several(named, "functionDeclarations")
    return len(functions) + sum(value is not None for name, value in named.items() if name != "functionDeclarations")


def _has_more_than_is_seen(call: Body) -> bool:
    """Say whether the model is given more than stands in the call."""
    return bool(string(call, "cachedContent"))


def _size_of(call: Body) -> int:
    contents = [*several(call, "contents"), *several(call, "content"), *several(call, "systemInstruction")]
    return size_of_contents(contents) + size_of_tools(several(call, "tools"))
