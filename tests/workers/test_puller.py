from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.waiting import eventually
from tests.workers.fakes import QueueLayer
from workers.pool import ThreadPool
from workers.puller import Puller


@pytest.fixture
def layer() -> QueueLayer:
    return QueueLayer()


@pytest.fixture
def handled() -> list[Any]:
    return []


@pytest.fixture
def ended() -> threading.Event:
    return threading.Event()


@pytest.fixture
def start(
    layer: QueueLayer, handled: list[Any], ended: threading.Event
) -> Iterator[Callable[..., tuple[Puller, ThreadPool]]]:
    """Starts a puller with a pool of ``size``; the handler waits for ``gate`` if there is one."""
    running: list[tuple[Puller, ThreadPool]] = []

    def start(size: int, gate: threading.Event | None = None) -> tuple[Puller, ThreadPool]:
        def handle(channel: str, content: dict[str, Any]) -> None:
            handled.append(content["n"])
            if gate is not None:
                gate.wait(10)

        pool = ThreadPool(size)
        puller = Puller(layer, ["c"], pool, handle, ended.set)
        running.append((puller, pool))
        pool.start()
        puller.start()
        return running[-1]

    yield start
    for puller, pool in running:
        puller.quiet()
        assert puller.stop(time.monotonic() + 5)
        assert pool.stop(time.monotonic() + 5)


def test_messages_go_to_the_handler(layer: QueueLayer, handled: list[Any], start: Any) -> None:
    start(2)
    for n in range(20):
        layer.put("c", n=n)
    eventually(lambda: sorted(handled) == list(range(20)))


def test_nothing_is_fetched_without_a_free_slot(layer: QueueLayer, handled: list[Any], start: Any) -> None:
    gate = threading.Event()
    start(2, gate)
    for n in range(5):
        layer.put("c", n=n)
    eventually(lambda: len(handled) == 2)
    calls = len(layer.limits)
    assert len(layer.waiting) == 3
    assert not layer.receiving
    gate.set()
    eventually(lambda: len(handled) == 5)
    assert len(layer.limits) > calls
    assert sorted(handled) == list(range(5))  # two slots finish in an order of their own


def test_as_many_are_fetched_at_once_as_slots_are_free(layer: QueueLayer, handled: list[Any], start: Any) -> None:
    for n in range(3):
        layer.put("c", n=n)
    gate = threading.Event()
    start(4, gate)
    eventually(lambda: len(handled) == 3 and layer.receiving)
    assert layer.limits == [4, 1]
    gate.set()


def test_quiet_ends_a_waiting_receive_at_once(layer: QueueLayer, start: Any, ended: threading.Event) -> None:
    puller, _ = start(1)
    eventually(lambda: layer.receiving)
    before = time.monotonic()
    puller.quiet()
    assert puller.stop(before + 5)
    assert time.monotonic() - before < 1
    assert ended.is_set()
    assert puller.failure is None


def test_quiet_ends_a_receive_that_is_about_to_start(
    layer: QueueLayer, start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_the_door, may_enter = threading.Event(), threading.Event()
    receive = layer.receive_batch

    def late(*args: Any) -> list[Any]:
        at_the_door.set()
        may_enter.wait(5)
        return receive(*args)

    monkeypatch.setattr(layer, "receive_batch", late)
    puller, _ = start(1)
    at_the_door.wait(5)
    puller.quiet()
    eventually(lambda: layer._unblocked >= 1)
    before = time.monotonic()
    may_enter.set()
    assert puller.stop(before + 5)
    assert time.monotonic() - before < 1


def test_what_a_receive_brings_after_quiet_is_still_run(layer: QueueLayer, handled: list[Any], start: Any) -> None:
    puller, pool = start(2)
    eventually(lambda: layer.receiving)
    # In the moment of the quiet: the receive ends with a message, not empty.
    layer.unblock = lambda: None  # type: ignore[method-assign]
    puller.quiet()
    layer.put("c", n=1)
    assert puller.stop(time.monotonic() + 5)
    assert pool.stop(time.monotonic() + 5)
    assert handled == [1]


def test_quiet_before_the_start_is_kept(layer: QueueLayer, ended: threading.Event) -> None:
    layer.put("c", n=1)
    pool = ThreadPool(1)
    puller = Puller(layer, ["c"], pool, lambda channel, content: None, ended.set)
    puller.quiet()
    pool.start()
    puller.start()
    assert puller.stop(time.monotonic() + 5)
    assert layer.limits == []
    assert pool.stop(time.monotonic() + 5)


def test_an_outage_is_waited_out_and_logged_in_two_lines(
    layer: QueueLayer, handled: list[Any], start: Any, caplog: pytest.LogCaptureFixture
) -> None:
    layer.fail_with = RedisConnectionError("refused")
    start(2)
    eventually(lambda: len(layer.limits) >= 4)
    layer.fail_with = None
    layer.put("c", n=1)
    eventually(lambda: handled == [1])
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 2
    assert "refused" in messages[0]
    assert "serves messages again" in messages[1]
    assert layer.timeouts[1:4] == [0, 0, 0]  # its end is noticed without waiting for a message
    eventually(lambda: layer.receiving)
    assert layer.timeouts[-1] == 2


def test_quiet_ends_the_wait_for_redis(layer: QueueLayer, start: Any) -> None:
    layer.fail_with = RedisConnectionError("refused")
    puller, _ = start(1)
    eventually(lambda: len(layer.limits) >= 6)  # the next delay is a second or more
    before = time.monotonic()
    puller.quiet()
    assert puller.stop(before + 5)
    assert time.monotonic() - before < 0.5


def test_any_other_error_ends_the_puller_with_a_traceback(
    layer: QueueLayer, start: Any, ended: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    layer.fail_with = LookupError("a bug")
    puller, _ = start(1)
    assert ended.wait(5)
    assert puller.failure is layer.fail_with
    assert "a bug" in caplog.text
    assert "Traceback" in caplog.text
