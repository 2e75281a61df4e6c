"""Removing fields from a request to Gemini's API and lowering its limits."""

from modelfence.core.policy import Reshaping
from modelfence.dialects.gemini.reading import budget_in, choices_in, config_of, thinking_of
from modelfence.dialects.gemini.spellings import given_name, spellings
from modelfence.dialects.shared.fields import Body, integer

_LOGPROBS = ("responseLogprobs", "logprobs")


def reshaped(body: Body, reshaping: Reshaping) -> Body:
    """Return the body of a generation with fields removed and limits lowered; the given one is left as it was.

    There is no `logit_bias` in this API, so there is none to remove. `cap.output_tokens` is for the whole call, as
    the fact is: each candidate may have its share, at least one token. Half of a share may be thought.
    """
    place = given_name(body, "generationConfig")
    given = body.get(place)
    config: Body = dict(given) if isinstance(given, dict) else {}
    if "logprobs" in reshaping.remove:
        for name in (spelt for field in _LOGPROBS for spelt in spellings(field)):
            config.pop(name, None)
    if (most := reshaping.cap.get("choices")) is not None and choices_in(config_of({place: config})) > most:
        config[given_name(config, "candidateCount")] = max(1, most)
    if (most := reshaping.cap.get("output_tokens")) is not None:
        _lower(config, max(1, most // choices_in(config_of({place: config}))))
    return {**body, place: config} if config or isinstance(given, dict) else body


def _lower(config: Body, share: int) -> None:
    """Let a candidate take so many tokens at most, what it thinks included."""
    named = config_of({"generationConfig": config})
    thinking = thinking_of(named)
    limit, budget = integer(named, "maxOutputTokens", least=1), budget_in(thinking)
    if limit is not None and limit + budget <= share:
        return
    thought = min(budget, share // 2)
    if thought < budget:
        _set_budget(config, thought)
    config[given_name(config, "maxOutputTokens")] = min(limit or share, share - thought)


def _set_budget(config: Body, tokens: int) -> None:
    place = given_name(config, "thinkingConfig")
    given = config.get(place)
    thinking: Body = dict(given) if isinstance(given, dict) else {}
    config[place] = {**thinking, given_name(thinking, "thinkingBudget"): tokens}
