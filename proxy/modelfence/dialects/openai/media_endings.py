"""Ending a stream of pictures, of a transcript or of speech early.

After OpenAI's API reference for the events of images and audio. A transcript ends with what there is of it, speech with
the event after its last sound, both with their usage, which they always tell. vLLM streams transcripts as chunks of
chat. Rule: nothing an upstream sends raises, and memory is bounded.

Why a picture ends with an error: half of one is none, and clients take the last they get for the one they asked for.
"""

from collections.abc import Mapping

from modelfence.core.call import Usage
from modelfence.dialects.openai.endings import ChunksEnding, as_event
from modelfence.dialects.shared.tokens import size_of

MAX_TEXT_BYTES = 1024 * 1024
"""Of a transcript. What goes beyond it stands in the events before, and is not repeated."""
_NO_PICTURE = {
    "message": "The image was not finished: the tokens granted to this account are used up.",
    "type": "tokens",
    "param": None,
    "code": "rate_limit_exceeded",
}


class PictureEnding:
    """Ends a stream of pictures."""

    def __init__(self) -> None:
        self.ended = False
        self._is_whole = False
        """What passed last is a picture that is ready."""

    def take(self, message: Mapping[str, object], _data: bytes) -> None:
        """Remember whether a picture is under way."""
        kind = kind_of(message)
        self.ended = self.ended or bool(message.get("error")) or kind == "error"
        self._is_whole = kind.endswith(".completed")

    def events(self, _usage: Usage, *, with_usage: bool) -> bytes:  # noqa: ARG002 - an error tells none
        """Return an error, unless what was begun is ready."""
        return b"" if self._is_whole else as_event({"type": "error", "error": _NO_PICTURE}, name="error")


class SoundEnding:
    """Ends a stream of a transcript or of speech, whichever it turns out to be."""

    def __init__(self) -> None:
        self.ended = False
        self._texts: list[str] = []
        self._room = MAX_TEXT_BYTES
        self._kind = ""
        self._chunks = ChunksEnding(
            {"id": "trsc-0", "object": "transcription.chunk", "created": 0, "model": ""},
            nothing={"delta": {}},
            first={"delta": {"content": ""}},
        )

    def take(self, message: Mapping[str, object], data: bytes) -> None:
        """Remember what the transcript says so far."""
        kind, delta = kind_of(message), message.get("delta")
        if kind in {"transcript.text.done", "speech.audio.done", "error"} or message.get("error"):
            self.ended = True
        if kind.startswith(("transcript.", "speech.")):
            self._kind = kind.partition(".")[0]
        elif isinstance(message.get("choices"), list):
            self._kind = "chunks"
            self._chunks.take(message, data)
        if kind == "transcript.text.delta" and isinstance(delta, str) and self._room > 0:
            self._room -= size_of(delta)
            if self._room > 0:
                self._texts.append(delta)

    def events(self, usage: Usage, *, with_usage: bool) -> bytes:
        """Return the event that ends such a stream; none before it is known which it is."""
        told: dict[str, object] = {
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "total_tokens": usage.input_tokens + usage.output_tokens,
        }
        match self._kind:
            case "transcript":
                done = {
                    "type": "transcript.text.done",
                    "text": "".join(self._texts),
                    "usage": {"type": "tokens", **told},
                }
                return as_event(done)
            case "speech":
                return as_event({"type": "speech.audio.done", "usage": told})
            case "chunks":
                return self._chunks.events(usage, with_usage=with_usage)
            case _:
                return b""


def kind_of(message: Mapping[str, object]) -> str:
    """Return what an event says it is, empty when it says nothing."""
    kind = message.get("type")
    return kind if isinstance(kind, str) else ""
