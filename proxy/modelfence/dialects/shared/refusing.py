"""What all refusals have in common, whatever shape an API gives them."""

from collections.abc import Iterator

from modelfence.core.bucket import SECOND_US
from modelfence.core.dialect import Refusal

MAX_WAIT_US = 60 * SECOND_US
"""The longest wait that every version of the SDKs obeys."""


def message_of(refusal: Refusal) -> str:
    """Return what the caller is told: the rule's message, where to get help, and the id to name when asking."""
    parts = [refusal.message.strip()]
    if refusal.help_url:
        parts.append(f"See {refusal.help_url} for help.")
    return " ".join((*parts, f"(request id {refusal.call_id})"))


def retry_after(refusal: Refusal) -> Iterator[tuple[str, str]]:
    """Yield the header that says how many seconds to wait, rounded up, where waiting is the answer."""
    if refusal.retry_after_us is not None:
        yield "retry-after", str(max(1, -(-refusal.retry_after_us // SECOND_US)))


def retry_to_the_millisecond(refusal: Refusal) -> Iterator[tuple[str, str]]:
    """Yield the headers that OpenAI's and Anthropic's SDKs read, which one generator has made.

    Why `x-should-retry`: depending on their version the SDKs wait as they are told for up to 60 or 120 s, and beyond
    it fall back to their own half second to eight seconds, so that a caller with an hour to wait would hammer, or sleep
    for that hour without a word. All obey this header.
    """
    yield from retry_after(refusal)
    if refusal.retry_after_us is not None:
        yield "retry-after-ms", str(max(1, -(-refusal.retry_after_us // 1000)))
        if refusal.retry_after_us > MAX_WAIT_US:
            yield "x-should-retry", "false"
