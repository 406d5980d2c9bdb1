"""How a worker ends: by a signal or without one, in time or not, with what runs and what fails meanwhile."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.waiting import eventually
from tests.support.workers.fakes import Consumer, QueueLayer, queue_layer  # noqa: F401  a fixture
from workers import Worker
from workers.runtime.hooks import LifecycleHook
from workers.runtime.pool import Pool
from workers.runtime.stopping import ExitCode

TERM = signal.SIGTERM


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
    assert "Listening on 1 channel (a) with 2 slots" in caplog.text
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
    assert "fakes.Consumer with a message on channel 'a'" in caplog.text


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
    assert "fakes.Consumer with a message on channel 'a'" in caplog.text
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
    assert worker.shutdown.began_at is not None
    assert worker.shutdown.began_at >= quieted  # the shutdown timeout is not used up before
    assert consumer.ran == []
    assert len(layer.waiting) == 1


def test_quiet_from_another_thread_ends_run(layer: QueueLayer, consumer: Consumer, during_run: Any) -> None:
    worker = Worker(layer, {"a": consumer})

    def script() -> None:
        eventually(lambda: layer.receiving)
        worker.quiet()

    during_run(script)
    assert worker.run() == ExitCode.CLEAN


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

    class Failure(LifecycleHook):
        def check(self, worker: Worker) -> str | None:
            layer.fail_with = LookupError("a bug")
            layer.unblock()
            assert pool.told.wait(10)
            worker.quiet()
            return None

    assert Worker(layer, {"a": consumer}, pool=pool, hooks=[Failure()]).run() == ExitCode.CLEAN
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
