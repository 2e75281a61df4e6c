"""Real servers for tests. Each is ended by its own process, never by name."""

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import hypothesis
import pytest
from tests.redis_servers import RedisCluster, RedisServer, SentinelSetup
from tests.tls_front import Authority, TlsFront

# A test says the same each time: it is given the same examples, however long they take on a busy machine. To look for
# others, run it with `--hypothesis-profile=default`.
hypothesis.settings.register_profile("same-each-time", deadline=None, derandomize=True)
hypothesis.settings.load_profile("same-each-time")
# Who is started in the background may have been told to ignore Ctrl-C, and tells it to all whom he starts.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """One server for all tests: use keys of your own, and do it no harm."""
    server = RedisServer()
    yield server
    server.kill()


@pytest.fixture
def start_redis() -> Iterator[Callable[..., RedisServer]]:
    """A function that starts a private server, with more options, to be harmed at will."""
    with ExitStack() as ending:

        def start(*options: str) -> RedisServer:
            server = RedisServer(*options)
            ending.callback(server.kill)
            return server

        yield start


@pytest.fixture(scope="session")
def redis_cluster() -> Iterator[RedisCluster]:
    """Three masters for all tests: use keys of your own, and do them no harm."""
    cluster = RedisCluster()
    yield cluster
    cluster.close()


@pytest.fixture
def start_cluster() -> Iterator[Callable[..., RedisCluster]]:
    """A function that starts a private cluster with so many replicas of its first master, to be harmed at will."""
    with ExitStack() as ending:

        def start(replicas: int = 0) -> RedisCluster:
            cluster = RedisCluster(replicas=replicas)
            ending.callback(cluster.close)
            return cluster

        yield start


@pytest.fixture
def sentinels() -> Iterator[SentinelSetup]:
    """A private master with a replica and a sentinel, to be harmed at will."""
    setup = SentinelSetup()
    yield setup
    setup.close()


@pytest.fixture(scope="session")
def authority(tmp_path_factory) -> Authority:
    """Who signs the certificates of servers and clients."""
    return Authority(tmp_path_factory.mktemp("authority"), "authority")


@pytest.fixture
def start_tls_front(authority, redis_server) -> Iterator[Callable[[str], TlsFront]]:
    """A function that puts TLS before the session's Redis server, with a certificate for that name.

    Only clients with a certificate of the authority are let in.
    """
    with ExitStack() as ending:

        def start(name: str) -> TlsFront:
            front = TlsFront(authority, authority.certificate(name), redis_server.port)
            ending.callback(front.close)
            return front

        yield start


@pytest.fixture
def tls_front(start_tls_front) -> TlsFront:
    """TLS before the session's Redis server, with a certificate for where it is."""
    return start_tls_front("127.0.0.1")
