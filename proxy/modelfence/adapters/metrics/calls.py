"""The loop's watcher that counts for Prometheus. Names and labels are those of the reference in docs/metrics.md.

What is a state and no count is in `states`.

Rule: labels come from closed sets only. A model, key, account or address that a caller chose is never one.

Counters whose labels are known at the start begin at 0. One that appeared with its first increment would hide just
that: Prometheus takes the difference of two samples, and there would be none before it. What can become of calls of a
provider or a country begins at 0 with its first call: or of a fence that never failed the first failures, which may
be all there are of an outage, would show nowhere.
"""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics, generate_latest

from modelfence.adapters.audit import log as audit_log
from modelfence.adapters.metrics.comparison import Comparison
from modelfence.adapters.metrics.counters import Counters, Distribution
from modelfence.adapters.recording import recorder
from modelfence.adapters.tokens import published_keys
from modelfence.core.account import Check
from modelfence.core.charge import Unit
from modelfence.core.decision import Effect
from modelfence.core.policy import Mode, Policy, RuleKind
from modelfence.enforcement.in_force import Candidate
from modelfence.enforcement.ports import Judged, Passing, Settled
from modelfence.extraction.weights import WEIGHTS

_FAST_S = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
_SCORES = tuple(tenth / 10 for tenth in range(11))
_SLOW_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_JUDGED = (Effect.ALLOW, Effect.DENY, Effect.THROTTLE, Effect.ERROR)
"""What can become of a call that was judged."""
_STATUSES = ("2xx", "3xx", "4xx", "5xx", "none")
"""How an upstream can have answered."""
CUT_FOR = (
    *("connections", "connections_per_address", "head_s", "body_s", "first_byte_s", "answer_s", "idle_s", "drain_s"),
    *("held_bytes", "sent_ahead"),
)
"""What connections are cut for: limits, and requests that were sent ahead."""
_EFFECT_OF_KIND = {
    RuleKind.DENY: Effect.DENY,
    RuleKind.ALLOW: Effect.ALLOW,
    RuleKind.RESHAPE: Effect.ALLOW,
    RuleKind.THROTTLE: Effect.THROTTLE,
}


class PrometheusMetrics:
    """All counts of one process, in a registry of their own."""

    def __init__(self) -> None:
        disable_created_metrics()  # a second series beside each, which nothing here reads
        self.registry = CollectorRegistry()
        self._mode = self._candidates_mode = Mode.ENFORCE
        self._requests = self._counter(
            "requests", "Calls by what became of them.", "provider", "operation", "mode", "effect", beside=Effect
        )
        self._rules = self._counter("rule_matches", "Rules that applied to a call.", "rule", "effect", "mode")
        self._unallowed = Counter(
            "modelfence_unallowed_total", "Calls refused because no allow applied.", registry=self.registry
        )
        self._countries = self._counter(
            "requests_by_country", "Calls by the caller's country.", "country", "effect", beside=_JUDGED
        )
        self._tiers = self._counter("requests_by_tier", "Calls by the account's KYC tier.", "tier", "effect")
        self._credentials = self._counter("credentials", "Judged calls by what came of their credential.", "check")
        self._answers = self._counter(
            "upstream_answers", "Answers of upstreams to calls.", "provider", "status", beside=_STATUSES
        )
        self._tokens = self._counter("tokens", "Tokens served.", "provider", "direction", "tier")
        self._throttled = self._counter("throttled", "Calls a throttle refused.", "throttle", "mode")
        self._charged = self._counter("charged", "Units charged to a throttle's buckets.", "throttle", "unit")
        self._withheld = self._counter(
            "withheld", "Units that refused calls had asked of a throttle's buckets.", "throttle", "unit"
        )
        self._store_failures = self._counter(
            "store_failures", "Times a throttle's store did not answer, by what came of it.", "throttle", "outcome"
        )
        self._streams_cut = self._counter("streams_cut", "Streams ended because a budget was used up.", "throttle")
        self._connections_cut = self._counter("connections_cut", "Connections that met a limit.", "reason")
        self._comparison = Comparison(self.registry)
        self._unknown_facts = self._counter("unknown_facts", "Facts that were unknown and mattered.", "fact")
        self._recorded = self._counter("recorded", "Judged calls by whether they are in the recording.", "outcome")
        self._audit_lines = self._counter("audit_lines", "Lines of the audit log by what became of them.", "outcome")
        self._jwks_fetches = self._counter("jwks_fetches", "Fetches of an identity provider's keys.", "result")
        self._hook_failures = Counter(
            "modelfence_hook_failures_total", "Times the fence itself failed; each was refused.", registry=self.registry
        )
        self._signals = self._counter("extraction_signals", "Signals of extraction that fired.", "signal")
        self._unmeasured = Counter(
            "modelfence_extraction_unmeasured_total",
            "Calls that were scored by themselves, because the evidence could not be had.",
            registry=self.registry,
        )
        self._scores = Distribution(self.registry, "extraction_score", "How much calls look like extraction.", _SCORES)
        self._decision = self._histogram("decision", "From facts to a decision.", _FAST_S)
        self._overhead = self._histogram("overhead", "Time an admitted call spent in the fence.", _FAST_S)
        self._store = self._histogram("store", "Time the store took to answer.", _FAST_S)
        self._upstream = self._histogram("upstream", "From sending a call on to the end of its answer.", _SLOW_S)
        self._first_byte = self._histogram("first_byte", "From sending a call on to its first byte.", _SLOW_S)
        self._open_streams = Gauge(
            "modelfence_open_streams",
            "Answers that are streaming through.",
            registry=self.registry,
            multiprocess_mode="livesum",  # a process that has died streams nothing
        )

    def render(self) -> bytes:
        """Return all counts in the text format."""
        return generate_latest(self.registry)

    def in_force(self, policy: Policy, candidate: Candidate | None = None) -> None:
        """Take calls from now on for judged by this policy, and some perhaps by a candidate."""
        self._mode = policy.mode
        self._begin_at_zero(policy)
        if candidate is None:
            return
        tried = candidate.side.policy
        self._candidates_mode = tried.mode
        self._comparison.begin_at_zero(policy, tried)
        if candidate.canary.percent:
            self._begin_at_zero(tried)

    def judged(self, judged: Judged) -> None:
        """Count a decision."""
        call, decision = judged.call, judged.decision
        effect = decision.effect
        mode = self._candidates_mode if judged.candidate_acted else self._mode
        self._requests.at(call.provider, call.reading.operation, mode, effect).inc(1)
        self._comparison.judged(judged)
        self._countries.at(judged.country or "unknown", effect).inc(1)
        self._tiers.at(judged.tier, effect).inc(1)
        self._credentials.at(judged.found.check).inc(1)
        self._decision.observe(judged.decided_us / 1e6)
        self._scores.observe(judged.extraction.score)
        for signal in judged.extraction.signals:
            self._signals.at(signal).inc(1)
        if not judged.extraction.was_measured:
            self._unmeasured.inc()
        if effect is Effect.DENY and not decision.rules:
            self._unallowed.inc()
        for fact in decision.unknown:
            self._unknown_facts.at(fact).inc(1)
        self._count_rules(judged)

    def _count_rules(self, judged: Judged) -> None:
        for step in judged.decision.trace:
            if step.applied and step.rule.kind is not RuleKind.THROTTLE:
                mode = Mode.SHADOW if step.rule.shadow else Mode.ENFORCE
                self._rules.at(step.rule.id, _EFFECT_OF_KIND[step.rule.kind], mode).inc(1)
        for refused in (*judged.taken.refused, *judged.taken.shadow_refused):
            mode = Mode.SHADOW if refused.charge.shadow else Mode.ENFORCE
            self._throttled.at(refused.charge.throttle, mode).inc(1)
            self._rules.at(refused.charge.throttle, Effect.THROTTLE, mode).inc(1)
        for refused in judged.taken.refused:
            self._withheld.at(refused.charge.throttle, refused.charge.unit).inc(refused.charge.amount)
        for charge in judged.reservation.charges:
            if charge.unit is Unit.REQUESTS:
                self._charged.at(charge.throttle, charge.unit).inc(charge.amount)

    def settled(self, settled: Settled) -> None:
        """Count how an admitted call was answered, and what it used."""
        self._answers.at(settled.judged.call.provider, _status_class(settled.status)).inc(1)
        if settled.usage is None:
            return
        judged, used = settled.judged, settled.usage.demand()
        for direction, tokens in settled.usage.by_direction().items():
            if tokens:
                self._tokens.at(judged.call.provider, direction, judged.tier).inc(tokens)
        for charge in judged.reservation.charges:
            if charge.unit is not Unit.REQUESTS:
                self._charged.at(charge.throttle, charge.unit).inc(charge.cost(used))

    def unjudged(self, provider: str, operation: str, effect: Effect) -> None:
        """Count a call that was refused without a judgement."""
        self._requests.at(provider, operation, self._mode, effect).inc(1)

    def store_failed(self, throttle: str, outcome: str) -> None:
        """Count a store that did not answer."""
        self._store_failures.at(throttle, outcome).inc(1)

    def stream_cut(self, throttle: str) -> None:
        """Count a stream that was ended."""
        self._streams_cut.at(throttle).inc(1)

    def store_answered(self, took_us: int) -> None:
        """Count how long the store took."""
        self._store.observe(took_us / 1e6)

    def answer_began(self) -> None:
        """Count an answer that streams through."""
        self._open_streams.inc()

    def passed(self, provider: str, passing: Passing) -> None:  # noqa: ARG002 - the histograms are for all upstreams
        """Count how long an admitted call took."""
        self._overhead.observe(passing.overhead_s)
        self._upstream.observe(passing.upstream_s)
        if passing.first_byte_s is not None:
            self._open_streams.dec()
            self._first_byte.observe(passing.first_byte_s)

    def connection_cut(self, reason: str) -> None:
        """Count a connection that met a limit."""
        self._connections_cut.at(reason).inc(1)

    def hook_failed(self) -> None:
        """Count a failure of the fence itself."""
        self._hook_failures.inc()

    def recorded(self, outcome: str) -> None:
        """Count what became of a call's line in the recording. May be called in any thread."""
        self._recorded.at(outcome).inc(1)

    def audited(self, outcome: str, lines: int) -> None:
        """Count what became of lines of the audit log. May be called in any thread."""
        self._audit_lines.at(outcome).inc(lines)

    def jwks_fetched(self, outcome: published_keys.Outcome) -> None:
        """Count a fetch of the keys that tokens are verified with."""
        self._jwks_fetches.at(outcome).inc(1)

    def _begin_at_zero(self, policy: Policy) -> None:
        for rule in policy.rules():
            self._rules.at(rule.id, _EFFECT_OF_KIND[rule.kind], Mode.SHADOW if rule.shadow else Mode.ENFORCE)
        for throttle in policy.throttles:
            name = throttle.rule.id
            self._throttled.at(name, Mode.SHADOW if throttle.rule.shadow else Mode.ENFORCE)
            self._charged.at(name, throttle.unit)
            self._withheld.at(name, throttle.unit)
            self._streams_cut.at(name)
            for outcome in (throttle.on_store_failure, "late", "unsettled"):
                self._store_failures.at(name, outcome)
        for effect in _JUDGED:
            for tier in policy.tiers:
                self._tiers.at(tier, effect)
        closed = (
            (self._credentials, Check),
            (self._connections_cut, CUT_FOR),
            (self._signals, WEIGHTS),
            (self._recorded, recorder.Outcome),
            (self._audit_lines, audit_log.Outcome),
            (self._jwks_fetches, published_keys.Outcome),
        )
        for counters, labels in closed:
            for label in labels:
                counters.at(label)

    def _counter(self, name: str, help_text: str, *labels: str, beside: Iterable[str] = ()) -> Counters:
        return Counters(self.registry, name, help_text, *labels, beside=beside)

    def _histogram(self, name: str, help_text: str, buckets: tuple[float, ...]) -> Distribution:
        return Distribution(self.registry, f"{name}_seconds", help_text, buckets)


def _status_class(status: int | None) -> str:
    """Return 2xx to 5xx; a websocket's 101 is as good as a 200. `none` for a call that was not answered."""
    if status is None:
        return "none"
    return f"{min(max(status // 100, 2), 5)}xx"
