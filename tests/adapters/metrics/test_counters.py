"""What is counted past the library's wrappings reads as if it had been counted with them."""

import math
import threading

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest

from modelfence.adapters.metrics.counters import Counters, Distribution

BOUNDS = (0.1, 0.25, 1.0)
AMOUNTS = (-1.0, 0.0, 0.05, 0.1, 0.1000001, 0.25, 0.9, 1.0, 1.5, 1e9, math.inf)


@pytest.fixture(autouse=True)
def nothing_but_counts():
    disable_created_metrics()


@pytest.mark.parametrize("amounts", [(), *((one,) for one in AMOUNTS), AMOUNTS], ids=str)
def test_a_distribution_is_the_librarys_histogram(amounts):
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    distribution = Distribution(ours, "took_seconds", "Time.", BOUNDS)
    histogram = Histogram("modelfence_took_seconds", "Time.", registry=theirs, buckets=BOUNDS)
    for amount in amounts:
        distribution.observe(amount)
        histogram.observe(amount)
    assert generate_latest(ours) == generate_latest(theirs)


def test_a_counter_is_the_librarys():
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    counters = Counters(ours, "calls", "Calls.", "effect", "mode")
    counter = Counter("modelfence_calls_total", "Calls.", ("effect", "mode"), registry=theirs)
    for labels, amount in ((("allow", "enforce"), 1), (("deny", "enforce"), 0.5), (("allow", "enforce"), 2)):
        counters.at(*labels).inc(amount)
        counter.labels(*labels).inc(amount)
    counters.at("deny", "shadow")
    counter.labels("deny", "shadow")
    assert generate_latest(ours) == generate_latest(theirs)


def test_of_what_several_threads_count_at_once_nothing_is_lost():
    counters = Counters(CollectorRegistry(), "lines", "Lines.", "outcome")

    def count() -> None:
        for _ in range(2_000):
            counters.at("written").inc(1)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counters.at("written").inc(0)
    assert counters._counter.labels("written")._value.get() == 8_000
