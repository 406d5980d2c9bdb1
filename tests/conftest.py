"""
Fixtures for all tests.

Every test process runs servers of its own, on free ports and private Unix sockets; the developer's Redis on
6379 is never touched. Tests that share a server keep apart by the ``prefix`` fixture.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import uuid
from collections.abc import Callable, Generator, Iterator

import pytest

from asgi_redis import RedisChannelLayer, embedded
from asgi_redis.embedded import RedisServer, RedisServerError, find_redis_server
from tests.support import clusters, servers, waiting
from tests.support.proxy import Proxy
from tests.support.sentinels import PATIENT_DOWN_AFTER_MILLISECONDS


def pytest_configure() -> None:
    """Gives each process ports of its own, as a server that comes back needs the port that it had."""
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
    share = slice(number, None, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))
    embedded._PORTS = embedded._PORTS[share]


def pytest_report_header() -> str:
    """Says which server the tests run against; with xdist, too, where only the controller prints it."""
    try:
        server = RedisServer()
    except FileNotFoundError as error:
        return f"redis-server: none: {error}"
    with contextlib.closing(server):
        return f"redis-server: {server.binary} {server.version}"


@pytest.hookimpl(optionalhook=True)  # -p no:xdist
def pytest_xdist_auto_num_workers() -> int:
    """Two for each processor: tests wait much, but with more of them the nodes of clusters miss each other."""
    return 2 * (os.cpu_count() or 1)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """
    Spares the garbage collector thousands of tests that are no garbage, here and in each collection from now on.

    It took a third of the time of finding them, in each process.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leaves out what the server is too old for, and what is not to be run under gevent's patches."""
    _leave_out_newer_servers(items)
    monkey = sys.modules.get("gevent.monkey")
    if monkey is None or not monkey.is_module_patched("threading"):
        return
    for item in items:
        native = item.get_closest_marker("native")
        if native is not None:
            item.add_marker(pytest.mark.skip(reason=f"under gevent's patches: {native.args[0]}"))


def _leave_out_newer_servers(items: list[pytest.Item]) -> None:
    needing = [(item, mark) for item in items if (mark := item.get_closest_marker("needs_redis"))]
    if not needing:
        return
    with contextlib.suppress(FileNotFoundError), contextlib.closing(RedisServer()) as server:
        version = tuple(map(int, server.version.split(".")[:2]))
        for item, mark in needing:
            if version < mark.args:
                reason = f"needs Redis {'.'.join(map(str, mark.args))}; this is {server.version}"
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session", autouse=True)
def _redis_server_found() -> None:
    find_redis_server()  # one clear error at once, rather than one from each fixture


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A server that all tests of this process share: use ``prefix``, and neither FLUSHALL nor stop it."""
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="session")
def three_redis_servers() -> Iterator[list[RedisServer]]:
    """Three servers to be used as shards, shared like ``redis_server``."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(RedisServer()) for _ in range(3)]


@pytest.fixture
def fresh_redis_server() -> Iterator[RedisServer]:
    """A server of the test's own, to be killed, paused and restarted."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def three_fresh_redis_servers() -> Iterator[list[RedisServer]]:
    """Three servers of the test's own."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(RedisServer()) for _ in range(3)]


@pytest.fixture(scope="session")
def tls_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.TLSServer]:
    """A server that speaks TLS with a self-signed certificate (``.url``, ``.ca_file``)."""
    with contextlib.ExitStack() as stack:
        with skip_without_tls():
            server = stack.enter_context(servers.run_tls_server(tmp_path_factory.mktemp("tls")))
        yield server


@contextlib.contextmanager
def skip_without_tls() -> Iterator[None]:
    try:
        yield
    except RedisServerError as error:
        # The first is Redis's word for it, the second Valkey's.
        if "Bad directive" not in str(error) and "Failed finding TLS support" not in str(error):
            raise
        pytest.skip(f"{find_redis_server()} was built without TLS")


@pytest.fixture(scope="session")
def acl_server() -> Iterator[RedisServer]:
    """A server that lets in only ``servers.ACL_USER`` with ``servers.ACL_PASSWORD``."""
    with servers.run_acl_server() as server:
        yield server


@pytest.fixture(scope="session")
def sentinel() -> Iterator[servers.Sentinel]:
    """A master, a replica and a Sentinel (``.sentinels``, ``.master_name``); not to be failed over."""
    # Sentinel's default, lest it misses the master of a busy machine.
    with servers.run_sentinel(down_after_milliseconds=PATIENT_DOWN_AFTER_MILLISECONDS) as running:
        yield running


@pytest.fixture
def fresh_sentinel() -> Iterator[servers.Sentinel]:
    """The same, the test's own: kill the ``.master`` at will."""
    with servers.run_sentinel() as running:
        yield running


@pytest.fixture(scope="session", params=[find_redis_server, clusters.find_valkey_server], ids=["redis", "valkey"])
def cluster_binary(request: pytest.FixtureRequest) -> str:
    """The server that the nodes of a cluster run: the one that all tests run, and Valkey's newest."""
    try:
        return str(request.param())
    except FileNotFoundError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def single_node_cluster() -> Iterator[clusters.Cluster]:
    """A cluster of one node, to be shared like ``redis_server``; under a tenth of a second."""
    with clusters.run_single_node_cluster() as running:
        yield running


@pytest.fixture(scope="session")
def shared_masters() -> Iterator[clusters.Cluster]:
    """A cluster of three masters, to be shared: tests move slots of their own keys alone, and stop no node."""
    with clusters.run_cluster(3, 0) as running:
        yield running


@pytest.fixture
def fresh_single_node_cluster(cluster_binary: str) -> Iterator[clusters.Cluster]:
    """The same, the test's own."""
    with clusters.run_single_node_cluster(cluster_binary) as running:
        yield running


@pytest.fixture
def three_masters(cluster_binary: str) -> Iterator[clusters.Cluster]:
    """A cluster of three masters, the test's own: slots can move, and there is nobody to be promoted."""
    with clusters.run_cluster(3, 0, cluster_binary) as running:
        yield running


@pytest.fixture
def fresh_cluster(cluster_binary: str) -> Iterator[clusters.Cluster]:
    """A cluster of three masters with a replica each, the test's own: kill, pause and move at will."""
    with clusters.run_cluster(3, 1, cluster_binary) as running:
        yield running


@pytest.fixture(scope="session")
def tls_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[clusters.TLSCluster]:
    """A cluster of one node that speaks TLS with a self-signed certificate (``.urls``, ``.ca_file``)."""
    with contextlib.ExitStack() as stack:
        with skip_without_tls():
            running = stack.enter_context(clusters.run_tls_cluster(tmp_path_factory.mktemp("tls")))
        yield running


@pytest.fixture(scope="session")
def acl_cluster() -> Iterator[clusters.Cluster]:
    """A cluster of one node that lets in only ``servers.ACL_USER`` with ``servers.ACL_PASSWORD``."""
    with clusters.run_acl_cluster() as running:
        yield running


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[Proxy]:
    """A proxy in front of ``redis_server``."""
    assert redis_server.port is not None
    with Proxy((redis_server.host, redis_server.port)) as running:
        yield running


@pytest.fixture
def prefix() -> str:
    """A key prefix that no other test uses."""
    return f"t{uuid.uuid4().hex[:12]}"


@pytest.fixture
def layer_for(prefix: str) -> Iterator[Callable[..., RedisChannelLayer]]:
    """
    ``layer_for(*hosts, **settings)`` makes a layer under ``prefix`` that is closed in the end.

    A host is a server or whatever the setting ``hosts`` takes.
    """
    with contextlib.ExitStack() as stack:

        def make(*hosts: object, **settings: object) -> RedisChannelLayer:
            addresses = [host.url if isinstance(host, (RedisServer, Proxy)) else host for host in hosts]
            return stack.enter_context(
                RedisChannelLayer(
                    **{"hosts": addresses, "prefix": prefix, "stats_prefix": f"{prefix}-meta:", **settings}
                )
            )

        yield make


@pytest.fixture
def eventually() -> Callable[..., object]:
    """``eventually(predicate, timeout=20)``, as in ``tests.support.waiting``."""
    return waiting.eventually
