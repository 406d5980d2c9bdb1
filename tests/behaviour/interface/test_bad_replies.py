"""Replies of consumers that are wrong: a line in the log with the channel, and everything goes on."""

from __future__ import annotations

import logging
import time

import msgpack
import pytest
import redis

from asgi_redis import InMemoryChannelLayer, RedisChannelLayer
from tests.support.interface.stand_in import Connecting, Echo, Quiet
from tests.support.waiting import eventually

pytestmark = pytest.mark.native("event loops in native threads")


def warnings(caplog, channel):
    return [r for r in caplog.records if r.levelno >= logging.WARNING and channel in r.getMessage()]


@pytest.mark.parametrize(
    "reply",
    [
        {"text": 1},
        {"text": b"bytes"},
        {"bytes": "text"},
        {"bytes": [1, 2]},
        {"text": "a", "bytes": b"b"},
        {"accept": "yes"},
        {"close": "now"},
        {"close": 99},
        {"close": 70_000},
        {"close": 1006},
        {"status": "200"},
        {"content": b"of HTTP"},
        {"nonsense": 1},
        {"text": "a", "nonsense": 1},
        {},
    ],
    ids=repr,
)
def test_a_wrong_reply_to_a_websocket_is_logged_and_dropped(interface_for, caplog, reply):
    running = interface_for()
    client = running.site.websocket()
    (connect,) = running.worker.of("websocket.connect")
    running.worker.reply(connect, reply)
    running.worker.reply(connect, {"text": "fine"})
    assert client.receive() == "fine"
    (record,) = warnings(caplog, connect["reply_channel"])
    assert record.exc_info is None
    client.send("and on")
    assert client.receive() == "and on"


@pytest.mark.parametrize(
    "reply",
    [
        {"text": 1},
        {"accept": 1},
        {"accept": True, "subprotocol": 5},
        {"accept": False, "status": "401"},
        {"accept": False, "status": 401, "headers": [["str", "str"]]},
        {"accept": False, "status": 401, "content": "str"},
        {},
    ],
    ids=repr,
)
def test_a_wrong_reply_to_a_handshake_is_logged_and_the_handshake_goes_on(interface_for, caplog, reply):
    running = interface_for(Quiet())
    running.worker.hold()
    client = running.site.handshake()
    eventually(lambda: running.layer.channel_statistics("websocket.connect")["messages_count"] == 1)
    _, connect = running.layer.receive(["websocket.connect"])
    running.worker.reply(connect, reply)
    running.worker.reply(connect, {"accept": True, "text": "fine"})
    assert client.opened().receive() == "fine"
    assert warnings(caplog, connect["reply_channel"])


@pytest.mark.parametrize(
    "reply",
    [
        {"content": b"no status"},
        {"status": "200", "headers": [], "content": b""},
        {"status": 1000, "headers": [], "content": b""},
        {"status": 99, "headers": [], "content": b""},
        {"status": 101, "headers": [], "content": b""},
        {"status": True, "headers": [], "content": b""},
        {"status": 200, "headers": [["a", "b"]], "content": b""},
        {"status": 200, "headers": [[b"a"]], "content": b""},
        {"status": 200, "headers": [[b"a\r\nb", b"c"]], "content": b""},
        {"status": 200, "headers": [[b"a", b"b\r\nc: d"]], "content": b""},
        {"status": 200, "headers": [[b"a b", b"c"]], "content": b""},
        {"status": 200, "headers": [[b"", b"c"]], "content": b""},
        {"status": 200, "headers": 7, "content": b""},
        {"status": 200, "headers": [], "content": "str"},
        {"text": "of a websocket"},
        {},
    ],
    ids=repr,
)
def test_a_wrong_reply_to_a_request_is_500(interface_for, caplog, reply):
    class Wrong(Echo):
        def request(self, worker, message):
            worker.reply(message, reply)

    running = interface_for(Wrong(), http_timeout=5)
    answer = running.site.http().request()
    assert answer.status == 500
    assert warnings(caplog, running.worker.of("http.request")[0]["reply_channel"])
    running.worker.answer = Echo()
    assert running.site.http().request("POST", "/", b"fine").body == b"fine"


def test_a_reply_of_another_program_does_not_end_all_replies(interface_for, caplog, redis_server, layer_for):
    layer = layer_for(redis_server)
    running = interface_for(layer=layer)
    client = running.site.websocket()
    reply_channel = running.worker.of("websocket.connect")[0]["reply_channel"]
    foreign = msgpack.packb({b"text": "a", "other": 1, "__asgi_channel__": reply_channel})
    queue = f"{layer.prefix}{reply_channel.partition('!')[0]}!"
    with redis.Redis.from_url(redis_server.url) as connection:
        connection.zadd(queue, {b"\0" * 12 + foreign: time.time()})
    eventually(lambda: warnings(caplog, reply_channel))
    client.send("and on")
    assert client.receive() == "and on"


@pytest.mark.parametrize("second", [{"content": "str"}, {"text": "a"}, {"status": 500, "headers": [["a", "b"]]}])
def test_a_wrong_second_part_of_a_response_cuts_it(interface_for, caplog, second):
    class Wrong(Echo):
        def request(self, worker, message):
            worker.reply(message, {"status": 200, "headers": [], "content": b"part", "more_content": True})
            worker.reply(message, second)

    running = interface_for(Wrong(), http_timeout=5)
    client = running.site.http()
    client.start()
    assert client.answer_head().status == 200
    with pytest.raises((EOFError, ConnectionError)):
        list(client.chunks())
    assert warnings(caplog, running.worker.of("http.request")[0]["reply_channel"])


def test_a_response_that_is_longer_than_it_says_does_no_harm(interface_for):
    class Wrong(Echo):
        def request(self, worker, message):
            worker.reply(message, {"status": 200, "headers": [[b"content-length", b"2"]], "content": b"1234567"})

    running = interface_for(Wrong())
    client = running.site.http()
    client.start()
    client.ended()
    running.worker.answer = Echo()
    assert running.site.http().request("POST", "/", b"fine").body == b"fine"


def test_more_replies_after_the_end_of_a_response_are_dropped(interface_for):
    class Twice(Echo):
        def request(self, worker, message):
            for content in (b"first", b"second"):
                worker.reply(message, {"status": 200, "headers": [], "content": content})

    client = interface_for(Twice()).site.http()
    assert [client.request().body for _ in range(5)] == [b"first"] * 5


def test_a_subprotocol_that_was_not_asked_for_is_left_out(interface_for, caplog):
    """A client must fail at a handshake with it."""

    class Wrong(Echo):
        def connect(self, worker, message):
            worker.reply(message, {"accept": True, "subprotocol": "three"})

    running = interface_for(Wrong())
    client = running.site.websocket(subprotocols=["one", "two"])
    assert client.subprotocol is None
    assert warnings(caplog, running.worker.of("websocket.connect")[0]["reply_channel"])
    client.send("fine")
    assert client.receive() == "fine"


def test_a_second_accept_is_no_harm(interface_for):
    twice = Connecting({"accept": True}, {"accept": True, "text": "hello"})
    client = interface_for(twice).site.websocket()
    assert client.receive() == "hello"
    client.send("fine")
    assert client.receive() == "fine"


def test_a_refusal_after_accept_closes(interface_for):
    running = interface_for(Connecting({"accept": True}, {"accept": False}))
    assert running.site.websocket().close_code() in (1000, 1008)
    assert running.worker.sees("websocket.disconnect")


def test_replies_after_close_are_dropped(interface_for):
    class Closing(Echo):
        def receive(self, worker, message):
            worker.reply(message, {"close": 4000})
            worker.reply(message, {"text": "after"})
            worker.reply(message, {"close": 4001})

    running = interface_for(Closing())
    client, other = running.site.websocket(), running.site.websocket()
    client.send("go")
    assert client.close_code() == 4000
    running.worker.answer = Echo()
    other.send("fine")
    assert other.receive() == "fine"
    assert len(running.worker.sees("websocket.disconnect")) == 1


def test_a_reply_to_a_socket_that_has_gone_is_dropped(interface_for, caplog):
    running = interface_for()
    client = running.site.websocket()
    (connect,) = running.worker.of("websocket.connect")
    client.close_with(1000)
    running.worker.sees("websocket.disconnect")
    running.worker.reply(connect, {"text": "anyone there?"})
    other = running.site.websocket()
    other.send("fine")
    assert other.receive() == "fine"
    assert [r for r in caplog.records if r.levelno >= logging.ERROR] == []


def test_forged_reply_channels_reach_nobody(interface_for, caplog):
    running = interface_for()
    client = running.site.websocket()
    (connect,) = running.worker.of("websocket.connect")
    queue, _, _ = connect["reply_channel"].partition("!")
    for channel in (f"{queue}!", f"{queue}!unknown", f"{queue}!0000", "websocket.send.other!1", "http.response.x!y"):
        if not channel.endswith("!"):
            running.layer.send(channel, {"text": "forged"})
    running.layer.send(connect["reply_channel"].replace("websocket.send", "http.response"), {"text": "forged"})
    client.send("fine")
    assert client.receive() == "fine"
    assert [r for r in caplog.records if r.levelno >= logging.ERROR] == []


def test_garbage_in_the_queue_of_replies_is_dropped(interface_for, redis_server, prefix, caplog):
    with RedisChannelLayer(hosts=[redis_server.url], prefix=prefix) as layer:
        running = interface_for(layer=layer)
        client = running.site.websocket()
        (connect,) = running.worker.of("websocket.connect")
        queue, _, _ = connect["reply_channel"].partition("!")
        with redis.Redis.from_url(redis_server.url, protocol=2) as raw:
            members = [b"", b"short", b"\xff" * 40, b"0" * 12 + b"\x81\xa1a\x01", b"0" * 12 + b"\xc0"]
            for member in members:
                raw.zadd(f"{prefix}{queue}!", {member: 1e10})
            client.send("fine")
            assert client.receive() == "fine"
        client.send("and on")
        assert client.receive() == "and on"
        assert "!" in caplog.text


def test_a_worker_that_serves_websockets_wrongly_costs_requests_nothing(interface_for):
    class Wrong(Echo):
        def connect(self, worker, message):
            worker.reply(message, {"accept": 17})

    running = interface_for(Wrong(), websocket_handshake_timeout=0.3, layer=InMemoryChannelLayer())
    refused = running.site.handshake()
    assert running.site.http().request("POST", "/", b"fine").body == b"fine"
    assert refused.refused().status >= 400
