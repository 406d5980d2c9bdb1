"""``python -m workers`` as a process, on a real Redis."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from asgi_redis import RedisChannelLayer
from asgi_redis.embedded import RedisServer
from tests.support.waiting import eventually
from tests.support.workers.processes import MODULE, Notes, WorkerProcess

RUNWORKER = [str(Path(sys.executable).parent / "runworker")]

SOAK = pytest.mark.soak

Start = Callable[..., WorkerProcess]


@pytest.fixture
def start(redis_server: RedisServer, prefix: str, notes: Notes, tmp_path: Path) -> Iterator[Start]:
    """Starts a worker with more flags, and returns it when it listens."""
    started: list[WorkerProcess] = []

    def start(*flags: str) -> WorkerProcess:
        connection = ["--layer-url", redis_server.url, "--prefix", prefix]
        routing = ["--routing", "tests.support.workers.consumers.routing"]
        started.append(WorkerProcess([*MODULE, *connection, *routing, *flags], tmp_path, env=notes.env))
        started[-1].listens()
        return started[-1]

    yield start
    for worker in started:
        worker.__exit__()


def left_in(layer: RedisChannelLayer, channel: str) -> list[int]:
    return sorted(content["n"] for _, content in layer.receive_batch([channel], 10_000))


def test_it_says_what_it_listens_on_and_runs_messages_without_django(
    start: Start, layer: RedisChannelLayer, notes: Notes, redis_server: RedisServer
) -> None:
    worker = start("--threads", "3")
    layer.send("work", {"n": 1})
    layer.send("modules", {})
    eventually(lambda: notes["done"] == ["1"] and notes["django"] == ["False"])
    listening = next(line for line in worker.log.splitlines() if "Listening" in line)
    assert "asgi.delay, fail, hold, later, modules, number, reply, work" in listening
    assert "3 slots" in listening
    assert str(redis_server.port) in listening
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0
    assert "Traceback" not in worker.log


@pytest.mark.parametrize(
    "command",
    [pytest.param(MODULE, id="python -m workers", marks=SOAK), pytest.param(RUNWORKER, id="runworker")],
)
def test_greenlets_run_side_by_side(
    command: list[str], layer: RedisChannelLayer, notes: Notes, redis_server: RedisServer, prefix: str, tmp_path: Path
) -> None:
    pytest.importorskip("gevent")
    connection = [
        "--layer-url",
        redis_server.url,
        "--prefix",
        prefix,
        "--routing",
        "tests.support.workers.consumers.routing",
    ]
    for n in range(100):
        layer.send("work", {"n": n, "seconds": 0.5})
    with WorkerProcess([*command, *connection, "--pool", "gevent"], tmp_path, env=notes.env) as worker:
        eventually(lambda: len(notes["started"]) == 100)
        before = time.monotonic()
        eventually(lambda: len(notes["done"]) == 100)
        assert time.monotonic() - before < 10  # one after the other it would be 50 s
        assert "with 100 slots" in worker.log
        worker.signal(signal.SIGTERM)
        assert worker.wait() == 0, worker.log
        assert "Traceback" not in worker.log


@pytest.mark.parametrize(
    ("number", "after"),
    [
        (signal.SIGTERM, 7),
        (signal.SIGINT, 60),
        *[pytest.param(signal.SIGTERM, after, marks=SOAK) for after in (0, 60)],
        *[pytest.param(signal.SIGINT, after, marks=SOAK) for after in (0, 7)],
    ],
)
def test_a_signal_under_load_loses_and_repeats_nothing(
    start: Start, layer: RedisChannelLayer, notes: Notes, number: int, after: int
) -> None:
    sent = 400
    for n in range(sent):
        layer.send("work", {"n": n, "seconds": 0.005})
    worker = start("--threads", "4")
    eventually(lambda: len(notes["done"]) >= after)
    worker.signal(number)
    assert worker.wait() == 0, worker.log
    assert notes.numbers("started") == notes.numbers("done")
    left = left_in(layer, "work")
    assert sorted(notes.numbers("done") + left) == list(range(sent))
    assert left


def test_an_idle_worker_stops_at_once(start: Start, layer: RedisChannelLayer, notes: Notes) -> None:
    worker = start()
    layer.send("work", {"n": 1})
    eventually(lambda: notes["done"])
    before = time.monotonic()
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0
    assert time.monotonic() - before < 1.5  # it waits 2 s for a message, unless the stop ends that


def test_a_signal_that_comes_again_while_it_ends_changes_nothing(start: Start, layer: RedisChannelLayer) -> None:
    worker = start()
    while worker.running:
        worker.signal(signal.SIGINT)
    assert worker.wait() == 0, worker.log
    assert "Traceback" not in worker.log


def test_with_its_slot_busy_messages_stay_in_redis(start: Start, layer: RedisChannelLayer, notes: Notes) -> None:
    start("--threads", "1")
    layer.send("hold", {"n": 0})
    eventually(lambda: notes["started"] == ["0"])
    for n in range(1, 6):
        layer.send("work", {"n": n})
    assert layer.channel_statistics("work")["messages_pending"] == 5
    notes.go()
    eventually(lambda: len(notes["done"]) == 6)
    assert notes["done"] == ["0", "1", "2", "3", "4", "5"]


def test_the_running_consumer_is_waited_for(start: Start, layer: RedisChannelLayer, notes: Notes) -> None:
    worker = start()
    layer.send("hold", {"n": 0})
    eventually(lambda: notes["started"])
    worker.signal(signal.SIGTERM)
    eventually(lambda: "stopping; 1 consumers run" in worker.log)
    layer.send("work", {"n": 1})
    notes.go()
    assert worker.wait() == 0
    assert notes["done"] == ["0"]
    assert left_in(layer, "work") == [1]


def test_past_the_shutdown_timeout_it_exits_with_3(start: Start, layer: RedisChannelLayer, notes: Notes) -> None:
    worker = start("--shutdown-timeout", "0.2")
    layer.send("hold", {"n": 0})
    eventually(lambda: notes["started"])
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 3
    assert "Not stopped within 0.2 s" in worker.log
    assert "consumer tests.support.workers.consumers.hold with a message on channel 'hold'" in worker.log


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), pytest.param(signal.SIGINT, 130, marks=SOAK)])
def test_a_second_signal_kills(start: Start, layer: RedisChannelLayer, notes: Notes, number: int, code: int) -> None:
    worker = start()
    layer.send("hold", {"n": 0})
    eventually(lambda: notes["started"])
    worker.signal(number)
    eventually(lambda: "stopping" in worker.log)
    noticed = time.monotonic()
    eventually(lambda: time.monotonic() - noticed > 1)  # before that it is the same signal
    worker.signal(number)
    assert worker.wait(5) == code
    assert notes["done"] == []


def test_without_grace_the_running_consumer_is_left(start: Start, layer: RedisChannelLayer, notes: Notes) -> None:
    worker = start("--disable-graceful-stop")
    layer.send("hold", {"n": 0})
    eventually(lambda: notes["started"])
    worker.signal(signal.SIGTERM)
    assert worker.wait(5) == 0
    assert notes["done"] == []


def test_what_consumers_raise_does_not_end_it(start: Start, layer: RedisChannelLayer, notes: Notes) -> None:
    worker = start()
    for n, kind in enumerate(["value", "exit", "keyboard"]):
        layer.send("fail", {"n": n, "kind": kind, "secret": "hunter2"})
    layer.send("number", {"n": "matches no route", "secret": "hunter2"})
    eventually(lambda: len(notes["started"]) == 3)
    layer.send("work", {"n": 9})
    eventually(lambda: notes["done"] == ["9"])
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0
    for name in ("ValueError", "SystemExit", "KeyboardInterrupt"):
        assert f"{name}: failed" in worker.log
    assert "Error in consumer tests.support.workers.consumers.fail with a message on channel 'fail'" in worker.log
    eventually(lambda: "No route for a message on channel 'number'" in worker.log)
    assert "hunter2" not in worker.log


def test_consume_later_comes_back_ten_times(start: Start, layer: RedisChannelLayer, notes: Notes) -> None:
    worker = start("--threads", "2")
    layer.send("later", {})
    eventually(lambda: "postponed 10 times" in worker.log)
    assert notes["later"] == [str(retries) for retries in range(11)]


def test_channels_and_groups_without_a_layer_are_on_the_workers_own(
    start: Start, layer: RedisChannelLayer, notes: Notes
) -> None:
    start()
    layer.group_add("chat", "member")
    layer.send("reply", {"n": 5})
    for channel in ("answers", "member"):
        assert eventually(lambda channel=channel: layer.receive([channel])[1]) == {"n": 5}  # type: ignore[misc]


def test_globs_leave_channels_to_other_workers(start: Start, layer: RedisChannelLayer, notes: Notes) -> None:
    worker = start("--only-channels", "wo*", "--only-channels", "modules", "--exclude-channels", "mod*")
    assert "1 channel (work)" in worker.log
    layer.send("reply", {"n": 1})
    layer.send("work", {"n": 2})
    eventually(lambda: notes["done"] == ["2"])
    assert left_in(layer, "reply") == [1]


def test_shards_are_all_served(
    three_redis_servers: list[RedisServer], notes: Notes, prefix: str, tmp_path: Path
) -> None:
    urls = [server.url for server in three_redis_servers]
    flags = [flag for url in urls for flag in ("--layer-url", url)]
    command = [*MODULE, *flags, "--prefix", prefix, "--routing", "tests.support.workers.consumers.routing"]
    layer = RedisChannelLayer(hosts=urls, prefix=prefix)
    with layer, WorkerProcess([*command, "--threads", "2"], tmp_path, env=notes.env) as worker:
        for n in range(12):
            layer.send("work", {"n": n})
        eventually(lambda: notes.numbers("done") == list(range(12)))
        worker.signal(signal.SIGTERM)
        assert worker.wait() == 0
