"""What operators see of all workers as one: metrics, readiness, cohorts."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum

from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics, generate_latest

from modelfence.adapters.admin_server import Readiness
from modelfence.adapters.metrics.shared_counts import SharedCounts
from modelfence.adapters.metrics.states import StateMetrics
from modelfence.core.unavailable import UnavailableError
from modelfence.workers.supervisor import Exit, Phase, Supervisor

WITHIN_S = 2.0
"""How long workers may take to answer what operators ask."""
SOON_S = 0.3
"""After so long one who hangs is not waited for, if another one has answered: probes do not wait for long."""


RELOADED = ("policy", "candidate", "accounts", "geo", "keys", "tls")
"""The parts that are exchanged when their files change."""


class Result(StrEnum):
    OK = "ok"
    FAILED = "failed"


class WorkerMetrics:
    """What is counted of the workers themselves. It is the supervisor's watcher."""

    def __init__(self, shared: SharedCounts) -> None:
        disable_created_metrics()  # a second series beside each, which nothing here reads
        self._shared = shared
        self.registry = CollectorRegistry()
        self._workers = Gauge(
            "modelfence_workers", "Worker processes by what they are doing.", ["state"], registry=self.registry
        )
        self._exits = Counter(
            "modelfence_worker_exits_total", "Workers that ended untold.", ["reason"], registry=self.registry
        )
        self._policy_reloads = Counter(
            "modelfence_policy_reloads_total",
            "Changed policies by whether they came into force.",
            ["result"],
            registry=self.registry,
        )
        self._reloads = Counter(
            "modelfence_reloads_total",
            "Other changed files, by whether they came into force.",
            ["part", "result"],
            registry=self.registry,
        )
        for reason in Exit:
            self._exits.labels(reason)
        for part in RELOADED:
            for result in Result:
                self._reload(part, result)

    def ended(self, slot: int) -> None:
        """See a process end: it streams nothing any more."""
        self._shared.ended(slot)

    def failed(self, reason: Exit) -> None:
        """Count a worker that ended untold."""
        self._exits.labels(reason).inc()

    def reloaded(self, changed: Iterable[str], failures: Iterable[str]) -> None:
        """Count the parts that were exchanged, and those that could not be."""
        for result, parts in ((Result.OK, changed), (Result.FAILED, failures)):
            for part in parts:
                self._reload(part, result).inc()

    def _reload(self, part: str, result: Result) -> Counter:
        return self._policy_reloads.labels(result) if part == "policy" else self._reloads.labels(part, result)

    def render(self, phases: Sequence[Phase]) -> bytes:
        """Return the metrics in the text format, with so many workers in each phase."""
        for phase in Phase:
            self._workers.labels(phase).set(phases.count(phase))
        return generate_latest(self.registry)


class Overview:
    """Answers for all workers."""

    def __init__(
        self,
        supervisor: Supervisor,
        shared: SharedCounts,
        metrics: WorkerMetrics,
        *,
        stale: Callable[[], Mapping[str, str]],
    ) -> None:
        """`stale` says why parts that have changed stay as they were."""
        self._supervisor, self._shared, self._metrics = supervisor, shared, metrics
        self._stale = stale
        self._states = StateMetrics()

    def render(self) -> bytes:
        """Return the sum of what all have counted, what is in force, and how the workers are."""
        workers = self._supervisor.workers
        states = [worker.state for worker in workers if worker.state is not None]
        return (
            self._shared.render()
            + self._states.render(states)
            + self._metrics.render([worker.phase for worker in workers])
        )

    async def readiness(self) -> Readiness:
        """Return whether calls can be served: by one worker at least."""
        told = await self._told(SOON_S) or await self._told(WITHIN_S)
        said = [pair for one in told for pair in one.states.items()]  # one that stops says nothing of its parts
        states: dict[str, object] = {
            part: ", ".join(sorted({str(state) for other, state in said if other == part})) for part, _ in said
        }
        states["workers"] = {"serving": len(self._supervisor.serving), "wanted": self._supervisor.wanted}
        if stale := self._stale():
            states["stale"] = dict(stale)
        if self._supervisor.is_stopping:
            return Readiness({"fence": "it is stopping"}, states)
        # The one with the least that is missing stands for all.
        missing = min((one.missing for one in told), key=len, default={"workers": "none of them answers"})
        return Readiness(missing, states)

    async def _told(self, within_s: float) -> Sequence[Readiness]:
        return [Readiness(**one) for _, one in await self._supervisor.ask_all("readiness", within_s=within_s)]

    async def cohorts(self) -> Sequence[Mapping[str, object]]:
        """Return what is known of each cohort; workers that share a store know the same. Raises UnavailableError."""
        error = UnavailableError("no worker serves")
        for worker in self._supervisor.serving:
            try:
                rows: Sequence[Mapping[str, object]] = await worker.ask("cohorts", within_s=WITHIN_S)
            except UnavailableError as unable:
                error = unable
            else:
                return rows
        raise error
