"""The composition root, with `assembly`: only they name concrete adapters. Settings in, a fence ready to start out.

Everything that can be wrong is found here, before a call is accepted: a fence that starts is one that can do its work.
"""

import asyncio
import logging
import random
import socket
import time
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from modelfence.adapters.admin_server import AdminServer, Readiness
from modelfence.adapters.memory.buckets import MemoryBuckets
from modelfence.adapters.memory.evidence import MemoryEvidence
from modelfence.adapters.metrics.calls import PrometheusMetrics
from modelfence.adapters.metrics.states import State, StateMetrics
from modelfence.adapters.redis.buckets import RedisBuckets
from modelfence.adapters.redis.evidence import RedisEvidence
from modelfence.adapters.tokens.keys import HeldKeys
from modelfence.adapters.tokens.published_keys import PublishedKeys
from modelfence.assembly import detector_of, evidence_of, in_force_of, patience_of, redis_accounts, redis_buckets
from modelfence.core.charge import OnStoreFailure
from modelfence.core.unavailable import UnavailableError
from modelfence.core.upstream import Upstream
from modelfence.dialects.hidden import REASONING
from modelfence.dialects.known import DIALECTS, REALTIME
from modelfence.doors import egress_of, tested
from modelfence.enforcement.fence import Fence
from modelfence.enforcement.ports import Observer
from modelfence.enforcement.probing import Probing
from modelfence.extraction.listing import Row, is_suspicious, rows
from modelfence.listening import address_of, bind, refuse_loops
from modelfence.parts import Reloaded, read_parts, reread_parts, said
from modelfence.settings import CannotStartError, Settings
from modelfence.source_files import Files, SourceFiles, Stamp, stamp
from modelfence.token_verifying import keys_of, tokens_of
from modelfence.watchers import audit_log_of, recorder_of
from modelfence.wire.addon import FenceAddon
from modelfence.wire.apis import Apis
from modelfence.wire.egress import Destination
from modelfence.wire.guard import Bounds
from modelfence.wire.realtime import Realtime
from modelfence.wire.runner import Proxy, Served
from modelfence.wire.stock import StockRunner
from modelfence.wire.tls import certified

COHORTS_EVERY_S = 10.0
ACCEPTS_AT_ONCE, ACCEPTS_AT_ONCE_OF_SEVERAL = 16, 1
"""Of several workers each takes one connection at a time, so that all get some."""
log = logging.getLogger(__name__)


class Gateway:
    """The whole fence. `start` (or `serve`, where others have the ports) and `stop` once each, in one event loop."""

    def __init__(
        self, settings: Settings, *, observers: Sequence[Observer] = (), slot: int = 0, files: Files | None = None
    ) -> None:
        """Policy, accounts and databases are what the files hold, or else what is on the disk now.

        `slot` is the worker's number, different from those of all others that live at the same time.

        Raises CannotStartError.
        """
        if not settings.upstreams:
            raise CannotStartError(
                "there is nothing to protect: give --upstream https://api.openai.com, or `upstreams:` in the settings"
            )
        self.settings = settings
        files = files or Files.on_disk()
        self._tls, self._pins = tested(settings, files.tls)
        self._certificates = [one for one in (self._tls, self._pins) if one is not None]
        self.parts = read_parts(settings, files)
        self.metrics = PrometheusMetrics()
        self._loaded_s = time.time()
        self._campaigns: Sequence[int] = ()
        self._exits = AsyncExitStack()
        self._accounts = redis_accounts(settings, deadline_s=settings.limits.directory_ms / 1000)
        if self._accounts is not None:
            self._exits.push_async_callback(self._accounts.close)
        self._buckets = self._store()
        self._evidence = self._kept_evidence()
        self._recorder = recorder_of(settings, slot=slot, count=self.metrics.recorded)
        self._audit = audit_log_of(
            settings, slot=slot, geo_built_s=lambda: self.parts.geo.built_s, count=self.metrics.audited
        )
        kept = [one for one in (self._recorder, self._audit) if one is not None]
        for one in kept:
            self._exits.push_async_callback(one.stop)
        watching: tuple[Observer, ...] = (self.metrics, *kept, *observers)
        self._keys = keys_of(settings.jwt, self.parts.keys, count=self.metrics.jwks_fetched)
        self._detection = detector_of(settings, self.parts.policy, self._evidence)
        self.fence = Fence(
            in_force_of(self.parts, self._accounts),
            buckets=self._buckets,
            local_buckets=self._buckets if isinstance(self._buckets, MemoryBuckets) else MemoryBuckets(now_us),
            detector=self._detection,
            observers=watching,
            clock_us=lambda: time.monotonic_ns() // 1000,
            jitter=random.random,
            evidence_is_kept=self._evidence_is_kept,
            tokens=tokens_of(settings.jwt, self._keys),
            probing=Probing(settings.limits.bad_credentials_per_minute / settings.workers),
            workers=settings.workers,
            patience=patience_of(settings),
        )
        self._watching = watching
        self._reloading = asyncio.Lock()
        self._served = self._serving(settings.upstreams)
        self._proxy: Proxy | None = None
        self._is_stopping = False
        self._egress = egress_of(settings)
        self.listen, self.admin = settings.listen, settings.admin

    @property
    def stock_addons(self) -> tuple[FenceAddon, StockRunner]:
        """Return what mitmproxy's stock runner loads instead of `start`."""
        return self._served.addon, StockRunner()

    @property
    def bounds(self) -> Bounds:
        """Return what the guard holds clients to."""
        limits = self.settings.limits
        return Bounds(
            head_bytes=limits.head_bytes,
            request_bytes=limits.request_bytes,
            headers=limits.headers,
            head_s=limits.head_s,
            body_s=limits.body_s,
            first_byte_s=limits.first_byte_s,
            answer_s=limits.answer_s,
            held_bytes=limits.held_bytes,
            connections=limits.connections,
            connections_per_address=limits.connections_per_address,
            proxies=self.settings.trusted_proxies,
        )

    async def start(self) -> None:
        """Bind both ports and serve. Raises CannotStartError when an address can't be had."""
        customers, operators = bind("listen", self.settings.listen), bind("admin", self.settings.admin)
        self.admin = address_of(operators)
        await self.serve(customers)
        states = StateMetrics()
        admin = AdminServer(
            operators,
            render=lambda: self.metrics.render() + states.render([self.state()]),
            liveness=lambda: True,
            readiness=self.readiness,
            cohorts=self.cohorts,
        )
        admin.start()
        self._exits.push_async_callback(admin.stop)

    async def serve(self, listening: socket.socket) -> None:
        """Serve on a listening socket, which other processes may have, too. Raises CannotStartError."""
        settings = self.settings
        self.listen = address_of(listening)
        refuse_loops((self.listen, self.admin), settings.upstreams)
        proxy = Proxy(
            self._served,
            listening,
            bounds=self.bounds,
            idle_s=settings.limits.idle_s,
            tls=self._tls,
            proxy_protocol_from=settings.proxy_protocol_from,
            pins=self._pins,
            egress=self._egress,
            by_destination=self._by_destination() if self._egress else None,
            accepts_at_once=ACCEPTS_AT_ONCE if settings.workers == 1 else ACCEPTS_AT_ONCE_OF_SEVERAL,
        )
        self.metrics.in_force(self.parts.policy, self.fence.in_force.candidate)
        if self._recorder is not None:
            self._recorder.start()
        if self._audit is not None:
            self._audit.start()
        if isinstance(self._keys, PublishedKeys):
            await self._keys.start()
            self._exits.push_async_callback(self._keys.stop)
        keeping = asyncio.create_task(self.fence.keep())
        self._exits.push_async_callback(self._end_keeping, keeping)
        watching = asyncio.create_task(self._watch_cohorts())
        self._exits.push_async_callback(_end, watching)
        await proxy.start()
        self._exits.push_async_callback(proxy.stop)
        self._proxy = proxy

    def _by_destination(self) -> Mapping[Destination, Served]:
        """Return what serves requests for each host, of those upstreams that have it."""
        upstreams = self.settings.upstreams
        return {
            (host, port): self._serving([one for one in upstreams if (one.host, one.port) == (host, port)])
            for host, port in {(one.host, one.port) for one in upstreams}
        }

    def _serving(self, upstreams: Sequence[Upstream]) -> Served:
        """Return what serves requests to these upstreams."""
        settings = self.settings
        dialects = certified(DIALECTS) if settings.tls.client_ca else DIALECTS
        apis = Apis(
            upstreams,
            dialects,
            trusted_proxies=settings.trusted_proxies,
            observers=self._watching,
            clock_us=now_us,
            hidden=REASONING,
            client_header=settings.client_address,
        )
        limits, record = settings.limits, settings.record
        keeps_bodies = record.path is not None and record.prompts
        addon = FenceAddon(self.fence, apis, max_request_bytes=limits.request_bytes, keeps_bodies=keeps_bodies)
        realtime = Realtime(self.fence, apis, realtime=REALTIME, message_bytes=limits.request_bytes)
        return Served(addon, realtime)

    async def reload(self, files: Files | None = None, *, left_out: AbstractSet[Path] = frozenset()) -> Reloaded:
        """Read again what has changed, as the files hold it or else on the disk, and go on with it.

        From the disk no part is read to which one of those files belongs that are left out.

        What can't be used changes nothing. Calls go on meanwhile, and each is judged by one policy from its beginning
        to its end.
        """
        async with self._reloading:
            # What a broken file hides is not read either: it is not to be seen to change before it does once more.
            looked = await asyncio.to_thread(lambda: {path: stamp(path) for path in self.stamps})
            asked = await asyncio.to_thread(self.parts.files.again, left_out) if files is None else files
            reread = await asyncio.to_thread(reread_parts, self.settings, self.parts, asked)
            self.parts = reread.parts
            if reread.changed:
                self.fence.in_force = in_force_of(self.parts, self._accounts)
                self._detection.exempt = self.parts.policy.exempt
                self.metrics.in_force(self.parts.policy, self.fence.in_force.candidate)
            if self.parts.keys is not None and isinstance(self._keys, HeldKeys):
                self._keys.held = self.parts.keys
            if "policy" in reread.changed:
                self._loaded_s = time.time()
            changed, failures = list(reread.changed), {part: said(error) for part, error in reread.failures.items()}
            if not asked.tls.hold_what(self.parts.files.tls):
                try:
                    await asyncio.to_thread(self._exchange_certificates, asked.tls)
                    changed.append("tls")
                except CannotStartError as error:
                    failures["tls"] = str(error)
            warnings = tuple(problem.render() for problem in reread.parts.warnings) if reread.changed else ()
            stamps = {**looked, **reread.stamps, **asked.tls.stamps}
            return Reloaded(tuple(changed), failures, warnings, self.parts.files, stamps)

    @property
    def stamps(self) -> Mapping[Path, Stamp]:
        """Return of each file that is in use how it was when it was read: when one changes it is time to reload."""
        return self.parts.files.stamps

    def _exchange_certificates(self, files: SourceFiles) -> None:
        """Go on with all of these. Raises CannotStartError when one of them can't be used: then with none."""
        tested(self.settings, files)
        for one in self._certificates:
            one.reload(files)
        self.parts = replace(self.parts, files=replace(self.parts.files, tls=files))

    async def drain(self) -> None:
        """Stop once what is under way has ended, at the latest after `limits.drain_s`.

        From now on the fence is not ready, and accepts no connection; operators are served to the end. May be cut short
        by cancelling it; then `stop`.
        """
        self._is_stopping = True
        if self._proxy is not None:
            await self._proxy.drain(self.settings.limits.drain_s)
        await self.stop()

    async def stop(self) -> None:
        """Stop serving, settle what was under way and close what is open."""
        await self._exits.aclose()

    async def readiness(self) -> Readiness:
        """Return whether calls can be served.

        A store keeps them from it only if a throttle refuses without one: where all fall back on something, they are.
        """
        if self._is_stopping:
            return Readiness({"fence": "it is stopping"}, {})
        refusing = any(
            throttle.on_store_failure is OnStoreFailure.DENY and not throttle.rule.shadow
            for policy in self.fence.in_force.acting
            for throttle in policy.throttles
        )
        missing = {}
        if refusing and isinstance(self._buckets, RedisBuckets) and not await self._buckets.ready():
            missing = {"store": f"{self.settings.store_shown} does not answer, or can't be written to"}
        in_redis, needed = self._accounts, not self.fence.in_force.live.unknown_may_pass
        if in_redis is not None and needed and not await in_redis.ready():
            missing["accounts"] = f"{self.settings.accounts_shown} does not answer, or can't be read"
        if not self._evidence_is_kept():
            missing["audit"] = f"the audit log {self.settings.audit.path} can't be written"
        states = {"store_circuit": self.state().circuit, "candidate": self.parts.candidate.shown}
        return Readiness(missing, {name: state for name, state in states.items() if state is not None})

    def state(self) -> State:
        """Return what is in force."""
        policy, candidate = self.parts.policy, self.parts.candidate
        return State(
            policy=policy.hash,
            mode=policy.mode,
            policy_loaded_s=self._loaded_s,
            geo_built_s=self.parts.geo.built_s,
            circuit=self._buckets.circuit if isinstance(self._buckets, RedisBuckets) else None,
            cohorts=len(self._campaigns),
            cohort_accounts=sum(self._campaigns),
            candidate=candidate.policy.hash if candidate.policy else None,
            canary_ratio=None if self.settings.candidate is None else candidate.canary.percent / 100,
        )

    async def cohorts(self) -> Sequence[Row]:
        """Return what is known of each cohort of accounts. Raises UnavailableError."""
        return rows(await self._evidence.cohorts(), self.parts.policy.exempt)

    def banner(self) -> str:
        """Return what an operator wants to know at the start."""
        parts, settings = self.parts, self.settings
        built = {name: f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d}" for name, at in parts.geo.built_s.items()}
        scheme = "https" if settings.tls.cert else "http"
        kept = "with the callers' prompts" if settings.record.prompts else "without prompts"
        lines = [
            f"modelfence listens on {scheme}://{self.listen} and protects:",
            *(f"  {upstream.prefix or '/'} -> {upstream.url} ({upstream.dialect})" for upstream in settings.upstreams),
            f"  policy    {parts.policy_path} ({parts.policy.hash}, {parts.policy.mode})",
            *([f"  candidate {settings.candidate} ({parts.candidate.shown})"] if settings.candidate else []),
            f"  accounts  {settings.accounts_shown}{'' if parts.accounts is None else f' ({len(parts.accounts)})'}",
            *([f"  tokens    of {settings.jwt.issuer}"] if self._keys else []),
            f"  geo       {', '.join(f'{name} of {day}' for name, day in built.items())}",
            f"  store     {settings.store_shown}",
            *([f"  recording {settings.record.path} ({kept})"] if settings.record.path else []),
            *([f"  audit     {settings.audit.path}"] if settings.audit.path else []),
            f"  admin     http://{self.admin}/metrics",
        ]
        return "\n".join(lines)

    def _store(self) -> MemoryBuckets | RedisBuckets:
        if self.settings.store == "memory":
            return MemoryBuckets(now_us)
        redis = redis_buckets(self.settings, deadline_s=self.settings.limits.store_ms / 1000)
        self._exits.push_async_callback(redis.close)
        return redis

    def _kept_evidence(self) -> MemoryEvidence | RedisEvidence:
        evidence = evidence_of(self.settings, deadline_s=self.settings.limits.store_ms / 1000)
        if isinstance(evidence, RedisEvidence):
            self._exits.push_async_callback(evidence.close)
        return evidence

    def _evidence_is_kept(self) -> bool:
        """Say whether what is decided is written down, or need not be."""
        return self._audit is None or self._audit.is_kept or self.settings.audit.on_failure == "allow"

    async def _watch_cohorts(self) -> None:
        """Keep in mind which cohorts look like campaigns, until cancelled."""
        while True:
            try:
                known = await self._evidence.cohorts()
                exempt = self.parts.policy.exempt
                self._campaigns = [one.accounts for one in known if is_suspicious(one, exempt)]
            except UnavailableError:
                pass  # calls that need the evidence complain of it
            except Exception:
                log.exception("the cohorts could not be counted; it is tried again")
            await asyncio.sleep(COHORTS_EVERY_S)

    async def _end_keeping(self, keeping: asyncio.Task[None]) -> None:
        await _end(keeping)
        await self.fence.close()


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


def now_us() -> int:
    """Return the time in microseconds since the epoch."""
    return time.time_ns() // 1000
