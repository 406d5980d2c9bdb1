"""A worker as an object; what its process does with signals and a real Redis is in test_cli.py."""

from __future__ import annotations

import logging
import time
from typing import Any

import pytest

from asgi_redis import RedisChannelLayer
from tests.support.waiting import eventually
from tests.support.workers.fakes import Consumer, QueueLayer, queue_layer  # noqa: F401  a fixture
from workers import Worker, route
from workers.exceptions import ConfigurationError
from workers.routing import Router
from workers.runtime.hooks import LifecycleHook
from workers.runtime.pool import Pool
from workers.runtime.stopping import ExitCode
from workers.signals import worker_process_ready, worker_ready


def test_duties_are_seen_after_and_may_end_run(layer: QueueLayer, consumer: Consumer) -> None:
    calls: list[str] = []

    class Patience(LifecycleHook):
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

    assert Worker(layer, {"a": consumer}, hooks=[Patience()]).run() == ExitCode.CLEAN
    assert calls == ["start", "check", "check", "quiet", "stop"]


def test_a_burst_ends_run_when_the_channels_are_empty(layer: QueueLayer, consumer: Consumer) -> None:
    consumer.may_end.set()
    for n in range(3):
        layer.put("a", n=n)
    assert Worker(layer, {"a": consumer}, burst=True).run() == ExitCode.CLEAN
    assert consumer.ended == [0, 1, 2]


@pytest.mark.parametrize(
    ("channels", "slots", "said"),
    [(["a"], 1, "Listening on 1 channel (a) with 1 slot, on"), (["a", "b"], 3, "2 channels (a, b) with 3 slots, on")],
)
def test_it_says_how_many_channels_and_slots_there_are(
    channels: list[str],
    slots: int,
    said: str,
    layer: QueueLayer,
    consumer: Consumer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    Worker(layer, dict.fromkeys(channels, consumer), pool=Pool(slots), burst=True).run()
    assert said in caplog.text


def test_it_can_be_started_and_stopped_without_run(layer: QueueLayer, consumer: Consumer) -> None:
    worker = Worker(layer, {"a": consumer})
    worker.start()
    layer.put("a", n=1)
    eventually(lambda: consumer.ran)
    worker.quiet()
    assert not worker.stop(time.monotonic() + 0.05)
    consumer.may_end.set()
    assert worker.stop(time.monotonic() + 5)
    assert "handle" not in vars(logging.getLogger("workers.worker")), "the log stays guarded behind the worker"


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
    assert only.channels == ["mail", "websocket.connect", "websocket.disconnect", "websocket.receive"]
    without = Worker(layer, router, exclude_channels=["websocket.*", "http.*"])
    assert without.channels == ["mail"]
    both = Worker(layer, router, only_channels=["websocket.*"], exclude_channels=["*connect"])
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
