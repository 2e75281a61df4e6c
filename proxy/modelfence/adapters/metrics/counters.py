"""A counter's children by their labels, remembered: `labels` takes longer than all the rest of a count."""

from prometheus_client import CollectorRegistry, Counter


class Counters:
    """A counter of a registry."""

    def __init__(self, registry: CollectorRegistry, name: str, help_text: str, *labels: str) -> None:
        self._counter = Counter(f"modelfence_{name}_total", help_text, labels, registry=registry)
        self._children: dict[tuple[str, ...], Counter] = {}

    def at(self, *labels: str) -> Counter:
        """Return the child of these labels, in the order they were declared."""
        child = self._children.get(labels)
        if child is None:
            child = self._children[labels] = self._counter.labels(*labels)
        return child
