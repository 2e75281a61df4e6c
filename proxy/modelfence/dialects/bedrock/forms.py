"""Where in a body Bedrock's models are told what the facts ask for, and where a rule changes it.

`converse` has fields of its own, and one in which a model's further fields stand, as its family spells them. `invoke`
has the family's. Every place is a path from the root of the body.

Rule: one field is spelled in one way. A name that is another spelling of one that is read here (`MaxTokens`,
`max-tokens`) is refused, and so are two spellings in one object: some reader might take them for the same.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from modelfence.core.dialect import Json, MalformedRequestError
from modelfence.dialects.bedrock.models import Action, Asked, Family
from modelfence.dialects.shared.fields import Body, wrong_type

type Place = tuple[str, ...]

ADDITIONAL = "additionalModelRequestFields"
_LIMITS: Mapping[Family | None, tuple[Place, ...]] = {
    Family.ANTHROPIC: (("max_tokens",), ("max_tokens_to_sample",)),
    Family.NOVA: (("inferenceConfig", "maxTokens"), ("inferenceConfig", "max_new_tokens")),
    Family.TITAN: (("textGenerationConfig", "maxTokenCount"),),
    Family.LLAMA: (("max_gen_len",),),
    Family.MISTRAL: (("max_tokens",),),
    Family.COHERE: (("max_tokens",),),
    # Of models that are asked through `converse` only.
    None: (("max_completion_tokens",), ("max_new_tokens",)),
}
"""Of each family; the first is the one that it reads today."""
_ALL_LIMITS = tuple(dict.fromkeys(place for places in _LIMITS.values() for place in places))
_COUNTS = (("num_generations",), ("n",))
_THINKING = (("thinking",), ("reasoning_config",), ("reasoningConfig",))
_LOGPROBS = (("logprobs",), ("top_logprobs",), ("return_likelihoods",))
_EFFORT = ("reasoning_effort",)
_LOGIT_BIAS = ("logit_bias",)
_OF_CONVERSE = (
    "messages", "system", "inferenceConfig", "toolConfig", "outputConfig", "guardrailConfig", "promptVariables",
    "requestMetadata", "performanceConfig", "serviceTier", ADDITIONAL, "modelId", "model", "stream",
)  # fmt: skip
ASKED_WITH = (
    "messages", "system", "prompt", "inputText", "message", "preamble", "chat_history", "documents", "texts", "images",
    "inputImage", "inputs",
)  # fmt: skip
"""What families hold the question in."""
NOT_SEEN = ("model", "modelId", "stream", "fallbacks")
"""What would let another model answer than the path says, or in another way."""


@dataclass(frozen=True, slots=True)
class Form:
    """The places of one kind of body."""

    limits: tuple[Place, ...]
    """Limits that the model reads; the first is the one that is added where a call sets none."""
    other_limits: tuple[Place, ...]
    """Limits that the model should not read: they may raise what is said to be the limit, and never stand for it."""
    counts: tuple[Place, ...]
    thinking: tuple[Place, ...]
    effort: Place
    logprobs: tuple[Place, ...]
    logit_bias: Place
    tools: tuple[Place, ...]

    def names(self) -> Mapping[Place, Collection[str]]:
        """Return the names that are read in each object."""
        found: dict[Place, set[str]] = {}
        for place in (*self.limits, *self.other_limits, *self._rest()):
            for depth in range(len(place)):
                found.setdefault(place[:depth], set()).add(place[depth])
        for place in self.thinking:
            found[place] = {"type", "budget_tokens"}
        return found

    def _rest(self) -> Iterator[Place]:
        yield from (*self.counts, *self.thinking, *self.logprobs, *self.tools, self.effort, self.logit_bias)


@cache
def form_of(family: Family | None, *, converses: bool) -> Form:
    """Return where the fields of a body stand."""
    root: Place = (ADDITIONAL,) if converses else ()
    own = _LIMITS.get(family, ()) if family is not None else ()
    others = tuple(place for place in _ALL_LIMITS if place not in own) if converses else ()
    tools: tuple[Place, ...] = ((*root, "tools"), (*root, "toolConfig", "tools"))
    return Form(
        limits=(*([("inferenceConfig", "maxTokens")] if converses else []), *_under(root, own)),
        other_limits=_under(root, others),
        counts=_under(root, _COUNTS if converses else _COUNTS[:1]),
        thinking=_under(root, _THINKING),
        effort=(*root, *_EFFORT),
        logprobs=_under(root, _LOGPROBS),
        logit_bias=(*root, *_LOGIT_BIAS),
        tools=(*tools, ("toolConfig", "tools")) if converses else tools,
    )


def form_asked(asked: Asked) -> Form:
    """Return the form of the body that a path takes."""
    return form_of(asked.family, converses=converses(asked))


def converses(asked: Asked) -> bool:
    """Say whether the body is `converse`'s, whose fields are the same for all models."""
    return asked.action in (Action.CONVERSE, Action.CONVERSE_STREAM, Action.COUNT)


def at(body: Body, place: Place) -> tuple[Body, str]:
    """Return what stands there as a field of that name, with which it is read; no field when it is absent."""
    holder, name = body, ".".join(place)
    for depth, step in enumerate(place[:-1]):
        inner = holder.get(step)
        if inner is None:
            return {}, name
        if not isinstance(inner, dict):
            raise wrong_type(".".join(place[: depth + 1]), "an object", inner)
        holder = inner
    return {name: holder.get(place[-1])}, name


def replaced(body: Body, place: Place, value: Json) -> Body:
    """Return a body in which that stands there; None removes it. The given one is left as it was."""
    first, *rest = place
    if rest:
        inner = body.get(first)
        return {**body, first: replaced(inner if isinstance(inner, dict) else {}, tuple(rest), value)}
    return {name: kept for name, kept in {**body, first: value}.items() if name != first or value is not None}


def refuse_other_spellings(body: Body, form: Form, *, converses: bool) -> None:
    """Raise MalformedRequestError when a name is another spelling of one that is read in the same object."""
    for place, names in form.names().items():
        holder = at(body, place)[0].get(".".join(place)) if place else body
        if isinstance(holder, dict):
            known = {*names, *(_OF_CONVERSE if converses else (*ASKED_WITH, *NOT_SEEN))} if not place else names
            _refuse_in(holder, known)


def _refuse_in(holder: Body, known: Collection[str]) -> None:
    folded = {_folded(name): name for name in known}
    seen: dict[str, str] = {}
    for name in holder:
        fold = _folded(name)
        if name not in known and fold in folded:
            raise MalformedRequestError(f"Unknown parameter: '{name}'. Did you mean '{folded[fold]}'?")
        if fold in folded and seen.setdefault(fold, name) != name:
            raise MalformedRequestError(f"The parameters '{seen[fold]}' and '{name}' say the same; send one.")


def _folded(name: str) -> str:
    return name.casefold().replace("_", "").replace("-", "")


def _under(root: Place, places: tuple[Place, ...]) -> tuple[Place, ...]:
    return tuple((*root, *place) for place in places)
