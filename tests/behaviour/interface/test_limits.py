"""What the interface does not take from websockets, by setting; the defaults of all limits."""

from __future__ import annotations

import pytest

from asgi_redis import InMemoryChannelLayer, RedisChannelLayer
from asgi_redis.interface import Interface
from tests.support.interface.stand_in import Quiet
from tests.support.waiting import eventually

pytestmark = pytest.mark.native("event loops in native threads")


@pytest.mark.parametrize("data", ["x" * 1001, b"x" * 1001], ids=["text", "bytes"])
def test_a_frame_over_the_limit_closes_with_1009(interface_for, data):
    running = interface_for(max_frame_bytes=1000)
    client = running.site.websocket()
    client.send(data[:1000])
    assert client.receive() == data[:1000]
    client.send(data)
    assert client.close_code() == 1009
    assert running.worker.sees("websocket.disconnect")[0]["code"] == 1009
    assert len(running.worker.of("websocket.receive")) == 1


def test_the_limit_of_a_frame_counts_bytes_not_characters(interface_for):
    running = interface_for(max_frame_bytes=1000)
    client = running.site.websocket()
    client.send("€" * 334)
    assert client.close_code() == 1009


def test_a_frame_of_a_mebibyte_passes_by_default_and_not_a_byte_more(interface_for):
    running = interface_for()
    client = running.site.websocket()
    client.send(b"x" * (1 << 20))
    assert len(client.receive()) == 1 << 20
    client.send(b"x" * ((1 << 20) + 1))
    assert client.close_code() == 1009


def test_sockets_over_the_limit_are_refused_with_503(interface_for):
    running = interface_for(max_sockets=2)
    first, second = running.site.websocket(), running.site.websocket()
    answer = running.site.handshake().refused()
    assert answer.status == 503
    assert len(running.worker.of("websocket.connect")) == 2
    first.close_with(1000)
    running.worker.sees("websocket.disconnect")
    eventually(lambda: running.site.handshake().answer_head().status == 101)
    second.send("still there")
    assert second.receive() == "still there"


def test_handshakes_that_wait_count_as_sockets(interface_for):
    running = interface_for(Quiet(), max_sockets=1)
    running.worker.hold()
    waiting = running.site.handshake()
    eventually(lambda: running.layer.channel_statistics("websocket.connect")["messages_count"] == 1)
    assert running.site.handshake().refused().status == 503
    running.worker.go()
    waiting.opened()


def test_a_limit_on_sockets_is_none_on_requests(interface_for):
    running = interface_for(max_sockets=1)
    running.site.websocket()
    assert running.site.http().request().status == 200


def test_messages_that_the_layer_refuses_cost_no_connection_of_others(interface_for, redis_server, prefix, caplog):
    layer = RedisChannelLayer(hosts=[redis_server.url], prefix=prefix, max_message_bytes=2000)
    running = interface_for(layer=layer)
    site = running.site
    assert site.http().request("POST", "/", b"x" * 3000).status == 500
    assert site.handshake("/", [("X", "a" * 3000)]).refused().status == 500
    client = site.websocket()
    client.send("x" * 3000)
    assert client.close_code() == 1011
    assert running.worker.sees("websocket.disconnect")[0]["code"] == 1011
    assert caplog.text.count("MessageTooLarge") == 3
    assert site.http().request("POST", "/", b"fine").body == b"fine"


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("http_timeout", 0),
        ("websocket_handshake_timeout", -1),
        ("max_frame_bytes", "1 MB"),
        ("max_sockets", 0),
        ("max_header_bytes", 1.5),
        ("max_body_bytes", None),
        ("body_timeout", "30"),
        ("full_channel_timeout", -0.1),
    ],
)
def test_a_wrong_value_is_an_error_that_names_the_option(option, value):
    with InMemoryChannelLayer() as layer, pytest.raises((TypeError, ValueError), match=option):
        Interface(layer, **{option: value})


def test_an_unknown_option_is_an_error_that_names_the_nearest():
    with InMemoryChannelLayer() as layer, pytest.raises(TypeError, match=r"max_socket\b.*max_sockets"):
        Interface(layer, max_socket=5)
