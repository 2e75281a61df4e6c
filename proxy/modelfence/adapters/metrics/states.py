"""What is in force where calls are served, as gauges: the policy, the age of databases, the store's circuit, campaigns.

Counts are shared between processes and outlive them. A state is told by the process that is in it, and goes with it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from modelfence.adapters.redis.circuit_breaker import Circuit

CANDIDATE = "candidate"
"""What stands in the place of a mode for a policy that is tried beside the one in force."""


@dataclass(frozen=True, slots=True)
class State:
    """What is in force in one process. Times are seconds since the epoch."""

    policy: str
    """Its hash."""
    mode: str
    policy_loaded_s: float
    geo_built_s: Mapping[str, float]
    """By database."""
    circuit: str | None
    """None without a store that has one."""
    cohorts: int
    """Those that look like campaigns; every process that shares a store sees the same."""
    cohort_accounts: int
    candidate: str | None = None
    """The hash of the policy that is tried beside it; None without one that can be used."""
    canary_ratio: float | None = None
    """The part of the accounts for which the candidate acts, 0 to 1; None where the settings name no candidate."""


class StateMetrics(Collector):
    """Gauges over the states of several processes, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(self)
        self._states: Sequence[State] = ()

    def render(self, states: Sequence[State]) -> bytes:
        """Return the gauges in the text format."""
        self._states = states
        return generate_latest(self._registry)

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Return all gauges, without values."""
        return _families(())

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Return the gauges of which something is known."""
        return [family for family in _families(self._states) if family.samples]


def _families(states: Sequence[State]) -> list[GaugeMetricFamily]:
    policies = _gauge("policy_info", "The policies in force.", "hash", "mode")
    tried = {(state.candidate, CANDIDATE) for state in states if state.candidate is not None}
    for policy in sorted({(state.policy, state.mode) for state in states} | tried):
        policies.add_metric(policy, 1)
    canary = _gauge("canary_ratio", "The part of the accounts for which the candidate acts, where it is the least.")
    ratios = [state.canary_ratio for state in states if state.canary_ratio is not None]
    if ratios:
        canary.add_metric((), min(ratios))
    loaded = _gauge("policy_loaded_timestamp_seconds", "When the policy was loaded, where that is longest ago.")
    cohorts = _gauge("cohorts", "Cohorts that look like campaigns.")
    accounts = _gauge("cohort_accounts", "Accounts in cohorts that look like campaigns.")
    if states:
        loaded.add_metric((), min(state.policy_loaded_s for state in states))
        cohorts.add_metric((), max(state.cohorts for state in states))
        accounts.add_metric((), max(state.cohort_accounts for state in states))
    built = _gauge("geo_database_built_timestamp_seconds", "When the oldest geo database in use was built.", "database")
    for database in sorted({database for state in states for database in state.geo_built_s}):
        built.add_metric(
            (database,), min(state.geo_built_s[database] for state in states if database in state.geo_built_s)
        )
    circuits = _gauge("store_circuit", "Workers by the state of their circuit breaker to the store.", "state")
    in_state = Counter(state.circuit for state in states if state.circuit is not None)
    for one in Circuit if in_state else ():
        circuits.add_metric((one,), in_state[one])
    return [policies, canary, loaded, built, circuits, cohorts, accounts]


def _gauge(name: str, help_text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"modelfence_{name}", help_text, labels=labels)
