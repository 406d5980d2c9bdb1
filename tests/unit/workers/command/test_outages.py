"""A worker as a process, and a Redis that goes away, or is not there yet."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from pathlib import Path

import pytest
import redis
from redis.exceptions import ConnectionError as RedisConnectionError

from asgi_redis import RedisChannelLayer
from asgi_redis.embedded import RedisServer
from asgi_redis.process.heartbeat import beat, fault
from tests.support.waiting import eventually
from tests.support.workers.processes import MODULE, Notes, WorkerProcess
from workers.command import patching
from workers.command.arguments import WorkerOptions
from workers.command.launcher import when_served
from workers.runtime.stopping import ExitCode


def test_it_outlives_redis_and_says_so_in_two_lines(
    fresh_redis_server: RedisServer, prefix: str, tmp_path: Path
) -> None:
    server = fresh_redis_server
    notes = Notes(server.url, "notes")
    command = [*MODULE, "--layer-url", server.url, "--routing", "tests.support.workers.consumers.routing"]
    layer = RedisChannelLayer(hosts=[server.url])
    with layer, WorkerProcess(command, tmp_path, env=notes.env) as worker:
        layer.send("work", {"n": 1})
        eventually(lambda: notes["done"] == ["1"])
        server.kill()
        eventually(lambda: "does not serve messages" in worker.log)
        server.start()
        eventually(lambda: "serves messages again" in worker.log)
        layer.send("work", {"n": 2})
        eventually(lambda: notes["done"] == ["2"])
        assert worker.log.count("does not serve messages") == 1
        assert worker.log.count("serves messages again after") == 1
        server.stop()
        eventually(lambda: worker.log.count("does not serve messages") == 2)
        worker.signal(signal.SIGTERM)
        assert worker.wait() == 0, worker.log
    assert "Traceback" not in worker.log


def test_it_waits_for_a_redis_that_is_not_there_yet(
    fresh_redis_server: RedisServer, tmp_path: Path, prefix: str
) -> None:
    fresh_redis_server.stop()
    notes = Notes(fresh_redis_server.url, "notes")
    command = [*MODULE, "--layer-url", fresh_redis_server.url, "--routing", "tests.support.workers.consumers.routing"]
    with WorkerProcess(command, tmp_path, env=notes.env) as worker:
        eventually(lambda: "does not serve messages" in worker.log, timeout=20)
        fresh_redis_server.start()
        with RedisChannelLayer(hosts=[fresh_redis_server.url]) as layer:
            layer.send("work", {"n": 1})
            eventually(lambda: notes["done"] == ["1"])


@pytest.mark.parametrize("pool", ["thread", "gevent"])
def test_a_burst_without_redis_ends_with_5(pool: str, fresh_redis_server: RedisServer, tmp_path: Path) -> None:
    if pool == "gevent":
        pytest.importorskip("gevent")
    fresh_redis_server.stop()
    command = [*MODULE, "--layer-url", fresh_redis_server.url, "--routing", "tests.support.workers.consumers.routing"]
    with WorkerProcess([*command, "--pool", pool, "--burst", "--burst-timeout", "0.3"], tmp_path) as worker:
        assert worker.wait() == ExitCode.UNREACHABLE, worker.log
    assert "not every server has answered for 0.3 s" in worker.log
    assert "Traceback" not in worker.log


def test_a_burst_waits_for_the_servers_that_make_its_layer_no_longer_than_that() -> None:
    """Sentinels are asked before the worker begins."""
    tries: list[float] = []

    def make() -> None:
        tries.append(time.monotonic())
        raise RedisConnectionError("no Sentinel answers")

    with pytest.raises(SystemExit) as ended:
        when_served(make, WorkerOptions(burst=True, burst_timeout=0.5, verbosity=0))
    assert ended.value.code == ExitCode.UNREACHABLE
    assert tries[-1] - tries[0] >= 0.5


def test_a_worker_that_waits_for_the_servers_that_make_its_layer_is_alive_and_not_ready(tmp_path: Path) -> None:
    path = tmp_path / "heartbeat"
    beat(str(path), ready=True)
    states: list[tuple[bool, bool]] = []

    def make() -> None:
        states.append((fault(str(path), 60) is None, fault(str(path), 60, ready=True) is None))
        if len(states) == 3:
            return
        os.utime(path, (0, 0))
        raise RedisConnectionError("no Sentinel answers")

    when_served(make, WorkerOptions(heartbeat_file=str(path), verbosity=0))
    assert states == [(True, False)] * 3


@pytest.mark.parametrize("variable", [patching.PROCESS_VARIABLE, "ASGI_REDIS_REHEARSAL"])
def test_what_waits_for_another_process_leaves_the_heartbeat_to_that(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "heartbeat"
    beat(str(path), ready=True)
    monkeypatch.setenv(variable, "1")
    when_served(lambda: None, WorkerOptions(heartbeat_file=str(path)))
    assert fault(str(path), 60, ready=True) is None


@pytest.mark.parametrize("pool", ["thread", "gevent"])
def test_a_worker_stops_and_works_while_others_flood_it_with_garbage(
    pool: str, redis_server: RedisServer, layer: RedisChannelLayer, notes: Notes, prefix: str, tmp_path: Path
) -> None:
    if pool == "gevent":
        pytest.importorskip("gevent")
    over = threading.Event()

    def flood() -> None:
        with redis.Redis.from_url(redis_server.url, protocol=2) as client:
            for start in itertools.count(0, 200):
                if client.zcard(f"{prefix}work") < 2000:
                    client.zadd(f"{prefix}work", {b"x%011d\xc1" % n: time.time() for n in range(start, start + 200)})
                if over.wait(0.005):
                    break

    flooding = threading.Thread(target=flood)
    flooding.start()
    command = [*MODULE, "--layer-url", redis_server.url, "--prefix", prefix, "--only-channels", "work"]
    command += ["--routing", "tests.support.workers.consumers.routing", "--pool", pool, "--shutdown-timeout", "10"]
    try:
        with WorkerProcess(command, tmp_path, env=notes.env) as worker:
            eventually(lambda: "cannot be decoded" in worker.log, timeout=20)
            layer.send("work", {"n": 1})
            eventually(lambda: notes["done"] == ["1"], timeout=20)
            worker.signal(signal.SIGTERM)
            assert worker.wait() == 0, worker.log
            assert worker.log.count("cannot be decoded") <= 3  # with their number, not a line for each
    finally:
        over.set()
        flooding.join()
