"""Errors in what is beside the consumers: the worker finishes what runs, says so, and ends with 4."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.waiting import eventually
from tests.support.workers.fakes import Consumer, Message, QueueLayer, queue_layer  # noqa: F401  a fixture
from workers import Worker, signals
from workers.runtime.crashes import MAX_CRASHES
from workers.runtime.hooks import LifecycleHook
from workers.runtime.pool import Pool
from workers.runtime.stopping import ExitCode

ERRORS = [OSError(24, "Too many open files"), SystemExit(7)]
SIGNALS = ["worker_process_ready", "worker_ready", "consumer_started", "consumer_finished"]


class Fault:
    """Raises ``error`` from the moment on that it has one."""

    def __init__(self) -> None:
        self.error: BaseException | None = None

    def __call__(self, *args: Any, **named: Any) -> None:
        if self.error is not None:
            raise self.error


class Held(Consumer):
    """Waits with the first message only."""

    def __call__(self, message: Message) -> None:
        if message["n"] > 1:
            self.ran.append(message["n"])
            self.ended.append(message["n"])
        else:
            super().__call__(message)


@pytest.fixture
def consumer() -> Iterator[Held]:
    consumer = Held()
    yield consumer
    consumer.may_end.set()


@pytest.fixture
def fault() -> Iterator[Fault]:
    fault = Fault()
    yield fault
    fault.error = None


def runs_and_fails(
    worker: Worker, layer: QueueLayer, consumer: Consumer, fault: Any, error: Any, during_run: Any
) -> None:
    """Runs a worker of two slots; ``fault`` comes while a message is in progress, which is finished."""
    layer.put("a", n=1)

    def script() -> None:
        eventually(lambda: consumer.ran == [1] and layer.receiving)
        fault.error = error
        layer.put("a", n=2)  # for what is called around a message
        eventually(lambda: layer.closed)
        consumer.may_end.set()

    during_run(script)
    assert worker.run() == ExitCode.FAILED
    assert sorted(consumer.ended) == sorted(consumer.ran)
    assert 1 in consumer.ended
    assert not worker.busy


@pytest.mark.parametrize("error", ERRORS, ids=repr)
@pytest.mark.parametrize("step", ["check", "quiet", "stop"])
def test_a_duty_that_raises(
    step: str,
    error: BaseException,
    layer: QueueLayer,
    consumer: Consumer,
    fault: Fault,
    during_run: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls: list[str] = []

    class Broken(LifecycleHook):
        def check(self, worker: Worker) -> str | None:
            if step == "check":
                fault()
            return "enough" if fault.error and step != "check" else None

        def quiet(self) -> None:
            calls.append("quiet")
            if step == "quiet":
                fault()

        def stop(self) -> None:
            calls.append("stop")
            if step == "stop":
                fault()

    worker = Worker(layer, {"a": consumer}, pool=Pool(2), hooks=[Broken(), Broken()])
    runs_and_fails(worker, layer, consumer, fault, error, during_run)
    assert calls == ["quiet", "quiet", "stop", "stop"]
    assert f"Broken.{step}; the worker ends" in caplog.text
    assert caplog.text.count("the worker ends") == 1


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_a_duty_that_cannot_start(
    error: BaseException, layer: QueueLayer, consumer: Consumer, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(LifecycleHook):
        def start(self, worker: Worker) -> None:
            raise error

    consumer.may_end.set()
    layer.put("a", n=1)
    assert Worker(layer, {"a": consumer}, hooks=[Broken()]).run() == ExitCode.FAILED
    assert consumer.ended == consumer.ran
    assert "Broken.start" in caplog.text


@pytest.mark.parametrize("error", ERRORS, ids=repr)
@pytest.mark.parametrize("name", SIGNALS)
def test_a_receiver_of_signals_that_raises(
    name: str,
    error: BaseException,
    layer: QueueLayer,
    consumer: Consumer,
    fault: Fault,
    during_run: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The messages around which it was called are not lost by it, and the other receivers are called."""
    heard: list[str] = []
    sent_signal = getattr(signals, name)
    worker = Worker(layer, {"a": consumer}, pool=Pool(2))
    if name.startswith("worker"):
        fault.error = error
    sent_signal.connect(fault)
    sent_signal.connect(lambda **_: heard.append(name), dispatch_uid="next")
    try:
        if name.startswith("worker"):
            consumer.may_end.set()
            assert worker.run() == ExitCode.FAILED
        else:
            runs_and_fails(worker, layer, consumer, fault, error, during_run)
            assert 2 in consumer.ended
            assert worker.dispatcher.failed == 0
    finally:
        sent_signal.disconnect(fault)
        sent_signal.disconnect(dispatch_uid="next")
    assert heard
    assert "Fault object" in caplog.text
    assert repr(error) in repr([record.exc_info for record in caplog.records])
    assert caplog.text.count("the worker ends") == 1


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_an_observer_that_raises(
    error: BaseException,
    layer: QueueLayer,
    consumer: Consumer,
    fault: Fault,
    during_run: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    worker = Worker(layer, {"a": consumer}, pool=Pool(2))
    seen: list[str] = []
    worker.dispatcher.observers += [fault, lambda channel, *_: seen.append(channel)]
    runs_and_fails(worker, layer, consumer, fault, error, during_run)
    assert seen == ["a"] * len(consumer.ended)
    assert "the observer" in caplog.text
    assert worker.dispatcher.done == len(consumer.ended)


class BrokenHandler(logging.Handler):
    def __init__(self, fault: Fault) -> None:
        super().__init__()
        self.fault = fault

    def emit(self, record: logging.LogRecord) -> None:
        self.fault()


def test_a_handler_of_the_log_that_raises(
    layer: QueueLayer, consumer: Consumer, fault: Fault, during_run: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """No matter what was to be said, and where; what it was goes to stderr."""
    handler = BrokenHandler(fault)
    log = logging.getLogger("workers")
    log.addHandler(handler)

    def observe(*_: Any) -> None:
        if fault.error is not None:
            logging.getLogger("workers.runtime.dispatcher").warning("something to say")

    worker = Worker(layer, {"a": consumer}, pool=Pool(2))
    worker.dispatcher.observers.append(observe)
    try:
        runs_and_fails(worker, layer, consumer, fault, ValueError("no disk"), during_run)
    finally:
        log.removeHandler(handler)
    assert "handle" not in vars(logging.getLogger("workers.runtime.dispatcher")), (
        "the log stays guarded behind the worker"
    )
    written = capsys.readouterr().err
    assert "no disk" in written
    assert "something to say" in written


def test_delivering_delayed_messages_that_keeps_failing(
    layer: QueueLayer, consumer: Consumer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Delayed:
        def send(self, *args: Any) -> None: ...

        def deliver(self) -> float:
            raise SystemExit("a bug")

    monkeypatch.setattr("workers.delay.MAX_WAIT_SECONDS", 0.01)
    layer.delayed = Delayed()  # type: ignore[attr-defined]
    assert Worker(layer, {"a": consumer}).run() == ExitCode.FAILED
    assert caplog.text.count("Error while delivering delayed messages") == MAX_CRASHES
    assert "fails again and again" in caplog.text
