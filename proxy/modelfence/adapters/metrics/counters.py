"""Counters and histograms as they are counted in for every call: by their numbers, without the library's wrappings.

`labels` takes longer than all the rest of a count, and what is left of it asks each time whether a metric without
values for its labels was meant, and whether there is an example to keep. So the numbers behind are remembered.
"""

from bisect import bisect_left
from collections.abc import Iterable
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Histogram


class Number(Protocol):
    """What a count is kept in. May be added to in any thread."""

    def inc(self, amount: float, /) -> None: ...


class Counters:
    """A counter of a registry.

    `beside` are values of its last label that all begin at 0 as soon as one is asked for: of a provider that is called
    for the first time it is counted from then on what becomes of its calls, also of the first that fails.
    """

    def __init__(
        self, registry: CollectorRegistry, name: str, help_text: str, *labels: str, beside: Iterable[str] = ()
    ) -> None:
        self._counter = Counter(f"modelfence_{name}_total", help_text, labels, registry=registry)
        self._beside = tuple(beside)
        self._numbers: dict[tuple[str, ...], Number] = {}

    def at(self, *labels: str) -> Number:
        """Return the number of these labels, in the order they were declared. It is only ever added to."""
        number = self._numbers.get(labels)
        if number is None:
            for last in self._beside:
                self._begin((*labels[:-1], last))
            number = self._begin(labels)
        return number

    def _begin(self, labels: tuple[str, ...]) -> Number:
        number: Number = self._counter.labels(*labels)._value  # noqa: SLF001
        self._numbers[labels] = number
        return number


class Distribution:
    """A histogram of a registry, without labels."""

    def __init__(self, registry: CollectorRegistry, name: str, help_text: str, buckets: tuple[float, ...]) -> None:
        made = Histogram(f"modelfence_{name}", help_text, registry=registry, buckets=buckets)
        self._bounds: list[float] = made._upper_bounds  # noqa: SLF001 - the last is infinite
        self._buckets: list[Number] = made._buckets  # noqa: SLF001
        self._sum: Number = made._sum  # noqa: SLF001

    def observe(self, amount: float) -> None:
        """Count one more, of that size."""
        self._sum.inc(amount)
        self._buckets[bisect_left(self._bounds, amount)].inc(1)
