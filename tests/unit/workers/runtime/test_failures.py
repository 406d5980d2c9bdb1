"""What fails beneath a worker: it goes on, unless that lasts."""

from __future__ import annotations

import ctypes
import threading
from typing import Any

import pytest

from asgi_redis.exceptions import UnsupportedRedis
from tests.support.waiting import eventually
from tests.support.workers.fakes import Consumer, QueueLayer, queue_layer  # noqa: F401  a fixture
from workers import Worker, signals
from workers.runtime.crashes import MAX_CRASHES
from workers.runtime.pool import Pool
from workers.worker import ExitCode


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
        for n in range(MAX_CRASHES):
            layer.put("a", n=n)
            eventually(lambda n=n: len(consumer.ended) == n + 1 and layer.receiving)
            ident = ctypes.c_ulong(threads[-1].ident or 0)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, ctypes.py_object(SystemExit))
        layer.put("a", n=MAX_CRASHES)

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
