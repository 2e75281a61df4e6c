"""What fences are assembled from, without the wire: policy, accounts, databases, detector and buckets, from settings.

The commands that need no traffic take it from here, and start in a fraction of the time that mitmproxy takes to load.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import lru_cache

from modelfence.adapters.key_file import KeyFileError, read_key
from modelfence.adapters.memory.buckets import MemoryBuckets
from modelfence.adapters.memory.evidence import MemoryEvidence
from modelfence.adapters.redis.accounts import RedisAccounts
from modelfence.adapters.redis.buckets import RedisBuckets
from modelfence.adapters.redis.evidence import RedisEvidence
from modelfence.adapters.redis.replay import ReplayBuckets
from modelfence.core.dialect import Headers
from modelfence.core.policy import Policy, ThrottleRule
from modelfence.core.upstream import Upstream
from modelfence.dialects.known import DIALECTS
from modelfence.dialects.prompt_parts import parts_of
from modelfence.enforcement.expected_usage import ExpectedUsage
from modelfence.enforcement.fence import Fence, Patience
from modelfence.enforcement.in_force import Candidate, InForce, Side
from modelfence.enforcement.ports import AccountDirectory, BucketStore, GeoDatabase, UnavailableError
from modelfence.extraction.common_phrases import common_phrases
from modelfence.extraction.detection import Detection
from modelfence.extraction.evidence import Bounds, EvidenceStore
from modelfence.extraction.fingerprint import PUBLISHED_KEY, Fingerprints
from modelfence.extraction.listing import Row, rows
from modelfence.extraction.templates import fingerprint
from modelfence.parts import Parts, compiled_policy, shipped_policy
from modelfence.recording.reading import CallReader
from modelfence.replay.clock import VirtualClock
from modelfence.replay.requests import Requests
from modelfence.replay.run import (
    DirectoryFailedError,
    Replay,
    StoreFailedError,
    UnfailingDirectory,
    UnfailingStore,
)
from modelfence.settings import CannotStartError, Settings
from modelfence.source_files import SourceFiles
from modelfence.wire.bodies import check_encoding
from modelfence.wire.sanitise import check_request, header

OPERATORS_DEADLINE_S = 5.0


def read_policy(settings: Settings) -> Policy:
    """Read the policy. Raises CannotStartError."""
    return compiled_policy(settings.policy or shipped_policy(), SourceFiles())[0]


def read_throttles(settings: Settings) -> Mapping[str, ThrottleRule]:
    """Return the throttles that act on somebody by their ids, the new ones of a candidate too. Raises CannotStartError.

    One that both have is the live policy's: they share its buckets. A candidate that can't be used acts on nobody.
    """
    throttles = {throttle.rule.id: throttle for throttle in read_policy(settings).throttles}
    if settings.candidate is not None and settings.canary:
        with suppress(CannotStartError):
            candidate, _ = compiled_policy(settings.candidate, SourceFiles())
            throttles = {throttle.rule.id: throttle for throttle in candidate.throttles} | throttles
    return throttles


def redis_buckets(settings: Settings, *, deadline_s: float) -> RedisBuckets:
    """Return the buckets in the settings' Redis. Raises CannotStartError."""
    if settings.store == "memory":
        raise CannotStartError("the buckets are in the memory of the fence; this needs a Redis: give --store redis://…")
    try:
        return RedisBuckets(
            settings.store,
            prefix=settings.store_prefix,
            deadline_s=deadline_s,
            connections=settings.limits.store_connections,
        )
    except ValueError as error:
        raise CannotStartError(f"the store {settings.store_shown} can't be used: {error}") from None


def redis_accounts(settings: Settings, *, deadline_s: float) -> RedisAccounts | None:
    """Return the accounts in the settings' Redis, None where they are in a file. Raises CannotStartError."""
    if not isinstance(settings.accounts, str):
        return None
    try:
        return RedisAccounts(
            settings.accounts,
            prefix=settings.store_prefix,
            deadline_s=deadline_s,
            connections=settings.limits.store_connections,
        )
    except ValueError as error:
        raise CannotStartError(f"the accounts in {settings.accounts_shown} can't be used: {error}") from None


def in_force_of(parts: Parts, in_redis: AccountDirectory | None = None) -> InForce:
    """Return what calls are judged by; `in_redis` are the accounts where they are in no file."""
    accounts = parts.accounts if in_redis is None else in_redis
    assert accounts is not None  # noqa: S101 - they are in one or the other
    tried = parts.candidate
    candidate = None if tried.policy is None else Candidate(Side(tried.policy), tried.canary)
    return InForce(parts.policy, accounts, parts.geo, candidate)


def evidence_of(settings: Settings, *, deadline_s: float) -> MemoryEvidence | RedisEvidence:
    """Return where evidence is kept: where the buckets are, so that workers who share these see the same cohorts.

    Raises CannotStartError.
    """
    if settings.store == "memory":
        return MemoryEvidence(_bounds(settings))
    try:
        return RedisEvidence(
            settings.store,
            prefix=settings.store_prefix,
            deadline_s=deadline_s,
            connections=settings.limits.store_connections,
            bounds=_bounds(settings),
        )
    except ValueError as error:
        raise CannotStartError(f"the store {settings.store_shown} can't be used: {error}") from None


def _bounds(settings: Settings) -> Bounds:
    kept = settings.extraction
    return Bounds(accounts=kept.accounts, shingles=kept.shingles, cohorts=kept.cohorts)


@asynccontextmanager
async def operators_buckets(settings: Settings) -> AsyncIterator[RedisBuckets]:
    """Lend the buckets of a fence that may be running, with more patience. Raises CannotStartError."""
    buckets = redis_buckets(settings, deadline_s=OPERATORS_DEADLINE_S)
    try:
        yield buckets
    except UnavailableError as error:
        raise CannotStartError(f"the store {settings.store_shown} can't be used: {error}") from None
    finally:
        await buckets.close()


async def operators_cohorts(settings: Settings) -> Sequence[Row]:
    """Return the cohorts in the settings' Redis, by the policy that may exempt some. Raises CannotStartError."""
    evidence = evidence_of(settings, deadline_s=OPERATORS_DEADLINE_S)
    try:
        return rows(await evidence.cohorts(), read_policy(settings).exempt)
    except UnavailableError as error:
        raise CannotStartError(f"the store {settings.store_shown} can't be used: {error}") from None
    finally:
        if isinstance(evidence, RedisEvidence):
            await evidence.close()


def fingerprints_of(settings: Settings) -> Fingerprints:
    """Return what takes fingerprints of prompts, with the settings' key. Raises CannotStartError."""
    path = settings.extraction.key_file
    try:
        return _fingerprints(PUBLISHED_KEY if path is None else read_key(path))
    except KeyFileError as error:
        raise CannotStartError(str(error)) from None


@lru_cache(1)
def _fingerprints(key: bytes) -> Fingerprints:
    """Return what takes fingerprints with a key: the same for all fences of a process, for it takes a while to make."""
    return Fingerprints(key, common_phrases())


def template_fingerprints(settings: Settings, text: str) -> Mapping[str, str]:
    """Return the fingerprint of a template's text, or of each part of a request. Raises CannotStartError."""
    fingerprints = fingerprints_of(settings)
    return {part: fingerprint(fingerprints.of_text(words)) for part, words in parts_of(text).items()}


def detector_of(settings: Settings, policy: Policy, evidence: EvidenceStore) -> Detection:
    """Return what watches for model extraction. Raises CannotStartError."""
    return Detection(evidence, fingerprints_of(settings), exempt=policy.exempt)


def patience_of(settings: Settings) -> Patience:
    """Return how long the loop waits, and what it reserves."""
    return Patience(
        directory_s=settings.limits.directory_ms / 1000,
        step_tokens=settings.limits.step_tokens,
        assumed_tokens=settings.limits.assumed_tokens,
        lease_s=settings.limits.lease_s,
    )


def anywhere(dialects: Sequence[str] = tuple(DIALECTS)) -> tuple[Upstream, ...]:
    """Return upstreams for reading recordings where no settings name any: one for each dialect, called like it."""
    return tuple(Upstream(name, name, "https", "upstream.invalid", 443) for name in dialects)


def requests_of(settings: Settings) -> Requests:
    """Return what reads a recording's requests to the settings' upstreams, on a clock of its own."""
    most = settings.limits.request_bytes
    reader = CallReader(settings.upstreams, DIALECTS, check_head=_check_head, max_request_bytes=most)
    return Requests(reader, VirtualClock())


@asynccontextmanager
async def replaying(
    settings: Settings, parts: Parts, requests: Requests | None = None, *, geo: GeoDatabase | None = None
) -> AsyncIterator[Replay]:
    """Lend a replay, with buckets and evidence of its own that are gone in the end. Raises CannotStartError.

    Evidence is in memory, wherever the buckets are: all stores of evidence answer alike. Several replays may judge the
    same `requests`. `geo` says where callers are in place of the databases.
    """
    requests = requests or requests_of(settings)
    clock = requests.clock
    limits = settings.limits
    patience = replace(patience_of(settings), directory_s=None)  # of which a file needs none
    async with _replay_store(settings, clock) as store, _accounts_in_redis(settings) as accounts:
        fence = Fence(
            replace(in_force_of(parts, accounts), geo=geo or parts.geo, candidate=None),
            buckets=UnfailingStore(store),
            local_buckets=UnfailingStore(MemoryBuckets(clock)),
            detector=detector_of(settings, parts.policy, MemoryEvidence(_bounds(settings))),
            observers=(),
            clock_us=clock,
            jitter=lambda: 0.0,
            patience=patience,
        )
        expected = ExpectedUsage(limits.assumed_tokens, least_tokens=limits.step_tokens)
        try:
            yield Replay(fence, requests, expected=expected)
        except StoreFailedError as error:
            raise CannotStartError(f"the store {settings.store_shown} can't be used: {error}") from None
        except DirectoryFailedError as error:
            raise CannotStartError(f"the accounts in {settings.accounts_shown} can't be used: {error}") from None


@asynccontextmanager
async def _accounts_in_redis(settings: Settings) -> AsyncIterator[AccountDirectory | None]:
    """Lend the accounts as they are now in Redis; None where they are in a file."""
    accounts = redis_accounts(settings, deadline_s=OPERATORS_DEADLINE_S)
    if accounts is None:
        yield None
        return
    try:
        yield UnfailingDirectory(accounts)
    finally:
        await accounts.close()


@asynccontextmanager
async def _replay_store(settings: Settings, clock: VirtualClock) -> AsyncIterator[BucketStore]:
    if settings.store == "memory":
        yield MemoryBuckets(clock)
        return
    try:
        buckets = ReplayBuckets(
            settings.store, prefix=settings.store_prefix, clock_us=clock, deadline_s=OPERATORS_DEADLINE_S
        )
    except ValueError as error:
        raise CannotStartError(f"the store {settings.store_shown} can't be used: {error}") from None
    try:
        yield buckets
    finally:
        with suppress(UnavailableError):  # what can't be deleted runs out
            await buckets.delete()
        await buckets.close()


def _check_head(method: str, target: str, headers: Headers) -> None:
    """Check what the wire checks of a request's head. Raises MalformedRequestError."""
    fields = [(name.encode(errors="replace"), value.encode(errors="replace")) for name, value in headers]
    check_request(method.encode(errors="replace"), target.encode(errors="replace"), fields)
    check_encoding(header(fields, b"content-encoding"))
