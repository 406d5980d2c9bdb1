from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from asgi_redis.connection.redis_py import Unsent
from tests.support.workers.fakes import FakeLayer
from workers import Channel, route
from workers.exceptions import ConsumeLater, DenyConnection, WebsocketCloseException
from workers.message import Message
from workers.routing import Router
from workers.runtime import dispatcher
from workers.runtime.dispatcher import Dispatcher
from workers.signals import consumer_finished, consumer_started

SENDER = object()


@pytest.fixture
def layer() -> FakeLayer:
    return FakeLayer()


@pytest.fixture
def events() -> Iterator[list[str]]:
    """What the signals say, in order; consumers may add to it."""
    events: list[str] = []

    def started(sender: Any, environ: Any, **_: Any) -> None:
        assert sender is SENDER
        assert environ == {}
        events.append("started")

    def finished(sender: Any, **_: Any) -> None:
        assert sender is SENDER
        events.append("finished")

    consumer_started.connect(started)
    consumer_finished.connect(finished)
    yield events
    consumer_started.disconnect(started)
    consumer_finished.disconnect(finished)


def dispatch(layer: FakeLayer, consumer: Any, channel: str = "c", **content: Any) -> Dispatcher:
    dispatcher = Dispatcher(Router([route([channel], consumer, name="(?P<name>.*)")]), layer, SENDER)
    dispatcher.dispatch(channel, {"name": "x", **content})
    return dispatcher


def raising(error: BaseException) -> Any:
    def consumer(message: Message, name: str) -> None:
        Channel("side", channel_layer=message.channel_layer).send({"sent": "before"})
        raise error

    return consumer


def test_a_consumer_runs_between_the_signals_with_its_arguments(layer: FakeLayer, events: list[str]) -> None:
    def consumer(message: Message, name: str) -> None:
        events.append(f"{message['n']} {name} {message.channel} {threading.current_thread().name}")

    done = dispatch(layer, consumer, n=7)
    assert events == ["started", f"7 x c {threading.current_thread().name}", "finished"]
    assert (done.done, done.failed) == (1, 0)


def test_sends_are_pending_until_the_consumer_is_done(layer: FakeLayer) -> None:
    def consumer(message: Message, name: str) -> None:
        Channel("side", channel_layer=layer).send({})
        assert layer.sent == []

    dispatch(layer, consumer)
    assert layer.sent == [("side", {})]


@pytest.mark.parametrize(
    "error", [ValueError("no"), SystemExit(3), KeyboardInterrupt(), GeneratorExit(), RecursionError()]
)
def test_any_exception_costs_one_message_and_is_logged_without_its_content(
    layer: FakeLayer, events: list[str], caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    done = dispatch(layer, raising(error), secret="hunter2")
    assert (done.done, done.failed) == (1, 1)
    assert events == ["started", "finished"]
    record = caplog.records[-1]
    assert record.exc_info is not None
    assert record.exc_info[1] is error
    assert "raising.<locals>.consumer" in record.getMessage()
    assert "channel 'c'" in record.getMessage()
    assert "hunter2" not in caplog.text
    assert layer.sent == [("side", {"sent": "before"})]
    assert done.running() == []


def test_a_message_that_no_route_matches_is_logged(
    layer: FakeLayer, events: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    done = Dispatcher(Router([]), layer, SENDER)
    done.dispatch("c", {"secret": "hunter2"})
    assert "No route for a message on channel 'c'" in caplog.text
    assert "hunter2" not in caplog.text
    assert events == []
    assert (done.done, done.failed) == (1, 1)


def test_a_route_that_raises_costs_one_message(layer: FakeLayer, caplog: pytest.LogCaptureFixture) -> None:
    done = Dispatcher(Router([route("c", raising, name="x")]), layer, SENDER)
    done.dispatch("c", {"name": 5})  # a regular expression cannot match a number
    assert done.failed == 1
    assert "channel 'c'" in caplog.text


def test_deny_connection_closes_the_websocket(layer: FakeLayer, events: list[str]) -> None:
    done = dispatch(layer, raising(DenyConnection()), "websocket.connect", reply_channel="websocket.send!a")
    assert layer.sent == [("side", {"sent": "before"}), ("websocket.send!a", {"close": True})]
    assert events == ["started", "finished"]
    assert done.failed == 0


@pytest.mark.parametrize("channel", ["websocket.receive", "websocket.connect"])
def test_deny_connection_elsewhere_costs_one_message(
    layer: FakeLayer, events: list[str], caplog: pytest.LogCaptureFixture, channel: str
) -> None:
    assert dispatch(layer, raising(DenyConnection()), channel).failed == 1
    assert "websocket.connect only" in caplog.text
    assert events == ["started", "finished"]


def test_a_socket_exception_runs(layer: FakeLayer) -> None:
    done = dispatch(
        layer, raising(WebsocketCloseException(4000)), "websocket.receive", reply_channel="daphne.response.a!b"
    )
    assert layer.sent[1:] == [("daphne.response.a!b", {"close": 4000})]
    assert done.failed == 0


def test_a_socket_exception_that_cannot_run_costs_one_message(layer: FakeLayer, events: list[str]) -> None:
    assert dispatch(layer, raising(WebsocketCloseException()), reply_channel="http.response!a").failed == 1
    assert events == ["started", "finished"]


def test_consume_later_puts_the_message_back_and_counts(layer: FakeLayer) -> None:
    done = dispatch(layer, raising(ConsumeLater()), n=1)
    done.dispatch("c", {"name": "x", "n": 2, "__retries__": 9})
    assert [sent for sent in layer.sent if sent[0] == "c"] == [
        ("c", {"name": "x", "n": 1, "__retries__": 1}),
        ("c", {"name": "x", "n": 2, "__retries__": 10}),
    ]
    assert (done.done, done.failed) == (2, 0)


def test_after_ten_times_the_message_is_doomed_and_dropped(
    layer: FakeLayer, caplog: pytest.LogCaptureFixture
) -> None:
    doomed = []

    def consumer(message: Message, name: str) -> None:
        doomed.append(getattr(message, "__doomed__", False))
        raise ConsumeLater

    done = dispatch(layer, consumer, secret="hunter2")
    while layer.sent:
        channel, content = layer.sent.pop()
        done.dispatch(channel, content)
    assert doomed == [False] * 10 + [True]
    assert (done.done, done.failed) == (11, 1)
    assert "postponed 10 times" in caplog.text
    assert "hunter2" not in caplog.text


def test_a_message_postponed_to_a_full_channel_is_tried_again_then_dropped(
    layer: FakeLayer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "RESEND_SECONDS", 0.001)
    layer.full.add("c")
    done = dispatch(layer, raising(ConsumeLater()))
    assert layer.attempts == 10 + 1  # and the one to "side"
    assert done.failed == 1
    assert "channel is full" in caplog.text


def test_running_shows_what_runs_and_for_how_long(layer: FakeLayer) -> None:
    may_end, started = threading.Event(), threading.Event()

    def consumer(message: Message) -> None:
        started.set()
        may_end.wait(5)

    done = Dispatcher(Router({"c": consumer}), layer, SENDER)
    before = time.monotonic()
    thread = threading.Thread(target=done.dispatch, args=("c", {}))
    thread.start()
    assert started.wait(5)
    (running,) = done.running()
    assert running.channel == "c"
    assert running.consumer.endswith("consumer")
    assert before <= running.started <= time.monotonic()
    may_end.set()
    thread.join()
    assert done.running() == []


def test_an_interruption_of_the_log_leaves_no_message_that_seems_to_run(
    layer: FakeLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interruption(BaseException):
        pass

    def log(*_: object) -> None:
        raise Interruption

    monkeypatch.setattr(dispatcher.logger, "exception", log)
    done = Dispatcher(Router({"c": raising(ValueError())}), layer, SENDER)
    with pytest.raises(Interruption):
        done.dispatch("c", {})
    assert done.running() == []


def counting_down(handled: list[int]) -> Any:
    """A consumer that lets a message follow, with a number that is lower by one."""

    def consumer(message: Message) -> None:
        handled.append(message["n"])
        if message["n"]:
            message.then.append((message.channel.name, {"n": message["n"] - 1}))

    return consumer


def test_messages_that_a_consumer_leaves_follow_in_the_same_slot(layer: FakeLayer) -> None:
    handled: list[int] = []
    dispatcher = Dispatcher(Router([route("c", counting_down(handled))]), layer, SENDER)
    dispatcher.dispatch("c", {"n": 2})
    assert handled == [2, 1, 0]
    assert dispatcher.done == 3
    assert layer.sent == []


def test_during_a_stop_they_go_back_to_their_channel_where_it_has_room(layer: FakeLayer) -> None:
    handled: list[int] = []
    dispatcher = Dispatcher(Router([route(["c", "full"], counting_down(handled))]), layer, SENDER)
    dispatcher.quieted = True
    dispatcher.dispatch("c", {"n": 2})
    assert handled == [2]
    assert layer.sent == [("c", {"n": 1})]
    layer.full.add("full")
    dispatcher.dispatch("full", {"n": 1})
    assert handled == [2, 1, 0]


def test_after_an_error_they_are_run_only_if_they_were_not_sent(layer: FakeLayer) -> None:
    handled: list[int] = []
    dispatcher = Dispatcher(Router([route("c", counting_down(handled))]), layer, SENDER)
    dispatcher.quieted = True
    layer.errors["c"] = RedisConnectionError("maybe")
    dispatcher.dispatch("c", {"n": 1})
    assert handled == [1]
    layer.errors["c"] = Unsent("certainly not")
    dispatcher.dispatch("c", {"n": 1})
    assert handled == [1, 1, 0]
