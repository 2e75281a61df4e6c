"""Estimating tokens where nobody has counted them.

Four bytes of UTF-8 a token. OpenAI states four characters for English; by bytes the same rule also holds roughly for
Chinese (0.75 a character) and Cyrillic (0.5), which by characters would be counted at a third or half of their price.
Rule: sizes are in bytes and added up first, and become tokens once, rounded up. Only what a stream adds is counted
piece by piece, since there the pieces are the tokens.
"""

import json

from modelfence.core.dialect import Json

BYTES_PER_TOKEN = 4
ONE_TOKEN_BYTES = 16
"""What a stream adds in one piece of at most that many bytes is taken for one token: nearly every token is shorter."""
IMAGE_TOKENS = 765
"""What OpenAI charges for an image of 1024 x 1024 in high detail; also taken for sound and documents."""
IMAGE_SIZE = IMAGE_TOKENS * BYTES_PER_TOKEN

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def tokens_in(size: int) -> int:
    """Return the tokens that text of that many bytes is likely to be, rounded up."""
    return -(-size // BYTES_PER_TOKEN)


def tokens_in_delta(size: int) -> int:
    """Return the tokens that a text of that many bytes is likely to be, which a stream added in one piece.

    Why not by bytes alone: OpenAI, vLLM and SGLang send each token by itself as soon as it is there. A space, a digit
    or a single letter would count as a quarter of the token it is, and long words as two or three. A longer piece
    holds several tokens: Gemini, and Azure behind its content filter, gather them.
    """
    return min(size, 1) if size <= ONE_TOKEN_BYTES else tokens_in(size)


def size_of(text: str) -> int:
    """Return the bytes of a text."""
    return len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))


def size_of_json(value: Json) -> int:
    """Return the bytes of a structure that is shown to the model as it stands, such as the tools it may call."""
    return size_of(_encode(value))


def size_of_content(content: Json) -> int:
    """Return the bytes of a message's content: a text, or parts of which those without text count as an image."""
    if isinstance(content, str):
        return size_of(content)
    if isinstance(content, list):
        return sum(map(size_of_content, content))
    if isinstance(content, dict):
        text = content.get("text") or content.get("refusal")
        return size_of(text) if isinstance(text, str) else IMAGE_SIZE
    return 0
