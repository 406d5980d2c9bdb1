from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from typing import Any

import pytest

from asgi_redis.integrations.django import register_layer
from tests.support.workers.fakes import FakeLayer, message
from workers.exceptions import ConsumeLater, SendNotAvailableOnDemultiplexer
from workers.generic.websockets import (
    JsonWebsocketConsumer,
    WebsocketConsumer,
    WebsocketDemultiplexer,
    WebsocketMultiplexer,
)
from workers.routing import Router
from workers.runtime.dispatcher import Dispatcher

CONNECT, RECEIVE, DISCONNECT = "websocket.connect", "websocket.receive", "websocket.disconnect"


@pytest.fixture
def layer() -> Iterator[FakeLayer]:
    layer = FakeLayer()
    before = register_layer("default", layer)
    yield layer
    register_layer("default", before)


def websocket(layer: FakeLayer, channel: str, **content: Any) -> Any:
    return message(channel, layer, path="/p", reply_channel="r!1", **content)


def test_a_client_is_accepted_and_is_in_the_groups_while_it_is_connected(layer: FakeLayer) -> None:
    class Chat(WebsocketConsumer):
        def connection_groups(self, room: str = "", **kwargs: Any) -> list[str]:
            return [f"room-{room}"]

    assert Chat(websocket(layer, CONNECT), room="1").path == "/p"
    assert layer.sent == [("r!1", {"accept": True})]
    assert layer.members == {"room-1": {"r!1"}}
    Chat(websocket(layer, DISCONNECT), room="1")
    assert layer.members == {"room-1": set()}


def test_groups_may_be_an_attribute(layer: FakeLayer) -> None:
    WebsocketConsumer.as_route(attrs={"groups": ["all"]}).consumer(websocket(layer, CONNECT))
    assert layer.members == {"all": {"r!1"}}


def test_frames_come_as_text_or_bytes_and_are_answered(layer: FakeLayer) -> None:
    class Echo(WebsocketConsumer):
        def receive(self, text: Any = None, bytes: Any = None, **kwargs: Any) -> None:  # noqa: A002 - Channels' name
            self.send(text=text, bytes=bytes, close=kwargs.get("close", False))

    Echo(websocket(layer, RECEIVE, text=""))
    Echo(websocket(layer, RECEIVE, bytes=b"b"), close=1000)
    assert layer.sent == [("r!1", {"text": ""}), ("r!1", {"bytes": b"b", "close": 1000})]


def test_it_closes_and_sends_to_groups(layer: FakeLayer) -> None:
    class Closing(WebsocketConsumer):
        def receive(self, **kwargs: Any) -> None:
            self.close(4000)
            self.group_send("all", text="bye", close=True)

    Closing(websocket(layer, RECEIVE, text="x"))
    assert layer.sent == [("r!1", {"close": 4000}), ("group all", {"text": "bye", "close": True})]


def test_sending_nothing_is_an_error(layer: FakeLayer) -> None:
    consumer = WebsocketConsumer(websocket(layer, CONNECT))
    with pytest.raises(ValueError, match="text or bytes"):
        consumer.send(close=True)
    with pytest.raises(ValueError, match="text or bytes"):
        WebsocketConsumer.group_send("all")


def test_slight_ordering_is_refused(layer: FakeLayer) -> None:
    with pytest.raises(ValueError, match="slight_ordering"):
        WebsocketConsumer.as_route(attrs={"slight_ordering": True}).consumer(websocket(layer, CONNECT))


def test_a_message_of_no_websocket_is_an_error_that_says_so(layer: FakeLayer) -> None:
    with pytest.raises(ValueError, match="reply_channel"):
        WebsocketConsumer(message(CONNECT, layer, path="/"))


def test_json_is_decoded_and_encoded(layer: FakeLayer) -> None:
    class Doubling(JsonWebsocketConsumer):
        def receive(self, content: Any, **kwargs: Any) -> None:  # type: ignore[override]
            self.send({"n": content["n"] * 2})
            self.group_send("all", content, close=True)

    Doubling(websocket(layer, RECEIVE, text='{"n": 2}'))
    assert layer.sent == [("r!1", {"text": '{"n": 4}'}), ("group all", {"text": '{"n": 2}', "close": True})]
    with pytest.raises(ValueError, match="without text"):
        Doubling(websocket(layer, RECEIVE, bytes=b"{}"))


class Stream(JsonWebsocketConsumer):
    def connect(self, message: Any, multiplexer: Any = None, **kwargs: Any) -> None:
        multiplexer.send({"hello": kwargs})

    def receive(self, content: Any, multiplexer: Any = None, **kwargs: Any) -> None:  # type: ignore[override]
        multiplexer.send({"got": content})

    def disconnect(self, message: Any, multiplexer: Any = None, **kwargs: Any) -> None:
        multiplexer.group_send("all", multiplexer.stream, "bye")


async def asynchronous(message: Any, multiplexer: Any, **kwargs: Any) -> None:
    multiplexer.send("async")


class Streams(WebsocketDemultiplexer):
    consumers = {"a": Stream, "b": asynchronous}


def frames(layer: FakeLayer) -> list[Any]:
    return [json.loads(content["text"]) for _, content in layer.sent if "text" in content]


def test_every_stream_sees_the_client_come_and_go(layer: FakeLayer) -> None:
    Streams(websocket(layer, CONNECT), id="7")
    assert layer.sent.pop(0) == ("r!1", {"accept": True})
    assert frames(layer) == [
        {"stream": "a", "payload": {"hello": {"id": "7"}}},
        {"stream": "b", "payload": "async"},
    ]
    layer.sent.clear()
    Streams(websocket(layer, DISCONNECT))
    assert layer.sent[0][0] == "group all"
    assert frames(layer)[0] == {"stream": "a", "payload": "bye"}


@pytest.mark.parametrize(("stream", "payload"), [("a", {"got": {"n": 1}}), ("b", "async")])
def test_a_frame_goes_to_the_consumer_of_its_stream(layer: FakeLayer, stream: str, payload: Any) -> None:
    Streams(websocket(layer, RECEIVE, text=json.dumps({"stream": stream, "payload": {"n": 1}})))
    assert frames(layer) == [{"stream": stream, "payload": payload}]


def test_a_frame_that_a_stream_postpones_comes_again_as_it_was(layer: FakeLayer) -> None:
    def later(message: Any, **kwargs: Any) -> None:
        raise ConsumeLater

    class Postponing(WebsocketDemultiplexer):
        consumers = {"a": later}

    text = json.dumps({"stream": "a", "payload": {"n": 1}})
    dispatcher = Dispatcher(Router([Postponing.as_route(path="/")]), layer, None)  # type: ignore[arg-type]
    dispatcher.dispatch(RECEIVE, {"path": "/", "reply_channel": "r!1", "text": text})
    assert [(channel, content["text"]) for channel, content in layer.sent] == [(RECEIVE, text)]


@pytest.mark.parametrize(
    ("frame", "complaint"),
    [
        ({"payload": {}}, "a stream and a payload"),
        ([], "a stream and a payload"),
        ({"stream": "c", "payload": {}}, "in no use"),
        ({"stream": "a", "payload": 1}, "is a dict"),
    ],
)
def test_a_wrong_frame_is_an_error(layer: FakeLayer, frame: Any, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Streams(websocket(layer, RECEIVE, text=json.dumps(frame)))


def test_a_demultiplexer_does_not_send_and_neither_do_its_consumers(layer: FakeLayer) -> None:
    class Sending(JsonWebsocketConsumer):
        def receive(self, content: Any, **kwargs: Any) -> None:  # type: ignore[override]
            self.send(content)

    class OfSending(WebsocketDemultiplexer):
        consumers = {"s": Sending}

    with pytest.raises(SendNotAvailableOnDemultiplexer):
        OfSending(websocket(layer, RECEIVE, text='{"stream": "s", "payload": {}}'))
    with pytest.raises(SendNotAvailableOnDemultiplexer, match="WebsocketMultiplexer"):
        OfSending.group_send("all", "s", {})


def test_a_multiplexer_encodes_what_django_encodes() -> None:
    pytest.importorskip("django")
    encoded = WebsocketMultiplexer.encode("s", datetime.date(2020, 1, 2))
    assert json.loads(encoded["text"]) == {"stream": "s", "payload": "2020-01-02"}
    with pytest.raises(TypeError):
        WebsocketMultiplexer.encode("s", object())
