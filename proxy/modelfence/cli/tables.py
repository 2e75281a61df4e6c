"""Tables for a terminal, and what stands in their cells."""

from collections.abc import Iterator, Sequence


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, left: int) -> Iterator[str]:
    """Yield a table whose first columns are words, to the left, and the others numbers, to the right."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    for row in (head, *rows):
        words = [cell.ljust(width) for cell, width in zip(row[:left], widths[:left], strict=True)]
        numbers = [cell.rjust(width) for cell, width in zip(row[left:], widths[left:], strict=True)]
        yield "  ".join((*words, *numbers)).rstrip()


def count(number: int, noun: str) -> str:
    """Return how many there are of something."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def share(part: int, whole: int) -> str:
    """Return a part in per cent."""
    return f"{part / whole:.2%}"


def cut(text: str, longest: int) -> str:
    """Return a text that fits, without what would steer a terminal."""
    plain = "".join(letter if letter.isprintable() else "?" for letter in text)
    return plain if len(plain) <= longest else plain[: longest - 1] + "…"


def amount(tokens: int) -> str:
    """Return a number of tokens in at most nine characters."""
    return f"{tokens:,}" if tokens < 10**7 else f"{tokens / 10**6:,.0f} M"
