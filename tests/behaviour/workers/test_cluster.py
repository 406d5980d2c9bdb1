"""Workers on a Redis Cluster: its messages, the failure of a master, and shards that processes do not agree about."""

from __future__ import annotations

import contextlib
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from asgi_redis import RedisChannelLayer, RedisClusterChannelLayer, RedisLocalChannelLayer
from tests.support.clusters import Cluster, run_cluster, run_single_node_cluster
from tests.support.stores.lmdb_stores import base  # noqa: F401  a fixture
from tests.support.waiting import eventually
from tests.support.workers.processes import MODULE, Notes, WorkerProcess
from workers.runtime.stopping import ExitCode

SHARDS = 8
POOLS = ["thread", pytest.param("gevent", marks=pytest.mark.soak)]

Start = Callable[..., WorkerProcess]
LayerFor = Callable[..., RedisClusterChannelLayer]


@pytest.fixture
def layer_for(prefix: str) -> Iterator[LayerFor]:
    with contextlib.ExitStack() as stack:

        def make(cluster: Cluster, shards: int = SHARDS, **settings: Any) -> RedisClusterChannelLayer:
            return stack.enter_context(
                RedisClusterChannelLayer(hosts=cluster.hosts, shards=shards, prefix=prefix, **settings)
            )

        yield make


@pytest.fixture
def start(prefix: str, notes: Notes, tmp_path: Path) -> Iterator[Start]:
    """Starts a worker without Django: ``start(cluster, *flags, pool=..., shards=...)``."""
    started: list[WorkerProcess] = []

    def start(cluster: Cluster, *flags: str, pool: str = "thread", shards: int = SHARDS) -> WorkerProcess:
        if pool == "gevent":
            pytest.importorskip("gevent")
        nodes = [word for url in cluster.urls for word in ("--layer-url", url)]
        layer = [*nodes, "--shards", str(shards), "--prefix", prefix]
        routing = ["--routing", "tests.support.workers.consumers.routing"]
        command = [*MODULE, *layer, *routing, "--pool", pool, "--concurrency", "2", *flags]
        started.append(WorkerProcess(command, tmp_path, env=notes.env))
        return started[-1]

    yield start
    for worker in started:
        worker.__exit__()


def outages(worker: WorkerProcess) -> tuple[int, int]:
    """How many outages have begun by the log, and how many have ended."""
    log = worker.log
    return log.count(" does not serve "), log.count("messages again after ")


@pytest.mark.parametrize("pool", POOLS)
def test_it_serves_the_messages_of_all_shards(
    pool: str, start: Start, layer_for: LayerFor, shared_masters: Cluster, notes: Notes
) -> None:
    layer = layer_for(shared_masters)
    worker = start(shared_masters, pool=pool)
    worker.listens()
    assert f"shards={SHARDS})" in worker.log
    for n in range(3 * SHARDS):
        layer.send("work", {"n": n})
    eventually(lambda: notes.numbers("done") == list(range(3 * SHARDS)), timeout=20)
    layer.group_add("chat", "member")
    layer.send("reply", {"n": 5})
    for channel in ("answers", "member"):
        assert eventually(lambda channel=channel: layer.receive([channel])[1]) == {"n": 5}  # type: ignore[misc]
    layer.send("later", {})
    eventually(lambda: "postponed 10 times" in worker.log, timeout=20)
    assert notes["later"] == [str(retries) for retries in range(11)]
    delayed = [{"channel": "work", "content": {"n": n}, "delay": 10 * n} for n in range(100, 100 + SHARDS)]
    for message in delayed:
        layer.send("asgi.delay", message)
    eventually(lambda: notes.numbers("done")[-SHARDS:] == list(range(100, 100 + SHARDS)), timeout=20)
    worker.stop()
    assert "Traceback" not in worker.log


def test_its_metrics_have_what_waits_on_all_shards(
    start: Start, layer_for: LayerFor, shared_masters: Cluster, notes: Notes
) -> None:
    layer = layer_for(shared_masters)
    worker = start(shared_masters, "--metrics-port", "0", "--only-channels", "hold", "--only-channels", "work")
    for n in range(2 + SHARDS):
        layer.send("hold", {"n": n})
    eventually(lambda: len(notes["started"]) == 2, timeout=20)
    found = eventually(lambda: [word for word in worker.log.split() if word.endswith("/metrics")])
    with urllib.request.urlopen(found[0], timeout=10) as response:  # type: ignore[index]
        metrics = response.read().decode()
    assert "runworker_layer_up 1\n" in metrics
    assert f'runworker_queue_messages{{channel="hold"}} {SHARDS}\n' in metrics
    assert 'runworker_queue_messages{channel="work"} 0\n' in metrics
    assert 'runworker_in_progress{channel="hold"} 2\n' in metrics
    notes.go()


class TestShards:
    @pytest.mark.parametrize(
        "flags", [[], ["--pool", "gevent"], ["--processes", "2"]], ids=["thread", "gevent", "two"]
    )
    def test_a_worker_with_another_number_of_shards_leaves_at_once(
        self, flags: list[str], start: Start, layer_for: LayerFor, single_node_cluster: Cluster
    ) -> None:
        layer_for(single_node_cluster, SHARDS).receive(["work"])
        pool = "gevent" if "gevent" in flags else "thread"
        worker = start(single_node_cluster, *(flags if pool == "thread" else []), pool=pool, shards=SHARDS + 1)
        assert worker.wait() == ExitCode.CONFIGURATION, worker.log
        said = f"The worker ends: shards is {SHARDS + 1}, but other processes that use shard"
        # Of two processes the second may find it, too, before it is stopped for the first.
        assert 1 <= worker.log.count(said) <= (2 if "--processes" in flags else 1), worker.log
        assert "Traceback" not in worker.log

    def test_so_does_one_that_has_waited_for_the_cluster(self, start: Start, layer_for: LayerFor) -> None:
        with run_single_node_cluster(options={"appendonly": "yes"}) as cluster:  # it remembers the number
            layer_for(cluster, SHARDS).receive(["work"])
            (node,) = cluster.nodes
            node.kill()
            worker = start(cluster, shards=SHARDS + 1)
            eventually(lambda: outages(worker) == (1, 0), timeout=20)
            node.start()
            assert worker.wait() == ExitCode.CONFIGURATION, worker.log
        assert f"The worker ends: shards is {SHARDS + 1}, but" in worker.log
        assert "Traceback" not in worker.log


@pytest.mark.parametrize("pool", POOLS)
def test_it_waits_for_a_cluster_that_is_not_there_yet(
    pool: str, start: Start, layer_for: LayerFor, notes: Notes
) -> None:
    with run_single_node_cluster() as cluster:
        (node,) = cluster.nodes
        node.kill()
        worker = start(cluster, pool=pool)
        eventually(lambda: outages(worker) == (1, 0), timeout=20)
        node.start()
        send_when_served(layer_for(cluster), {"n": 1})
        eventually(lambda: notes["done"] == ["1"], timeout=20)
        eventually(lambda: outages(worker) == (1, 1), timeout=20)
        worker.stop()
    assert "Traceback" not in worker.log


@pytest.mark.parametrize("pool", POOLS)
def test_a_master_is_killed_and_it_serves_again_by_itself(
    pool: str, start: Start, layer_for: LayerFor, notes: Notes
) -> None:
    with run_cluster(3, 1) as cluster:
        layer = layer_for(cluster, capacity=10_000)
        worker = start(cluster, pool=pool)
        worker.listens()
        layer.send("work", {"n": 0})
        eventually(lambda: notes["done"] == ["0"])
        sent, is_over = [0], threading.Event()

        def send() -> None:
            n = 0
            while not is_over.wait(0.005):
                n += 1
                with contextlib.suppress(redis.RedisError):  # the master may have taken it, and died
                    layer.send("work", {"n": n})
                    sent.append(n)

        sending = threading.Thread(target=send)
        sending.start()
        try:
            victim = cluster.master_of(f"{{{layer.prefix}:0}}")
            cluster.kill(victim)
            eventually(lambda: outages(worker) == (1, 1), timeout=30)
            done = len(notes["done"])
            eventually(lambda: len(notes["done"]) > done + 50, timeout=20)
        finally:
            is_over.set()
            sending.join()
        eventually(lambda: set(sent) <= set(notes.numbers("done")), timeout=20)
        assert len(set(notes["done"])) == len(notes["done"])  # none twice
        assert outages(worker) == (1, 1)
        worker.stop()
    assert "Traceback" not in worker.log


def send_when_served(layer: RedisClusterChannelLayer, message: dict[str, Any]) -> None:
    def send() -> bool:
        try:
            layer.send("work", message)
        except redis.RedisError:
            return False
        return True

    eventually(send, timeout=20)


MANAGE_PY = """
import sys
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
"""

SETTINGS_PY = """
SECRET_KEY = "x"
INSTALLED_APPS = ["workers"]
CHANNEL_LAYERS = {{
    "default": {{
        "BACKEND": {backend!r},
        "CONFIG": {config!r},
        "ROUTING": "tests.support.workers.consumers.routing",
    }}
}}
"""


@pytest.mark.parametrize("backend", [RedisClusterChannelLayer, RedisLocalChannelLayer])
@pytest.mark.parametrize("pool", POOLS)
def test_manage_py_runs_it_on_the_cluster_of_the_settings(
    backend: type[RedisChannelLayer],
    pool: str,
    shared_masters: Cluster,
    notes: Notes,
    prefix: str,
    base: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    pytest.importorskip("django")
    if pool == "gevent":
        pytest.importorskip("gevent")
    config: dict[str, Any] = {"hosts": shared_masters.urls, "shards": SHARDS, "prefix": prefix}
    if backend is RedisLocalChannelLayer:
        config["local_layer"] = {"BACKEND": "asgi_redis.IPCChannelLayer", "CONFIG": {"path": str(base)}}
    (tmp_path / "manage.py").write_text(MANAGE_PY)
    (tmp_path / "mysite.py").write_text(SETTINGS_PY.format(backend=f"asgi_redis.{backend.__name__}", config=config))
    command = [sys.executable, "manage.py", "runworker", "--pool", pool]
    env = {**notes.env, "DJANGO_SETTINGS_MODULE": "mysite"}
    with backend(**config) as layer, WorkerProcess(command, tmp_path, cwd=tmp_path, env=env) as worker:
        worker.listens()
        assert f"on {layer}" in worker.log
        layer.group_add("chat", "member!1")
        layer.send("reply", {"n": 1})
        eventually(lambda: notes["done"] == ["1"], timeout=20)
        assert layer.receive_batch(["answers"], 1, 5) == [("answers", {"n": 1})]
        assert layer.receive_batch(["member!"], 1, 5) == [("member!1", {"n": 1})]
        worker.stop()
    assert "Traceback" not in worker.log
