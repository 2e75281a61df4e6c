"""Ending a stream of Ollama's lines early, as Ollama ends one that reached `num_predict`.

After Ollama's API reference: the last line is `done`, says why, and tells the counts. Rule: nothing an upstream sends
raises, and only a few fields are kept.
"""

from collections.abc import Mapping

from modelfence.core.call import Usage
from modelfence.dialects.openai.endings import is_small
from modelfence.dialects.shared.lines import as_line

_HEAD = ("model", "created_at")
_UNSAID: Mapping[str, object] = {"model": "", "created_at": "1970-01-01T00:00:00Z"}
"""Clients in Go read no empty time."""


class LinesEnding:
    """Ends a stream of lines, each of which adds to one answer."""

    def __init__(self, nothing: Mapping[str, object]) -> None:
        """`nothing` is what the last line adds to the answer."""
        self.ended = False
        self._nothing = nothing
        self._head = dict(_UNSAID)

    def take(self, message: Mapping[str, object], _data: bytes) -> None:
        """Remember what every line says."""
        if message.get("done") is True or message.get("error"):
            self.ended = True
        self._head |= {name: value for name in _HEAD if isinstance(value := message.get(name), str) and is_small(value)}

    def events(self, usage: Usage, *, with_usage: bool) -> bytes:  # noqa: ARG002 - Ollama always tells the counts
        """Return the last line."""
        spent = dict.fromkeys(("total_duration", "load_duration", "prompt_eval_duration", "eval_duration"), 0)
        counts = {"prompt_eval_count": usage.input_tokens, "eval_count": usage.output_tokens}
        return as_line({**self._head, **self._nothing, "done": True, "done_reason": "length", **spent, **counts})


def chat_ending() -> LinesEnding:
    """Return the ending of a chat of which nothing has passed yet."""
    return LinesEnding({"message": {"role": "assistant", "content": ""}})


def completion_ending() -> LinesEnding:
    """Return the ending of a completion of which nothing has passed yet."""
    return LinesEnding({"response": ""})
