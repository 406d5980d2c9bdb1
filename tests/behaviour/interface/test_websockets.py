"""Websockets between a client and a worker."""

from __future__ import annotations

import pytest

from asgi_redis import InMemoryChannelLayer
from tests.support.interface.stand_in import Connecting, Echo, Quiet, Silent
from tests.support.interface.websockets import (
    ABNORMAL,
    BINARY,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Closed,
    frame,
)
from tests.support.waiting import eventually

pytestmark = pytest.mark.native("event loops in native threads")


def test_a_handshake_has_the_keys_of_asgi_1(interface_for):
    running = interface_for()
    client = running.site.websocket("/ch%C3%A4t?a=%20b", [("Cookie", "a=b"), ("X-Two", "1"), ("X-Two", "2")])
    (message,) = running.worker.of("websocket.connect")
    assert message["reply_channel"].startswith("websocket.send.")
    assert message["scheme"] == "ws"
    assert message["path"] == "/chät"
    assert message["query_string"] == b"a=%20b"
    assert message["root_path"] == ""
    assert message["client"] == list(client.socket.getsockname())
    assert message["server"] == ["127.0.0.1", running.site.port]
    assert message["subprotocols"] == []
    assert message["order"] == 0
    headers = [tuple(pair) for pair in message["headers"]]
    assert (b"cookie", b"a=b") in headers
    assert [value for name, value in headers if name == b"x-two"] == [b"1", b"2"]


def test_frames_come_in_order_and_go_back(interface_for):
    running = interface_for()
    client = running.site.websocket("/echo")
    sent = ["text", b"bytes", "", b"", "ä€\U0001f600", b"\x00\xff" * 70_000, "x" * 70_000]
    for data in sent:
        client.send(data)
    assert [client.receive() for _ in sent] == sent
    received = running.worker.of("websocket.receive")
    assert [message["order"] for message in received] == list(range(1, len(sent) + 1))
    assert {message["path"] for message in received} == {"/echo"}
    (connect,) = running.worker.of("websocket.connect")
    assert {message["reply_channel"] for message in received} == {connect["reply_channel"]}
    client.close_with(4321)
    (disconnect,) = running.worker.sees("websocket.disconnect")
    assert disconnect == {
        "reply_channel": connect["reply_channel"],
        "path": "/echo",
        "code": 4321,
        "order": len(sent) + 1,
    }


@pytest.mark.parametrize("code", [1000, 1001, 3000, 4999])
def test_the_close_code_of_the_client_arrives(interface_for, code):
    running = interface_for()
    running.site.websocket().close_with(code)
    assert running.worker.sees("websocket.disconnect")[0]["code"] == code


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_client_that_vanishes_is_1006(interface_for, how):
    running = interface_for()
    getattr(running.site.websocket(), how)()
    assert running.worker.sees("websocket.disconnect")[0]["code"] in (1005, ABNORMAL)


@pytest.mark.parametrize(("close", "code"), [(True, 1000), (4000, 4000), (1001, 1001)])
def test_a_worker_closes_with_a_code(interface_for, close, code):
    class Closing(Echo):
        def receive(self, worker, message):
            worker.reply(message, {"text": "last words", "close": close})

    running = interface_for(Closing())
    client = running.site.websocket()
    client.send("go")
    assert client.receive() == "last words"
    assert client.close_code() == code
    (disconnect,) = running.worker.sees("websocket.disconnect")
    assert disconnect["code"] == code


def test_text_in_the_first_reply_accepts(interface_for):
    running = interface_for(Connecting({"text": "welcome"}))
    assert running.site.websocket().receive() == "welcome"


def test_accept_and_bytes_in_one_reply(interface_for):
    running = interface_for(Connecting({"accept": True, "bytes": b"\x00\xff"}))
    assert running.site.websocket().receive() == b"\x00\xff"


def test_accept_and_close_in_one_reply(interface_for):
    running = interface_for(Connecting({"accept": True, "text": "full", "close": 4001}))
    client = running.site.websocket()
    assert client.receive() == "full"
    assert client.close_code() == 4001


@pytest.mark.parametrize("asked", [["one", "two"], []])
def test_subprotocols(interface_for, asked):
    running = interface_for(Connecting({"accept": True, "subprotocol": "two"} if asked else {"accept": True}))
    client = running.site.websocket(subprotocols=asked)
    assert running.worker.of("websocket.connect")[0]["subprotocols"] == asked
    assert client.subprotocol == ("two" if asked else None)


@pytest.mark.parametrize("reply", [{"accept": False}, {"close": True}, {"close": 4000}])
def test_a_refusal_is_403(interface_for, reply):
    running = interface_for(Connecting(reply))
    client = running.site.handshake("/no")
    assert client.refused().status == 403
    running.worker.sees("websocket.connect")
    assert running.site.http().request().status == 200


def test_a_refusal_with_the_keys_of_a_response_is_that_response(interface_for):
    """Where the server has the extension ``websocket.http.response``, as uvicorn does."""
    reply = {"accept": False, "status": 401, "headers": [[b"x-reason", b"password"]], "content": b"who are you?"}
    running = interface_for(Connecting(reply))
    answer = running.site.handshake("/no").refused()
    assert (answer.status, answer.header("x-reason"), answer.body) == (401, "password", b"who are you?")


def test_a_handshake_that_no_worker_answers_is_refused(interface_for):
    running = interface_for(Silent(), websocket_handshake_timeout=0.2)
    answer = running.site.handshake("/nobody").refused()
    assert answer.status in (403, 503, 504)
    (disconnect,) = running.worker.sees("websocket.disconnect")
    (connect,) = running.worker.sees("websocket.connect")
    assert disconnect["reply_channel"] == connect["reply_channel"]


def test_a_late_accept_of_a_refused_handshake_is_no_harm(interface_for):
    running = interface_for(Silent(), websocket_handshake_timeout=0.2)
    running.site.handshake("/nobody").refused()
    running.worker.reply(running.worker.sees("websocket.connect")[0], {"accept": True, "text": "late"})
    running.worker.answer = Echo()
    client = running.site.websocket()
    client.send("fine")
    assert client.receive() == "fine"


def test_a_websocket_lives_for_websocket_timeout(interface_for):
    timeouts = {"websocket_timeout": 0.2, "websocket_handshake_timeout": 600}  # the latter ends with the accept
    running = interface_for(Connecting({"accept": True, "text": "alive"}), **timeouts)
    client = running.site.websocket()
    assert client.receive() == "alive"
    assert client.close_code() == 1000
    assert running.worker.sees("websocket.disconnect")[0]["code"] == 1000


def test_a_client_that_goes_during_its_handshake_is_reported(interface_for):
    running = interface_for(Silent())
    client = running.site.handshake()
    running.worker.sees("websocket.connect")
    client.close()
    assert running.worker.sees("websocket.disconnect")


def test_a_message_in_fragments_is_one_message(interface_for):
    running = interface_for()
    client = running.site.websocket()
    data = "ä€\U0001f600".encode()
    client.write(
        frame(TEXT, data[:1], fin=False) + frame(PING, b"in between") + frame(CONTINUATION, data[1:3], fin=False)
    )
    client.write(frame(CONTINUATION, data[3:]))
    client.write(frame(BINARY, b"a", fin=False) + frame(CONTINUATION, b"", fin=False) + frame(CONTINUATION, b"b"))
    assert client.receive_frame() == (PONG, True, b"in between")
    assert [client.receive(), client.receive()] == [data.decode(), b"ab"]


def test_bytes_that_come_one_by_one_are_frames(interface_for):
    running = interface_for()
    client = running.site.websocket()
    for byte in frame(TEXT, b"slowly"):
        client.write(bytes([byte]))
    assert client.receive() == "slowly"


@pytest.mark.parametrize(
    ("rubbish", "codes"),
    [
        (frame(TEXT, b"\xff\xfe"), {1007}),
        (frame(TEXT, b"\xc3"), {1007}),
        (frame(0x3, b"no such opcode"), {1002}),
        (frame(TEXT, b"a", rsv=2), {1002}),
        (frame(CONTINUATION, b"of nothing"), {1002}),
        (frame(PING, b"too long a ping" * 10), {1002}),
        (frame(0x8, b"\x00"), {1002}),
    ],
    ids=["no UTF-8", "cut UTF-8", "opcode", "reserved bit", "continuation of nothing", "long ping", "short close"],
)
def test_frames_against_the_protocol_close_their_own_websocket_only(interface_for, rubbish, codes):
    running = interface_for()
    other = running.site.websocket("/other")
    client = running.site.websocket("/bad")
    client.send("before")
    assert client.receive() == "before"  # the server need not answer after the rubbish
    client.write(rubbish)
    assert client.close_code() in codes
    (disconnect,) = running.worker.sees("websocket.disconnect")
    assert (disconnect["path"], disconnect["order"]) == ("/bad", 2)
    other.send("fine")
    assert other.receive() == "fine"


def test_a_half_closed_connection_ends_and_is_reported(interface_for):
    running = interface_for()
    client = running.site.websocket()
    client.half_close()
    assert client.ended()
    assert running.worker.sees("websocket.disconnect")


def test_many_websockets_at_once_do_not_mix(interface_for):
    running = interface_for(layer=InMemoryChannelLayer(capacity=1000))
    clients = [running.site.websocket(f"/{number}") for number in range(30)]
    for round_ in range(10):
        for number, client in enumerate(clients):
            client.send(f"{number} {round_}")
    for number, client in enumerate(clients):
        assert [client.receive() for _ in range(10)] == [f"{number} {round_}" for round_ in range(10)]


def test_a_group_message_reaches_each_member_once(interface_for):
    class Joining(Quiet):
        def connect(self, worker, message):
            worker.layer.group_add("room", message["reply_channel"])
            worker.reply(message, {"accept": True})

        def __call__(self, worker, channel, message):
            super().__call__(worker, channel, message)
            if channel == "websocket.disconnect":
                worker.layer.group_discard("room", message["reply_channel"])

    running = interface_for(Joining())
    clients = [running.site.websocket() for _ in range(5)]
    running.layer.send_group("room", {"text": "all"})
    assert [client.receive() for client in clients] == ["all"] * 5
    clients.pop().close_with(1000)
    running.worker.sees("websocket.disconnect")
    eventually(lambda: len(running.layer.group_channels("room")) == 4)
    running.layer.send_group("room", {"close": 4000})
    for client in clients:
        with pytest.raises(Closed) as closed:
            client.receive()
        assert closed.value.code == 4000
