"""Fields that vLLM and SGLang add to OpenAI's chat completions and completions.

After their own request types. Rule: what shows more of a model's inside than its text, be it the probabilities of
tokens or its hidden states, counts as `logprobs`; what moves or restricts those probabilities counts as `logit_bias`.

Why `extra_body` is looked into: OpenAI's SDK puts what it holds beside the other fields, and some gateways do so with
one that reaches them. Whether the upstream does can't be known, so nothing that is read may stand in there.
"""

from collections.abc import Collection

from modelfence.core.dialect import MalformedRequestError
from modelfence.dialects.shared.fields import Body, array, boolean, integer, mapping, string

PROBABILITIES = (
    "prompt_logprobs", "return_logprob", "top_logprobs_num", "logprob_start_len", "token_ids_logprob",
    "return_hidden_states",
)  # fmt: skip
"""What `remove: [logprobs]` takes along, beside OpenAI's own fields."""
BIASES = ("logit_bias", "allowed_token_ids", "logits_processors", "custom_logit_processor")
"""What `remove: [logit_bias]` takes along, too."""
_PROBABILITIES, _BIASES = frozenset(PROBABILITIES), frozenset(BIASES)
SCHEMAS = ("guided_json", "structured_outputs", "json_schema")
"""Where an answer's fields are prescribed."""
ADDED = (*PROBABILITIES, *BIASES, *SCHEMAS, "min_tokens", "extra_body")


def asks_for_probabilities(body: Body) -> bool:
    """Say whether an added field asks for the probabilities of tokens, or for what they are made from."""
    if _PROBABILITIES.isdisjoint(body):
        return False  # as nearly always
    flags = [boolean(body, name) for name in ("return_logprob", "return_hidden_states")]
    # Of the prompt's, 0 asks for those of the tokens themselves; a start of -1 is the one that shows none of them.
    prompt = integer(body, "prompt_logprobs", least=-1)
    start = integer(body, "logprob_start_len", least=-1)
    top, ids = integer(body, "top_logprobs_num", least=0), array(body, "token_ids_logprob")
    return any(flags) or prompt is not None or start not in {None, -1} or bool(top) or bool(ids)


def biases_in(body: Body) -> int:
    """Return how many entries move or restrict the probabilities of tokens."""
    if _BIASES.isdisjoint(body):
        return 0
    processor = string(body, "custom_logit_processor")
    lists = (array(body, name) for name in ("allowed_token_ids", "logits_processors"))
    return len(mapping(body, "logit_bias") or ()) + sum(map(len, lists)) + bool(processor)


def refuse_hidden(body: Body, names: Collection[str]) -> None:
    """Refuse a field that is read inside of `extra_body`."""
    for name in mapping(body, "extra_body") or ():
        if name.casefold() in names:
            message = f"Unknown parameter: 'extra_body.{name}'. Did you mean '{name.casefold()}'?"
            raise MalformedRequestError(message)
