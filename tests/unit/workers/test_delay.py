"""Delayed messages in a worker: the consumer of ``asgi.delay``, and the thread that delivers."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from asgi_redis import RedisChannelLayer
from asgi_redis.embedded import RedisServer
from asgi_redis.exceptions import ConfigurationError
from tests.support.waiting import eventually
from tests.support.workers.fakes import FakeLayer
from workers.delay import Delivery
from workers.message import Message

WORKER: Any = SimpleNamespace(channels=["asgi.delay"])


def to_delay(**content: Any) -> Message:
    return Message(content, "asgi.delay", FakeLayer())


class FakeDelayed:
    def __init__(self) -> None:
        self.stored: list[Any] = []
        self.delivered = 0
        self.fail_with: list[Exception] = []
        self.wait: float | None = None

    def send(self, channel: str, message: dict[str, Any], seconds: float) -> None:
        self.stored.append((channel, message, seconds))

    def deliver(self) -> float | None:
        self.delivered += 1
        if self.fail_with:
            raise self.fail_with.pop()
        return self.wait


@pytest.fixture
def delayed() -> FakeDelayed:
    return FakeDelayed()


@pytest.fixture
def delivery(delayed: FakeDelayed) -> Iterator[Delivery]:
    delivery = Delivery(delayed)
    yield delivery
    delivery.quiet()
    delivery.stop()
    assert not any(thread.name == "delayed-messages" for thread in threading.enumerate())


@pytest.mark.parametrize(("delay", "seconds"), [(1500, 1.5), (0.5, 0.0005), (-1000, 0)])
def test_a_delay_is_in_milliseconds(delivery: Delivery, delayed: FakeDelayed, delay: float, seconds: float) -> None:
    delivery.store(to_delay(channel="c", content={"n": 1}, delay=delay))
    assert delayed.stored == [("c", {"n": 1}, seconds)]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({"content": {}, "delay": 1}, "the keys"),
        ({"channel": "c", "delay": 1}, "the keys"),
        ({"channel": "c", "content": {}}, "the keys"),
        ({"channel": "c" * 513, "content": {}, "delay": 1}, "is a name"),
        ({"channel": "", "content": {}, "delay": 1}, "is a name"),
        ({"channel": "c", "content": {}, "delay": "1"}, "milliseconds"),
        ({"channel": "c", "content": {}, "delay": True}, "milliseconds"),
    ],
)
def test_a_wrong_message_is_an_error(
    delivery: Delivery, delayed: FakeDelayed, content: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        delivery.store(to_delay(**content))
    assert delayed.stored == []


def test_its_route_is_that_of_asgi_delay(delivery: Delivery) -> None:
    assert delivery.route.channels == ["asgi.delay"]
    assert delivery.route.consumer == delivery.store


def test_a_worker_without_the_channel_delivers_nothing(delivery: Delivery, delayed: FakeDelayed) -> None:
    other: Any = SimpleNamespace(channels=["c"])
    delivery.start(other)
    delivery.check(other)
    assert delayed.delivered == 0


def test_storing_one_wakes_the_thread(delivery: Delivery, delayed: FakeDelayed) -> None:
    delivery.start(WORKER)
    eventually(lambda: delayed.delivered == 1)
    delivery.store(to_delay(channel="c", content={}, delay=1))
    eventually(lambda: delayed.delivered == 2, timeout=0.5)


@pytest.mark.parametrize("error", [RedisConnectionError("gone"), ConfigurationError("shards: gone")])
def test_it_goes_on_after_an_outage(
    error: Exception, delivery: Delivery, delayed: FakeDelayed, caplog: pytest.LogCaptureFixture
) -> None:
    """The worker's reader tells of the outage, or ends the worker; a second voice would only repeat it."""
    delayed.fail_with = [error, error]
    delivery.start(WORKER)
    eventually(lambda: delayed.delivered == 3)
    assert "gone" not in caplog.text


def test_it_goes_on_after_an_error(
    delivery: Delivery, delayed: FakeDelayed, caplog: pytest.LogCaptureFixture
) -> None:
    delayed.fail_with = [KeyError("bug")]
    delivery.start(WORKER)
    eventually(lambda: delayed.delivered == 2)
    delivery.check(WORKER)
    assert "it goes on" in caplog.text


def test_it_delivers_within_ten_milliseconds_of_the_time(redis_server: RedisServer, prefix: str) -> None:
    """Measured for the best of a few: the machine may be busy."""
    with RedisChannelLayer(hosts=[redis_server.url], prefix=prefix) as layer:
        delivery = Delivery(layer.delayed)
        delivery.start(WORKER)
        late = []
        for n in range(5):
            started = time.monotonic()
            delivery.store(to_delay(channel="c", content={"n": n}, delay=100))
            assert layer.receive(["c"], block=True) == ("c", {"n": n})
            late.append(time.monotonic() - started - 0.1)
        delivery.quiet()
        delivery.stop()
    assert 0 <= min(late) < 0.01
