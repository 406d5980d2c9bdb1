"""The end of a worker's process, where something else holds it up, and of those that its consumers start."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from asgi_redis import RedisChannelLayer
from asgi_redis.embedded import RedisServer
from tests.support.waiting import eventually
from tests.support.workers.processes import MODULE, Notes, WorkerProcess

# What the way out may take is five seconds at least; here it is less.
HURRIED = """
import sys
from workers import __main__
from workers.runtime import stopping
stopping.EXIT_SECONDS = 0.1
sys.exit(__main__.main())
"""

Start = Callable[..., WorkerProcess]


@pytest.fixture
def start(redis_server: RedisServer, prefix: str, notes: Notes, tmp_path: Path) -> Iterator[Start]:
    """Starts a worker by this command, and returns it when it listens."""
    started: list[WorkerProcess] = []

    def start(*flags: str, command: list[str] = MODULE) -> WorkerProcess:
        connection = ["--layer-url", redis_server.url, "--prefix", prefix]
        routing = ["--routing", "tests.support.workers.lasting.routing"]
        started.append(WorkerProcess([*command, *connection, *routing, *flags], tmp_path, env=notes.env))
        started[-1].listens()
        return started[-1]

    yield start
    for worker in started:
        worker.__exit__()


@pytest.mark.parametrize("ended_by", ["SIGTERM", "--max-messages"])
def test_threads_that_the_interpreter_waits_for_have_until_the_timeout(
    start: Start, layer: RedisChannelLayer, notes: Notes, ended_by: str
) -> None:
    flags = ["--max-messages", "1"] if ended_by == "--max-messages" else []
    worker = start("--shutdown-timeout", "0.2", *flags, command=[sys.executable, "-c", HURRIED])
    layer.send("leave", {"n": 1})
    eventually(lambda: notes["done"] == ["1"])
    if ended_by == "SIGTERM":
        worker.signal(signal.SIGTERM)
    assert worker.wait(10) == 3, worker.log
    assert "Stopped; 1 message" in worker.log
    assert "the process ends with exit code 3" in worker.log


def test_they_are_waited_for_within_it(start: Start, layer: RedisChannelLayer, notes: Notes) -> None:
    worker = start(command=[sys.executable, "-c", HURRIED])
    layer.send("leave", {"n": 1})
    eventually(lambda: notes["done"] == ["1"])
    worker.signal(signal.SIGTERM)
    eventually(lambda: "Stopped; 1 message" in worker.log)
    notes.go()
    assert worker.wait(10) == 0, worker.log


def test_the_exit_code_is_right_without_a_standard_output(
    start: Start, layer: RedisChannelLayer, notes: Notes
) -> None:
    worker = start("--shutdown-timeout", "0.2", command=["sh", "-c", 'exec "$@" >&-', "sh", *MODULE])
    layer.send("hold", {"n": 1})
    eventually(lambda: notes["started"])
    worker.signal(signal.SIGTERM)
    assert worker.wait(10) == 3, worker.log


@pytest.mark.parametrize("flags", [[], ["--threads", "4"], ["--burst"]])
def test_without_any_time_to_stop_a_worker_with_nothing_to_do_ends_in_good_order(
    start: Start, flags: list[str]
) -> None:
    worker = start("--shutdown-timeout", "0", *flags)
    if "--burst" not in flags:
        worker.signal(signal.SIGTERM)
    assert worker.wait(10) == 0, worker.log


def test_a_process_that_a_consumer_has_forked_ends_on_sigterm(
    start: Start, layer: RedisChannelLayer, notes: Notes
) -> None:
    start()
    layer.send("terminate", {})
    eventually(lambda: notes["done"] == [str(-signal.SIGTERM)])
