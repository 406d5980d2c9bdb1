from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from asgi_redis import RedisChannelLayer
from asgi_redis.embedded import RedisServer
from tests.support.waiting import eventually
from tests.support.workers.processes import MODULE, ROOT, Notes, WorkerProcess
from workers.runtime.stopping import SAME_SIGNAL_SECONDS, Shutdown


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_recorded_and_begins_the_stop(number: int) -> None:
    woken: list[None] = []
    before = time.monotonic()
    with Shutdown(lambda: woken.append(None)) as shutdown:
        os.kill(os.getpid(), number)
        eventually(lambda: woken)
        began_at = shutdown.began_at
        os.kill(os.getpid(), number)
        eventually(lambda: len(woken) == 2)
    assert shutdown.signal == number
    assert shutdown.second_signal is None
    assert began_at is not None
    assert before <= began_at <= time.monotonic()
    assert shutdown.began_at == began_at


def test_a_signal_a_second_after_the_first_is_a_second_one() -> None:
    with Shutdown(lambda: None) as shutdown:
        os.kill(os.getpid(), signal.SIGTERM)
        eventually(lambda: time.monotonic() - (shutdown.began_at or 0) >= SAME_SIGNAL_SECONDS)
        os.kill(os.getpid(), signal.SIGINT)
        eventually(lambda: shutdown.second_signal)
    assert (shutdown.signal, shutdown.second_signal) == (signal.SIGTERM, signal.SIGINT)


def test_a_stop_has_one_beginning_and_one_deadline() -> None:
    shutdown = Shutdown(lambda: None, timeout=30)
    deadline = shutdown.begin()
    assert shutdown.begin() == deadline
    assert shutdown.began_at == deadline - 30


def test_the_old_handlers_are_put_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    with Shutdown(lambda: None):
        assert signal.getsignal(signal.SIGTERM) != before[0]
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


def test_outside_the_main_thread_nothing_is_handled() -> None:
    seen = []

    def enter() -> None:
        with Shutdown(lambda: None):
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGTERM)]


HELD = """
import os, signal, sys, threading, time
from workers.runtime import stopping

def report():
    print("reported", flush=True)
    if "hang" in sys.argv:
        threading.Event().wait()

stopping.SAME_SIGNAL_SECONDS = 0
with stopping.Shutdown(lambda: None, float(sys.argv[1]), report) as shutdown:
    if "other code" in sys.argv:
        shutdown.late_code = 1
    shutdown.begin()
    if "signals" in sys.argv:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
    while True:
        pass
"""


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["0.1"], 3), (["0.1", "other code"], 1), (["60", "signals"], 143), (["0.1", "hang"], 3)],
    ids=["past the deadline", "with another code", "by a second signal", "though the report hangs"],
)
def test_a_process_whose_main_thread_is_held_is_ended(arguments: list[str], code: int) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", HELD, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=20
    )
    assert ended.returncode == code, ended.stderr
    assert ended.stdout == "reported\n"
    assert f"ends with exit code {code}" in ended.stderr


OUTLIVING = """
import sys, threading, time
from workers.runtime.stopping import GRACE_SECONDS, Shutdown

def outlive():
    end = time.monotonic() + GRACE_SECONDS + 0.5
    while time.monotonic() < end:
        pass

def watch(within):
    with Shutdown(lambda: None, timeout=0) as shutdown:
        shutdown.begin()
        within()

if "thread" in sys.argv:
    thread = threading.Thread(target=watch, args=(outlive,))
    thread.start()
    thread.join()
else:
    watch(lambda: None)
    outlive()
"""


@pytest.mark.parametrize("where", ["main", "thread"])
def test_no_process_is_ended_once_it_was_left_nor_from_another_thread(where: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", OUTLIVING, where], cwd=ROOT, capture_output=True, text=True, timeout=20
    )
    assert (ended.returncode, ended.stderr) == (0, "")


QUIETING = """
from gevent import monkey
monkey.patch_all()
import sqlite3, sys
from tests.support.workers.fakes import QueueLayer
from workers import Worker

def consumer(message):
    worker.quiet()
    endless = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c"
    sqlite3.connect(":memory:").execute(endless)

layer = QueueLayer()
layer.put("a")
worker = Worker(layer, {"a": consumer}, shutdown_timeout=0.1)
sys.exit(worker.run())
"""


def test_the_shutdown_timeout_holds_when_run_never_learns_of_a_quiet() -> None:
    """The consumer that has called it is in C code, which lets neither greenlets nor signal handlers run."""
    pytest.importorskip("gevent")
    ended = subprocess.run([sys.executable, "-c", QUIETING], cwd=ROOT, capture_output=True, text=True, timeout=20)
    assert ended.returncode == 3, ended.stderr
    assert "Left behind after" in ended.stderr


@pytest.fixture
def start(
    redis_server: RedisServer, prefix: str, notes: Notes, tmp_path: Path
) -> Iterator[Callable[..., WorkerProcess]]:
    """Starts a worker with the gevent pool and more flags, and returns it when it listens."""
    pytest.importorskip("gevent")
    started: list[WorkerProcess] = []

    def start(*flags: str) -> WorkerProcess:
        command = [*MODULE, "--layer-url", redis_server.url, "--prefix", prefix, "--pool", "gevent"]
        routing = ["--routing", "tests.support.workers.holding.routing"]
        started.append(WorkerProcess([*command, *routing, *flags], tmp_path, env=notes.env))
        started[-1].listens()
        return started[-1]

    yield start
    for worker in started:
        worker.__exit__()


def assert_left_behind(worker: WorkerProcess, consumer: str) -> None:
    assert worker.log.count("Something holds the main thread") == 1, worker.log
    assert worker.log.count("Left behind after") == 1
    assert f"consumer tests.support.workers.holding.{consumer} with a message on channel {consumer!r}" in worker.log


@pytest.mark.parametrize("consumer", ["spin", "sleep"])
def test_a_second_signal_kills_a_worker_whose_greenlets_cannot_run(
    start: Callable[..., WorkerProcess], layer: RedisChannelLayer, notes: Notes, consumer: str
) -> None:
    worker = start()
    layer.send(consumer, {"n": 0})
    eventually(lambda: notes["started"])
    worker.signal(signal.SIGTERM)
    signalled = time.monotonic()
    eventually(lambda: time.monotonic() - signalled > SAME_SIGNAL_SECONDS + 0.1)
    assert worker.running
    worker.signal(signal.SIGTERM)
    assert worker.wait(10) == 143, worker.log
    assert_left_behind(worker, consumer)


@pytest.mark.parametrize("consumer", ["spin", "sleep"])
def test_past_the_shutdown_timeout_a_worker_whose_greenlets_cannot_run_exits_with_3(
    start: Callable[..., WorkerProcess], layer: RedisChannelLayer, notes: Notes, consumer: str
) -> None:
    worker = start("--shutdown-timeout", "0.2")
    layer.send(consumer, {"n": 0})
    eventually(lambda: notes["started"])
    worker.signal(signal.SIGTERM)
    assert worker.wait(10) == 3, worker.log
    assert_left_behind(worker, consumer)


def test_with_greenlets_that_run_the_worker_ends_by_itself(
    start: Callable[..., WorkerProcess], layer: RedisChannelLayer, notes: Notes
) -> None:
    worker = start("--shutdown-timeout", "0.2")
    layer.send("hold", {"n": 0})
    eventually(lambda: notes["started"])
    worker.signal(signal.SIGTERM)
    assert worker.wait(10) == 3
    assert "Not stopped within 0.2 s" in worker.log
    assert "Something holds" not in worker.log
    assert worker.log.count("Left behind after") == 1
