"""A worker as an object; what its process does with signals and a real Redis is in test_cli.py."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from asgi_redis import RedisChannelLayer
from asgi_redis.exceptions import UnsupportedRedis
from tests.waiting import eventually
from tests.workers.fakes import QueueLayer
from workers import Worker, route, signals
from workers.duties import Duty
from workers.exceptions import ConfigurationError
from workers.losses import MOST
from workers.message import Message
from workers.pool import Pool
from workers.routing import Router
from workers.signals import worker_process_ready, worker_ready
from workers.worker import ExitCode

TERM = signal.SIGTERM


@pytest.fixture
def layer() -> QueueLayer:
    return QueueLayer()


class Consumer:
    """Waits for ``may_end`` with each message."""

    def __init__(self) -> None:
        self.ran: list[Any] = []
        self.ended: list[Any] = []
        self.may_end = threading.Event()

    def __call__(self, message: Message) -> None:
        self.ran.append(message["n"])
        self.may_end.wait(10)
        self.ended.append(message["n"])


@pytest.fixture
def consumer() -> Iterator[Consumer]:
    consumer = Consumer()
    yield consumer
    consumer.may_end.set()


@pytest.fixture
def during_run() -> Iterator[Callable[[Callable[[], None]], None]]:
    """Runs a function in a thread while the test's main thread is in ``Worker.run``."""
    threads: list[threading.Thread] = []

    def during(script: Callable[[], None]) -> None:
        threads.append(threading.Thread(target=script))
        threads[-1].start()

    yield during
    for thread in threads:
        thread.join()


def send_signal(number: int) -> None:
    os.kill(os.getpid(), number)


def test_it_serves_until_a_signal_and_finishes_what_runs(
    layer: QueueLayer, consumer: Consumer, during_run: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    worker = Worker(layer, {"a": consumer}, pool=Pool(2))
    for n in range(3):
        layer.put("a", n=n)

    def script() -> None:
        eventually(lambda: len(consumer.ran) == 2)
        assert worker.busy
        send_signal(TERM)
        eventually(lambda: "stopping" in caplog.text)
        consumer.may_end.set()

    during_run(script)
    assert worker.run() == ExitCode.CLEAN
    assert sorted(consumer.ended) == [0, 1]
    assert [content["n"] for _, content in layer.waiting] == [2]
    assert not worker.busy
    assert "Listening on 1 channels (a) with 2 slots" in caplog.text
    assert "2 messages done, 0 of them failed" in caplog.text


def test_two_signals_within_a_second_are_one_and_a_later_one_kills(
    layer: QueueLayer, consumer: Consumer, during_run: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    worker = Worker(layer, {"a": consumer})
    layer.put("a", n=1)
    at: list[float] = []

    def script() -> None:
        eventually(lambda: consumer.ran)
        send_signal(TERM)
        send_signal(TERM)
        send_signal(signal.SIGINT)
        eventually(lambda: "stopping; 1 consumers" in caplog.text)
        at.append(time.monotonic())
        # Until the first one is a second old, every further one is the same.
        eventually(lambda: time.monotonic() - at[0] > 1.01)
        assert "again" not in caplog.text
        send_signal(signal.SIGINT)

    during_run(script)
    assert worker.run() == 128 + signal.SIGINT
    assert time.monotonic() - at[0] < 3
    assert worker.busy
    assert "Left behind after 1." in caplog.text
    assert caplog.text.count("Left behind after") == 1
    assert "test_worker.Consumer with a message on channel a" in caplog.text


def test_past_the_shutdown_timeout_it_says_what_runs_and_leaves(
    layer: QueueLayer, consumer: Consumer, during_run: Any, caplog: pytest.LogCaptureFixture
) -> None:
    worker = Worker(layer, {"a": consumer}, shutdown_timeout=0.1)
    layer.put("a", n=1)

    def script() -> None:
        eventually(lambda: consumer.ran)
        send_signal(TERM)

    during_run(script)
    assert worker.run() == ExitCode.TIMED_OUT
    assert worker.busy
    assert "Not stopped within 0.1 s" in caplog.text
    assert "Left behind after" in caplog.text


def test_without_grace_running_consumers_are_logged_and_not_waited_for(
    layer: QueueLayer, consumer: Consumer, during_run: Any, caplog: pytest.LogCaptureFixture
) -> None:
    worker = Worker(layer, {"a": consumer}, graceful=False)
    layer.put("a", n=1)

    def script() -> None:
        eventually(lambda: consumer.ran)
        send_signal(TERM)

    during_run(script)
    assert worker.run() == ExitCode.CLEAN
    assert worker.busy
    assert "test_worker.Consumer with a message on channel a" in caplog.text
    assert caplog.text.count("Left behind after") == 1


@pytest.mark.native("it looks at native threads")
def test_without_grace_free_slots_end(layer: QueueLayer, consumer: Consumer) -> None:
    pool = Pool(3)
    before = set(threading.enumerate())
    worker = Worker(layer, {"a": consumer}, pool=pool, graceful=False)
    worker.quiet()
    assert worker.run() == ExitCode.CLEAN
    eventually(lambda: set(threading.enumerate()) <= before)


def test_quiet_before_run_is_not_lost(layer: QueueLayer, consumer: Consumer) -> None:
    worker = Worker(layer, {"a": consumer})
    layer.put("a", n=1)
    worker.quiet()
    quieted = time.monotonic()
    assert worker.run() == ExitCode.CLEAN
    assert worker.stopped_at is not None
    assert worker.stopped_at >= quieted  # the shutdown timeout is not used up before
    assert consumer.ran == []
    assert len(layer.waiting) == 1


def test_quiet_from_another_thread_ends_run(layer: QueueLayer, consumer: Consumer, during_run: Any) -> None:
    worker = Worker(layer, {"a": consumer})

    def script() -> None:
        eventually(lambda: layer.receiving)
        worker.quiet()

    during_run(script)
    assert worker.run() == ExitCode.CLEAN


def test_pulling_that_fails_is_taken_up_again(
    layer: QueueLayer, consumer: Consumer, during_run: Any, caplog: pytest.LogCaptureFixture
) -> None:
    worker = Worker(layer, {"a": consumer}, pool=Pool(2))
    consumer.may_end.set()

    def script() -> None:
        eventually(lambda: layer.receiving)
        layer.fail_once = True
        layer.fail_with = LookupError("a bug")
        layer.unblock()
        eventually(lambda: "a bug" in caplog.text)
        layer.put("a", n=1)
        eventually(lambda: consumer.ended == [1])
        worker.quiet()

    during_run(script)
    assert worker.run() == ExitCode.CLEAN
    assert "it goes on" in caplog.text


class TellingPool(Pool):
    """``told`` is set once whoever started it knows that fetching has ended."""

    def __init__(self) -> None:
        super().__init__(1)
        self.told = threading.Event()

    def start(self, fetch: Any, on_end: Callable[[BaseException | None], None]) -> None:
        def tell(failure: BaseException | None) -> None:
            on_end(failure)
            self.told.set()

        super().start(fetch, tell)


def test_pulling_that_fails_just_before_a_stop_is_logged_and_not_taken_up_again(
    layer: QueueLayer, consumer: Consumer, caplog: pytest.LogCaptureFixture
) -> None:
    pool = TellingPool()

    class Failure(Duty):
        def check(self, worker: Worker) -> str | None:
            layer.fail_with = LookupError("a bug")
            layer.unblock()
            assert pool.told.wait(10)
            worker.quiet()
            return None

    assert Worker(layer, {"a": consumer}, pool=pool, duties=[Failure()]).run() == ExitCode.CLEAN
    assert caplog.text.count("LookupError: a bug") == 1
    assert "during the stop" in caplog.text
    assert "it goes on" not in caplog.text


class StruckLayer(QueueLayer):
    """One whose receive raises when it is ended from outside."""

    def __init__(self) -> None:
        super().__init__()
        self.struck = False

    def receive_batch(self, *arguments: Any, **options: Any) -> list[Any]:
        received = super().receive_batch(*arguments, **options)
        if self.struck:
            raise LookupError("a bug")
        return received

    def unblock(self) -> None:
        self.struck = True
        super().unblock()


@pytest.mark.parametrize("while_it_runs", [True, False])
def test_pulling_that_fails_during_a_stop_is_logged(
    consumer: Consumer, during_run: Any, caplog: pytest.LogCaptureFixture, while_it_runs: bool
) -> None:
    """Both while a consumer is waited for and with nothing to wait for."""
    layer = StruckLayer()
    worker = Worker(layer, {"a": consumer}, pool=Pool(2))
    layer.put("a", n=1)

    def script() -> None:
        eventually(lambda: consumer.ran and layer.receiving)
        if while_it_runs:
            send_signal(TERM)
            eventually(lambda: "a bug" in caplog.text)
            consumer.may_end.set()
        else:
            consumer.may_end.set()
            eventually(lambda: not worker.busy)
            send_signal(TERM)

    during_run(script)
    assert worker.run() == ExitCode.CLEAN
    assert consumer.ended == [1]
    assert caplog.text.count("LookupError: a bug") == 1


@pytest.mark.native("it raises an exception into a native thread")
def test_threads_that_are_struck_again_and_again_end_run(
    layer: QueueLayer, consumer: Consumer, during_run: Any, caplog: pytest.LogCaptureFixture
) -> None:
    pool = Pool(1)
    worker = Worker(layer, {"a": consumer}, pool=pool)
    consumer.may_end.set()
    threads: list[threading.Thread] = []
    signals.consumer_started.connect(lambda **_: threads.append(threading.current_thread()), dispatch_uid="here")

    def script() -> None:
        for n in range(MOST):
            layer.put("a", n=n)
            eventually(lambda n=n: len(consumer.ended) == n + 1 and layer.receiving)
            ident = ctypes.c_ulong(threads[-1].ident or 0)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, ctypes.py_object(SystemExit))
        layer.put("a", n=MOST)

    during_run(script)
    assert worker.run() == ExitCode.FAILED
    signals.consumer_started.disconnect(dispatch_uid="here")
    assert "again and again" in caplog.text


def test_an_error_of_the_layer_that_lasts_ends_run(
    layer: QueueLayer, consumer: Consumer, caplog: pytest.LogCaptureFixture
) -> None:
    layer.fail_with = UnsupportedRedis("Redis 4.0 lacks a command")
    assert Worker(layer, {"a": consumer}).run() == ExitCode.FAILED
    assert caplog.text.count("Redis 4.0 lacks a command") == 1
    assert "Traceback" not in caplog.text


def test_duties_are_seen_after_and_may_end_run(layer: QueueLayer, consumer: Consumer) -> None:
    calls: list[str] = []

    class Patience(Duty):
        def start(self, worker: Worker) -> None:
            assert not layer.limits
            calls.append("start")

        def check(self, worker: Worker) -> str | None:
            calls.append("check")
            return "enough" if calls.count("check") == 2 else None

        def quiet(self) -> None:
            calls.append("quiet")

        def stop(self) -> None:
            calls.append("stop")

    assert Worker(layer, {"a": consumer}, duties=[Patience()]).run() == ExitCode.CLEAN
    assert calls == ["start", "check", "check", "quiet", "stop"]


def test_a_burst_ends_run_when_the_channels_are_empty(layer: QueueLayer, consumer: Consumer) -> None:
    consumer.may_end.set()
    for n in range(3):
        layer.put("a", n=n)
    assert Worker(layer, {"a": consumer}, burst=True).run() == ExitCode.CLEAN
    assert consumer.ended == [0, 1, 2]


def test_pulling_that_keeps_failing_ends_run_after_what_runs(
    layer: QueueLayer, consumer: Consumer, during_run: Any, caplog: pytest.LogCaptureFixture
) -> None:
    worker = Worker(layer, {"a": consumer}, pool=Pool(2))
    layer.put("a", n=1)

    def script() -> None:
        eventually(lambda: consumer.ran and layer.receiving)
        layer.fail_with = LookupError("a bug")
        layer.unblock()
        eventually(lambda: "a bug" in caplog.text)
        consumer.may_end.set()

    during_run(script)
    assert worker.run() == ExitCode.FAILED
    assert consumer.ended == [1]


def test_it_can_be_started_and_stopped_without_run(layer: QueueLayer, consumer: Consumer) -> None:
    worker = Worker(layer, {"a": consumer})
    worker.start()
    layer.put("a", n=1)
    eventually(lambda: consumer.ran)
    worker.quiet()
    assert not worker.stop(time.monotonic() + 0.05)
    consumer.may_end.set()
    assert worker.stop(time.monotonic() + 5)


def test_the_ready_signals_come_before_the_first_message(layer: QueueLayer, consumer: Consumer) -> None:
    seen: list[tuple[str, object, list[Any]]] = []

    def process_ready(sender: Any, **_: Any) -> None:
        seen.append(("process", sender, list(layer.limits)))

    def ready(sender: Any, **_: Any) -> None:
        seen.append(("worker", sender, list(layer.limits)))

    worker = Worker(layer, {"a": consumer})
    worker_process_ready.connect(process_ready)
    worker_ready.connect(ready)
    worker.quiet()
    worker.run()
    worker_process_ready.disconnect(process_ready)
    worker_ready.disconnect(ready)
    assert seen == [("process", worker, []), ("worker", worker, [])]


def test_globs_choose_the_channels(layer: QueueLayer, consumer: Consumer) -> None:
    router = Router([route(["http.request", "websocket.connect", "websocket.receive", "mail"], consumer)])
    only = Worker(layer, router, only_channels=["websocket.*", "mail"])
    assert only.channels == ["mail", "websocket.connect", "websocket.receive"]
    without = Worker(layer, router, exclude_channels=["websocket.*", "http.*"])
    assert without.channels == ["mail"]
    both = Worker(layer, router, only_channels=["websocket.*"], exclude_channels=["*.connect"])
    assert both.channels == ["websocket.receive"]


def test_a_worker_without_channels_is_refused(layer: QueueLayer, consumer: Consumer) -> None:
    with pytest.raises(ConfigurationError, match="no channels"):
        Worker(layer, {"a": consumer}, only_channels=["b"])
    with pytest.raises(ConfigurationError, match="no channels"):
        Worker(layer, [])


def test_a_layer_that_keeps_delayed_messages_has_them_delivered(redis_server: Any, prefix: str) -> None:
    ran: list[Any] = []
    with RedisChannelLayer(hosts=[redis_server.url], prefix=prefix) as real:
        worker = Worker(real, {"a": lambda message: ran.append(message["n"])})
        assert worker.channels == ["a", "asgi.delay"]
        worker.start()
        for n, delay in ((2, 200), (1, 100)):
            real.send("asgi.delay", {"channel": "a", "content": {"n": n}, "delay": delay})
        eventually(lambda: ran == [1, 2])
        worker.quiet()
        assert worker.stop(time.monotonic() + 5)
