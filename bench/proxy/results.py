"""How much is measured, and what comes of it. Values only."""

from dataclasses import dataclass, field

from bench.proxy.subjects import Subject


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of everything."""

    warm_up_s: float = 2.0
    rounds: int = 5
    seconds: float = 3.0
    """Of a round without pause."""
    connections: int = 16
    streams: int = 16
    rates: tuple[float, ...] = (100.0, 400.0)
    """Requests a second on schedule."""
    stream_rate: float = 25.0
    """Streams a second on schedule."""
    scheduled_rounds: int = 3
    scheduled_s: float = 4.0
    idle_connections: int = 300
    open_streams: int = 200
    hour: int = 18_000
    """The requests of an hour at five a second."""
    hour_within_s: float = 60.0


QUICK = Plan(rounds=1, seconds=1, scheduled_rounds=1, scheduled_s=2, hour=1_000)


@dataclass(frozen=True, slots=True)
class Pace:
    """A round without pause."""

    rate: float
    cpu_us: float
    """Of the subject, for each that was done."""
    callers_busy: float
    """The share of a core that callers and upstream took."""
    redis_us: float
    """CPU of Redis for each, whoever called it."""


@dataclass(frozen=True, slots=True)
class Latency:
    """A round on schedule, in milliseconds; None where no request was answered well."""

    p50_ms: float | None
    p99_ms: float | None
    failed: int


@dataclass(slots=True)
class Measured:
    """What was measured of one subject, with a value for each round. What does not apply stays empty."""

    subject: Subject
    requests: list[Pace] = field(default_factory=list)
    events: list[Pace] = field(default_factory=list)
    on_schedule: dict[float, list[Latency]] = field(default_factory=dict)
    """By their rate; without those beyond what the subject can do."""
    first_token: list[Latency] = field(default_factory=list)
    idle_connection_bytes: float | None = None
    open_stream_bytes: float | None = None
    rss_bytes: int | None = None
    """After all the rounds."""
    hour: int = 0
    rss_after_bytes: int | None = None
    """After so many requests more."""


@dataclass(frozen=True, slots=True)
class Result:
    """All that was measured in one run."""

    plan: Plan
    measured: list[Measured]
    idle: float
    """The share of their core that all subjects together took while nobody called."""
    loads: tuple[float, float]
    """How many processes wanted to run on the machine, on average over a minute, before and at the end."""
