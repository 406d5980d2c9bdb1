"""Redis goes away and comes back: sockets stay open, frames wait, nothing is lost that Redis has not lost."""

from __future__ import annotations

import logging

import pytest

from asgi_redis import RedisChannelLayer
from asgi_redis.embedded import RedisServer
from tests.support import servers
from tests.support.interface.stand_in import Echo, Quiet
from tests.support.waiting import eventually

pytestmark = pytest.mark.native("event loops in native threads")

AWAY = {
    "SIGTERM": (lambda server: server.stop(), lambda server: server.start()),
    "kill -9": (lambda server: server.kill(), lambda server: server.start()),
    "SIGSTOP": (servers.pause, servers.resume),
}


@pytest.fixture
def layers(fresh_redis_server, prefix):
    return {
        name: RedisChannelLayer(hosts=[fresh_redis_server.url], prefix=prefix) for name in ("layer", "worker_layer")
    }


def interface_lines(caplog):
    """What the interface and its layer have logged, apart from the stand-in's."""
    return [r.getMessage() for r in caplog.records if r.name == "asgi_redis" and r.levelno >= logging.INFO]


@pytest.mark.parametrize("how", list(AWAY))
def test_a_socket_outlives_an_outage_and_its_frames_wait(layers, fresh_redis_server, interface_for, how):
    go_away, come_back = AWAY[how]
    running = interface_for(**layers)
    client = running.site.websocket()
    client.send("before")
    assert client.receive() == "before"
    running.worker.hold()  # it would send again what has no reply yet, although the client has it
    go_away(fresh_redis_server)
    running.worker.go()
    for number in range(5):
        client.send(str(number))
    assert not client.readable(1.0), "frames wait, and the socket is open"
    come_back(fresh_redis_server)
    assert [client.receive() for _ in range(5)] == [str(number) for number in range(5)]
    client.send("after")
    assert client.receive() == "after"
    orders = [message["order"] for message in running.worker.of("websocket.receive")]
    assert orders == list(range(1, 8))


def test_an_outage_is_one_line_at_its_beginning_and_one_at_its_end(layers, fresh_redis_server, interface_for, caplog):
    caplog.set_level(logging.INFO)
    running = interface_for(Echo(), **layers)
    clients = [running.site.websocket() for _ in range(5)]
    for client in clients:
        client.send("before")
        assert client.receive() == "before"
    running.worker.hold()  # it has a layer of its own, which logs as well
    caplog.clear()
    fresh_redis_server.kill()
    for client in clients:
        client.send("during")
    eventually(lambda: interface_lines(caplog))
    assert not clients[0].readable(1.5)
    assert len(interface_lines(caplog)) == 1, interface_lines(caplog)
    fresh_redis_server.start()
    eventually(lambda: len(interface_lines(caplog)) > 1, 20)
    running.worker.go()
    for client in clients:
        assert client.receive() == "during"
    of_interface = [line for line in interface_lines(caplog) if "again" in line or "back" in line]
    assert len(of_interface) <= 2, interface_lines(caplog)  # one of the interface, one of the stand-in's layer


def test_a_frame_waits_for_outage_timeout_and_then_the_socket_closes_with_1013(
    layers, fresh_redis_server, interface_for
):
    running = interface_for(Quiet(), outage_timeout=0.5, **layers)
    client, idle = running.site.websocket("/talks"), running.site.websocket("/idle")
    fresh_redis_server.kill()
    client.send("lost")
    assert client.close_code() == 1013
    fresh_redis_server.start()
    (disconnect,) = running.worker.sees("websocket.disconnect")
    assert (disconnect["path"], disconnect["code"]) == ("/talks", 1013)
    idle.send("fine")
    assert running.worker.sees("websocket.receive")[-1]["text"] == "fine"


def test_disconnects_during_an_outage_are_delivered_after_it(layers, fresh_redis_server, interface_for):
    running = interface_for(Quiet(), outage_timeout=0.2, **layers)
    clients = [running.site.websocket(f"/{number}") for number in range(4)]
    fresh_redis_server.kill()
    for client in clients[:2]:
        client.close_with(1000)
        client.close_code()
    for client in clients[2:]:
        client.reset()
    assert not running.site.http().readable(1.0)  # longer than outage_timeout
    fresh_redis_server.start()
    disconnects = running.worker.sees("websocket.disconnect", 4)
    assert sorted(message["path"] for message in disconnects) == ["/0", "/1", "/2", "/3"]


def test_requests_and_handshakes_during_an_outage_are_503(layers, fresh_redis_server, interface_for):
    running = interface_for(**layers)
    assert running.site.http().request().status == 200
    fresh_redis_server.kill()
    answer = running.site.http().request()
    assert answer.status == 503
    assert int(answer.header("retry-after") or 0) > 0
    assert running.site.handshake().refused().status == 503
    fresh_redis_server.start()
    eventually(lambda: running.site.http().request().status == 200, 20)
    client = running.site.websocket()
    client.send("fine")
    assert client.receive() == "fine"


@pytest.fixture
def persistent_redis_server(tmp_path):
    with RedisServer({"appendonly": "yes", "appendfsync": "always", "dir": str(tmp_path)}) as server:
        yield server


def test_groups_of_the_sockets_outlive_a_restart_with_persistence(persistent_redis_server, prefix, interface_for):
    class Room(Quiet):
        def connect(self, worker, message):
            worker.layer.group_add("room", message["reply_channel"])
            worker.reply(message, {"accept": True})

    layer, worker_layer = (RedisChannelLayer(hosts=[persistent_redis_server.url], prefix=prefix) for _ in range(2))
    running = interface_for(Room(), layer=layer, worker_layer=worker_layer)
    clients = [running.site.websocket() for _ in range(3)]
    persistent_redis_server.kill()
    persistent_redis_server.start()
    eventually(lambda: worker_layer.send_group("room", {"text": "back"}) == 0, 20)
    assert [client.receive() for client in clients] == ["back"] * 3
