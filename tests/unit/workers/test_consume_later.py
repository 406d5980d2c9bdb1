"""``ConsumeLater`` with a delay."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from asgi_redis import InMemoryChannelLayer, RedisChannelLayer
from tests.support.waiting import eventually
from tests.support.workers.fakes import FakeLayer
from workers import Worker, delay, exceptions, route
from workers.exceptions import LONGEST_DELAY_SECONDS, ConsumeLater
from workers.message import Message
from workers.routing import Router
from workers.runtime import dispatcher
from workers.runtime.dispatcher import OWN, Dispatcher


class Postponed:
    """What a layer was asked to send later."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def __call__(self, *row: Any) -> None:
        self.sent.append(row)


def run_later(later: ConsumeLater, postpone: Any, layer: FakeLayer, **content: Any) -> Dispatcher:
    def consumer(message: Message) -> None:
        raise later

    dispatcher = Dispatcher(Router([route("c", consumer)]), layer, None, postpone=postpone)
    dispatcher.dispatch("c", content)
    return dispatcher


@pytest.mark.parametrize(("retries", "seconds"), [(0, 1.5), (1, 3.0), (4, 24.0)])
def test_the_message_comes_back_after_its_delay_which_grows(retries: int, seconds: float) -> None:
    postpone = Postponed()
    done = run_later(ConsumeLater(delay=1.5, backoff=2), postpone, FakeLayer(), n=1, __retries__=retries)
    assert postpone.sent == [("c", {"n": 1, "__retries__": retries + 1}, seconds)]
    assert done.failed == 0


def test_the_delay_is_the_same_each_time_without_a_backoff_and_no_more_than_a_day_with_one() -> None:
    assert [ConsumeLater(delay=2).seconds(retry) for retry in (1, 10)] == [2, 2]
    assert ConsumeLater(delay=60, backoff=100).seconds(10) == LONGEST_DELAY_SECONDS


def test_it_comes_back_ten_times_at_most(caplog: pytest.LogCaptureFixture) -> None:
    postpone = Postponed()
    done = run_later(ConsumeLater(delay=1), postpone, FakeLayer(), __retries__=10)
    assert postpone.sent == []
    assert done.failed == 1
    assert "postponed 10 times" in caplog.text


def test_without_a_delay_it_comes_back_at_once() -> None:
    postpone, layer = Postponed(), FakeLayer()
    run_later(ConsumeLater("not now"), postpone, layer)
    assert postpone.sent == []
    assert layer.sent == [("c", {"__retries__": 1})]


def test_where_the_layer_delays_no_messages_it_comes_back_at_once_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    layer = FakeLayer()
    assert run_later(ConsumeLater(delay=1), None, layer).failed == 0
    assert layer.sent == [("c", {"__retries__": 1})]
    assert "delays no messages" in caplog.text


@pytest.mark.parametrize(
    "wrong", [{"delay": -1}, {"delay": float("nan")}, {"delay": 86_401}, {"delay": float("inf")}]
)
def test_a_delay_without_sense_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"from 0 to 86,400 seconds, not"):
        ConsumeLater(**wrong)


@pytest.mark.parametrize("backoff", [0.5, float("nan"), 101])
def test_a_backoff_without_sense_is_refused(backoff: float) -> None:
    with pytest.raises(ValueError, match="from 1 to 100, not"):
        ConsumeLater(delay=1, backoff=backoff)


def test_where_a_consumer_has_asgi_delay_it_gets_the_message_as_in_channels_1(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A full ``asgi.delay`` is tried again, as a full channel is."""
    monkeypatch.setattr(dispatcher, "RESEND_SECONDS", 0.001)
    layer = FakeLayer()
    run_later(ConsumeLater(delay=1.5), delay.by_channel(layer), layer, n=1)
    delayed = {"channel": "c", "content": {"n": 1, "__retries__": 1}, "delay": 1500}
    assert layer.sent == [("asgi.delay", delayed)]
    layer.full.add("asgi.delay")
    assert run_later(ConsumeLater(delay=1.5), delay.by_channel(layer), layer).failed == 1
    assert layer.attempts == 1 + 10


def test_consumers_of_channels_1_may_raise_it_too() -> None:
    """Whose own takes no delay."""

    class Theirs(Exception):
        pass

    names = ("DenyConnection", "ChannelSocketException")
    theirs: Any = SimpleNamespace(ConsumeLater=Theirs, **{name: getattr(exceptions, name) for name in names})
    postpone, layer = Postponed(), FakeLayer()

    def consumer(message: Message) -> None:
        raise ConsumeLater(delay=2) if message["n"] == 1 else Theirs

    consumer_api = OWN._replace(exceptions=theirs)
    dispatcher = Dispatcher(Router([route("c", consumer)]), layer, None, consumer_api, postpone=postpone)
    for n in (1, 2):
        dispatcher.dispatch("c", {"n": n})
    assert postpone.sent == [("c", {"n": 1, "__retries__": 1}, 2)]
    assert layer.sent == [("c", {"n": 2, "__retries__": 1})]


def test_a_worker_gets_it_back_in_time_and_in_the_same_layer(redis_server: Any, prefix: str) -> None:
    """Much sooner than the delivering thread would look by itself, which is every second."""
    times: list[float] = []

    def consumer(message: Message) -> None:
        times.append(time.monotonic())
        if len(times) < 4:
            raise ConsumeLater(delay=0.02, backoff=2)

    with RedisChannelLayer(hosts=[redis_server.url], prefix=prefix) as layer:
        worker = Worker(layer, {"c": consumer})
        worker.start()
        layer.send("c", {})
        eventually(lambda: len(times) == 4)
        worker.quiet()
        assert worker.stop(time.monotonic() + 5)
    gaps = [late - early for early, late in zip(times, times[1:])]
    assert all(gap >= delay for gap, delay in zip(gaps, (0.02, 0.04, 0.08))), gaps
    assert min(gaps[1:]) < 0.8, gaps


def test_a_worker_on_a_layer_without_delayed_messages_tries_ten_times() -> None:
    layer, times = InMemoryChannelLayer(), []

    def consumer(message: Message) -> None:
        times.append(message.get("__retries__", 0))
        raise ConsumeLater(delay=60)

    worker = Worker(layer, {"c": consumer})
    worker.start()
    layer.send("c", {})
    eventually(lambda: worker.dispatcher.failed)
    worker.quiet()
    assert worker.stop(time.monotonic() + 5)
    assert times == list(range(11))
