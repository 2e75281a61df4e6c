"""What all refusals have in common, whatever shape an API gives them."""

from collections.abc import Iterator

from modelfence.core.bucket import SECOND_US
from modelfence.core.dialect import Refusal


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
