"""Probes of worker processes by ``asgi-redis health``: alive, and ready."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from asgi_redis import RedisChannelLayer
from asgi_redis.embedded import RedisServer
from asgi_redis.process.heartbeat import beat, fault
from tests.support.waiting import eventually
from tests.support.workers.processes import MODULE, ROOT, Notes, WorkerProcess

pytestmark = [pytest.mark.native("processes and signals of the system"), pytest.mark.timeout(180)]

Start = Callable[..., WorkerProcess]

MAX_AGE_SECONDS = 2  # of a heartbeat; a worker has one each second


@pytest.fixture
def path(tmp_path: Path) -> str:
    """The heartbeat file, on which an earlier worker was ready."""
    path = str(tmp_path / "heartbeat")
    beat(path, ready=True)
    return path


@pytest.fixture
def start(path: str, prefix: str, tmp_path: Path) -> Iterator[Start]:
    """Starts a worker with that file: ``start(server, *flags)``."""
    started: list[WorkerProcess] = []

    def start(server: RedisServer, *flags: str) -> WorkerProcess:
        command = [*MODULE, "--layer-url", server.url, "--prefix", prefix, "--heartbeat-file", path, *flags]
        env = Notes(server.url, f"{prefix}-notes").env
        routing = [] if "--routing" in flags else ["--routing", "tests.support.workers.consumers.routing"]
        started.append(WorkerProcess([*command, *routing], tmp_path, env=env))
        return started[-1]

    yield start
    for worker in started:
        if worker.running:
            worker.signal(signal.SIGCONT)
            worker.signal(signal.SIGTERM)
            worker.wait()


def probe(path: str, *flags: str) -> tuple[int, str]:
    """Returns the exit code of the command, and what it says."""
    health = ["health", "--heartbeat", path, "--max-age", str(MAX_AGE_SECONDS), *flags]
    command = [sys.executable, "-m", "asgi_redis", *health]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.stdout == ""
    return ended.returncode, ended.stderr


def is_alive(path: str, max_age: float = 20) -> bool:
    return fault(path, max_age) is None


def is_ready(path: str) -> bool:
    return fault(path, 20, ready=True) is None


@pytest.mark.parametrize(
    "flags",
    [
        ["--threads", "1"],
        pytest.param(["--pool", "gevent"], marks=pytest.mark.soak),
        pytest.param(["--processes", "2"], marks=pytest.mark.soak),
    ],
    ids=" ".join,
)
def test_a_worker_is_ready_while_redis_answers_and_alive_also_without(
    start: Start, fresh_redis_server: RedisServer, path: str, flags: list[str]
) -> None:
    fresh_redis_server.stop()
    worker = start(fresh_redis_server, *flags)
    eventually(lambda: "does not serve messages" in worker.log, timeout=50)
    assert probe(path, "--max-age", "20", "--ready") == (
        1,
        f"asgi-redis: {path} has a heartbeat, but does not say ready\n",
    )
    for _ in range(2):
        assert is_alive(path)
        assert not is_ready(path)
        fresh_redis_server.start()
        eventually(lambda: is_ready(path), timeout=50)
        assert probe(path, "--max-age", "20", "--ready") == (0, "")
        fresh_redis_server.stop()
        eventually(lambda: not is_ready(path))
    worker.stop()


def test_a_worker_that_is_stopped_in_its_tracks_turns_the_probe_red_until_it_goes_on(
    start: Start, redis_server: RedisServer, path: str
) -> None:
    worker = start(redis_server)
    worker.listens()
    eventually(lambda: is_ready(path), timeout=50)
    worker.signal(signal.SIGSTOP)
    eventually(lambda: not is_alive(path, MAX_AGE_SECONDS))
    code, said = probe(path)
    assert code == 1
    assert said.startswith(f"asgi-redis: the last heartbeat in {path} is ")
    assert said.count("\n") == 1
    worker.signal(signal.SIGCONT)
    eventually(lambda: is_alive(path, MAX_AGE_SECONDS) and is_ready(path))
    assert probe(path, "--max-age", "20", "--ready") == (0, "")
    worker.stop()


def test_a_worker_that_stops_is_ready_no_more(start: Start, redis_server: RedisServer, path: str) -> None:
    worker = start(redis_server)
    worker.listens()
    eventually(lambda: is_ready(path), timeout=50)
    worker.stop()
    assert not is_ready(path)


@pytest.mark.parametrize("pool", ["thread", pytest.param("gevent", marks=pytest.mark.soak)])
def test_a_worker_turns_red_while_no_slot_becomes_free_and_green_when_one_does(
    start: Start, redis_server: RedisServer, layer: RedisChannelLayer, notes: Notes, path: str, pool: str
) -> None:
    if pool == "gevent":
        pytest.importorskip("gevent")
    flags = ["--pool", pool, "--concurrency", "2", "--stuck-timeout", "1"]
    worker = start(redis_server, *flags, "--routing", "tests.support.workers.operations.routing")
    worker.listens()
    for n in range(2):
        layer.send("linger", {"n": n})
    eventually(lambda: len(notes["started"]) == 2)
    eventually(lambda: not is_alive(path, MAX_AGE_SECONDS))
    assert probe(path)[0] == 1
    assert worker.log.count("Stuck: no slot has become free for 1 s; in progress: ") == 1
    assert len(re.findall(r"operations\.linger_here on channel 'linger' for \d+\.\d", worker.log)) == 2
    notes.go()
    eventually(lambda: is_alive(path, MAX_AGE_SECONDS) and is_ready(path))
    assert probe(path, "--max-age", "20", "--ready") == (0, "")
    assert worker.log.count("No longer stuck") == 1
    worker.stop()


def test_of_several_processes_the_stuck_one_is_replaced_and_the_probe_stays_green(
    start: Start, redis_server: RedisServer, layer: RedisChannelLayer, notes: Notes, path: str
) -> None:
    flags = ["--processes", "2", "--stuck-timeout", "1", "--shutdown-timeout", "0.5"]
    worker = start(redis_server, *flags, "--routing", "tests.support.workers.operations.routing")
    eventually(lambda: worker.log.count("Listening on") == 2, timeout=50)
    layer.send("linger", {"n": 1})
    eventually(lambda: "is stuck: it is stopped, and another takes its place" in worker.log)
    eventually(lambda: worker.log.count("Listening on") == 3, timeout=50)
    assert "Left behind after" in worker.log
    assert "has died" not in worker.log
    eventually(lambda: is_ready(path), timeout=50)
    assert probe(path, "--max-age", "20", "--ready") == (0, "")
    layer.send("work", {"n": 2})
    eventually(lambda: notes["done"] == ["2"])
    worker.stop()
