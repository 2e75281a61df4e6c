"""What is measured, each as it would be run: by its command line, with one process that serves."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.decision import DENIES
from bench.proxy.messages import ACCOUNTS, key

from modelfence.core.call import key_digest

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Site:
    """Where a subject is set up: its own folder and port, and who is behind it."""

    folder: Path
    port: int
    upstream_port: int
    redis_url: str
    redis_pid: int

    @property
    def upstream_url(self) -> str:
        return f"http://127.0.0.1:{self.upstream_port}"


@dataclass(frozen=True, slots=True)
class Subject:
    """Something between the callers and the upstream; nothing at all where `command` is None."""

    name: str
    what: str
    """How it is set up, for those who read the results."""
    command: Callable[[Site], Sequence[str]] | None
    in_full: bool = True
    """Whether all is measured of it, or only requests without pause."""
    headers: Callable[[Site], tuple[str, ...]] = lambda _site: ()
    environment: Mapping[str, str] = field(default_factory=dict)


DIRECT = "direct"
BARE = "mitmproxy, embedded"
FENCE = "modelfence, Redis, 20 rules"


def ours() -> list[Subject]:
    """Return all but the peers."""
    return [
        Subject(DIRECT, "the upstream itself: what callers and upstream can do", None),
        Subject("mitmdump", "its defaults, and an addon that lets streams of events pass", _mitmdump),
        Subject(BARE, "the master alone, with the options of the fence, and the same addon", _bare),
        Subject("modelfence, memory, 20 rules", "the fence without Redis", _fence(20, redis=False)),
        Subject(FENCE, "the fence as it is meant to run: extraction and audit on, one worker", _fence(20, redis=True)),
        *(
            Subject(f"modelfence, memory, {rules:,} rules", "likewise", _fence(rules, redis=False), in_full=False)
            for rules in (10, 100, 1_000)
        ),
    ]


def _mitmdump(site: Site) -> Sequence[str]:
    return [
        str(Path(sys.executable).with_name("mitmdump")),
        "--quiet",
        *("--mode", f"reverse:{site.upstream_url}", "--listen-host", "127.0.0.1", "--listen-port", f"{site.port}"),
        *("--set", f"confdir={site.folder}", "--scripts", str(HERE / "streaming.py")),
    ]


def _bare(site: Site) -> Sequence[str]:
    return [sys.executable, "-m", "bench.proxy.bare", str(site.port), str(site.upstream_port)]


def _fence(rules: int, *, redis: bool) -> Callable[[Site], Sequence[str]]:
    def command(site: Site) -> Sequence[str]:
        config = write_settings(site, rules=rules, store=site.redis_url if redis else "memory")
        return [str(Path(sys.executable).with_name("modelfence")), "run", "--config", str(config)]

    return command


def write_settings(site: Site, *, rules: int, store: str) -> Path:
    """Write what `modelfence run` needs; return the settings."""
    (site.folder / "policy.yaml").write_text(policy_text(rules))
    accounts = [
        {
            "id": f"account-{n}",
            "keys": [key_digest(key(n))],
            "status": "active",
            "tier": "verified",
            "country": "NO",
            "owners": [{"country": "NO", "share": 1.0}],
            "screening": "clear",
            "purpose": "bench",
            "labels": {"plan": "gold"},
        }
        for n in range(ACCOUNTS)
    ]
    (site.folder / "accounts.yaml").write_text(json.dumps({"accounts": accounts}))
    upstream = {"name": "openai", "dialect": "openai", "url": site.upstream_url, "max_output_tokens": 16384}
    settings = {
        "listen": f"127.0.0.1:{site.port}",
        "admin": "127.0.0.1:0",
        "policy": "policy.yaml",
        "accounts": "accounts.yaml",
        "store": store,
        "geo": {"private": "NO"},
        "limits": {"store_ms": 2000},  # a call refused for a busy machine's sake would be measured as a fast one
        "upstreams": [upstream],
        "audit": {"path": "audit.jsonl"},
    }
    (site.folder / "modelfence.yaml").write_text(json.dumps(settings))
    return site.folder / "modelfence.yaml"


def policy_text(rules: int) -> str:
    """Return a policy of so many rules that lets all calls in: six of them allow, reshape and charge, the rest deny."""
    lines = [
        "version: 1",
        "tiers: [none, basic, verified, enhanced]",
        "lists: {embargoed: [CU, IR, KP, SY]}",
        "access:",
    ]
    for n in range(rules - 6):
        lines += [f"  - id: deny-{n}", f"    deny: {DENIES[n % len(DENIES)].format(n=n)}"]
    enough = "rate: 1000000 per second"
    lines += [
        "  - {id: allow, allow: 'kyc.status == \"active\" && kyc.tier >= tier.basic'}",
        "reshape:",
        "  - {id: no-logits, when: kyc.tier < tier.enhanced, remove: [logprobs]}",
        "throttle:",
        f"  - {{id: requests, key: account.id, cost: 1.0 + 9.0 * extraction.score, {enough}}}",
        f"  - {{id: output, key: account.id, unit: output_tokens, {enough}}}",
        f"  - {{id: total, key: account.id, unit: total_tokens, {enough}}}",
        f"  - {{id: campaign, when: extraction.score >= 0.5, key: extraction.cohort, unit: output_tokens, {enough}}}",
    ]
    return "\n".join(lines)
