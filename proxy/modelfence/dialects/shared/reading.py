"""What is read in requests of any API."""

from modelfence.core.call import Reading

UNKNOWN = Reading(
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
"""Of a call that the fence can't read: everything but that is unknown."""
