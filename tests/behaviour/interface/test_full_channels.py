"""Channels that are full: frames wait, then the client's writing does, and nothing is lost or out of order."""

from __future__ import annotations

import sys
import threading

import pytest

from asgi_redis import InMemoryChannelLayer
from tests.support.interface.stand_in import Echo, Quiet
from tests.support.interface.websockets import PING, PONG, data_frame, frame
from tests.support.waiting import eventually

pytestmark = pytest.mark.native("event loops in native threads")


def queued(layer, channel):
    return layer.channel_statistics(channel)["messages_count"]


class Noting(InMemoryChannelLayer):
    """Notes the channels that messages were sent to."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.sent_to = []

    def send(self, channel, message):
        super().send(channel, message)
        self.sent_to.append(channel)


def numbers(running, path="/"):
    return [int(m["text"][:8]) for m in running.worker.of("websocket.receive") if m["path"] == path]


def with_frames_on_the_way(interface_for, layer, count, **options):
    """What runs, and a client who has sent frames while the worker takes none."""
    running = interface_for(Quiet(), layer=layer, **options)
    client = running.site.websocket()
    running.worker.hold()
    for number in range(count):
        client.send(f"{number:08d}")
    return running, client


def test_a_full_channel_makes_the_client_wait_and_loses_nothing(interface_for):
    """Frames of 64 KiB until TCP takes no more: what the interface holds of them is little."""
    layer = InMemoryChannelLayer(capacity=3)
    running = interface_for(Quiet(), layer=layer, full_channel_timeout=60)
    client = running.site.websocket()
    running.worker.hold()
    frames = [data_frame(f"{number:08d}" + "x" * 65_536) for number in range(400)]
    taken = client.write_until_refused(b"".join(frames), limit=sum(map(len, frames)))
    assert taken < sum(map(len, frames)), "TCP never pushed back"
    assert queued(layer, "websocket.receive") == 3
    running.worker.go()
    client.write(b"".join(frames)[taken:])
    running.worker.sees("websocket.receive", len(frames), 40)
    assert numbers(running) == list(range(len(frames)))
    assert [m["order"] for m in running.worker.of("websocket.receive")] == list(range(1, len(frames) + 1))


def test_a_channel_that_stays_full_closes_with_1013(interface_for):
    layer = InMemoryChannelLayer(capacity=3)
    running, client = with_frames_on_the_way(interface_for, layer, 6, full_channel_timeout=0.4)
    assert client.close_code() == 1013
    running.worker.go()
    (disconnect,) = running.worker.sees("websocket.disconnect")
    # With the number of the fourth: a consumer that goes by the order waits for no gap.
    assert (disconnect["code"], disconnect["order"]) == (1013, 4)
    # The first three were in the channel, the fourth was given up: no later one comes in its place.
    assert numbers(running) == [0, 1, 2]


def test_a_full_channel_refuses_new_websockets_with_503(interface_for):
    layer = InMemoryChannelLayer(channel_capacity={"websocket.connect": 1})
    running = interface_for(layer=layer)
    running.worker.hold()
    waiting = running.site.handshake()
    eventually(lambda: queued(layer, "websocket.connect") == 1)
    assert running.site.handshake().refused().status == 503
    running.worker.go()
    waiting.opened()


def test_sockets_that_wait_at_a_full_channel_keep_their_own_order(interface_for):
    layer = InMemoryChannelLayer(capacity=2)
    running = interface_for(Quiet(), layer=layer, full_channel_timeout=60)
    clients = [running.site.websocket(f"/{number}") for number in range(8)]
    running.worker.hold()

    def talk(client):
        for number in range(50):
            client.send(f"{number:08d}")

    threads = [threading.Thread(target=talk, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    running.worker.go()
    running.worker.sees("websocket.receive", 50 * len(clients))
    for number in range(len(clients)):
        assert numbers(running, f"/{number}") == list(range(50))


def test_a_full_channel_of_frames_keeps_no_handshake_and_no_request_waiting(interface_for):
    layer = InMemoryChannelLayer(channel_capacity={"websocket.receive": 1})
    running = interface_for(layer=layer, full_channel_timeout=60)
    client = running.site.websocket()
    running.worker.hold()
    for number in range(5):
        client.send(f"{number:08d}")
    running.worker.go()
    assert running.site.http().request().status == 200
    running.site.websocket("/other")
    assert [client.receive() for _ in range(5)] == [f"{number:08d}" for number in range(5)]


@pytest.mark.parametrize("count", [5])
def test_disconnects_wait_for_room_and_are_all_delivered(interface_for, count):
    layer = InMemoryChannelLayer(channel_capacity={"websocket.disconnect": 1})
    running = interface_for(layer=layer, full_channel_timeout=0.1)
    clients = [running.site.websocket(f"/{number}") for number in range(count)]
    running.worker.hold()
    for client in clients:
        client.close_with(1000)
        assert client.close_code() == 1000
        client.close()  # some servers wait ten seconds for that
    eventually(lambda: queued(layer, "websocket.disconnect") == 1)
    running.worker.go()
    disconnects = running.worker.sees("websocket.disconnect", count)
    assert {message["path"] for message in disconnects} == {f"/{number}" for number in range(count)}


def test_the_disconnect_comes_after_the_frames_that_wait(interface_for):
    layer = Noting(capacity=2)
    running, client = with_frames_on_the_way(interface_for, layer, 6, full_channel_timeout=60)
    client.close_with(4000)
    running.worker.go()
    running.worker.sees("websocket.disconnect")
    running.worker.sees("websocket.receive", 6)
    assert numbers(running) == list(range(6))
    # A worker that reads several channels may see the disconnect before a frame that was sent just before it.
    assert layer.sent_to[-7:] == ["websocket.receive"] * 6 + ["websocket.disconnect"]


@pytest.mark.parametrize("ws", ["websockets-sansio", "wsproto"])
def test_a_reply_to_a_client_that_has_gone_costs_none_of_its_frames(interface_for, ws):
    layer = InMemoryChannelLayer(channel_capacity={"websocket.receive": 2})
    running = interface_for(Quiet(), layer=layer, full_channel_timeout=60, server={"ws": ws})
    client = running.site.websocket()
    (accepted,) = running.worker.sees("websocket.connect")
    running.worker.hold()
    for number in range(6):
        client.send(f"{number:08d}")
    client.close_with(4000)
    assert client.close_code() == 4000
    client.close()
    running.worker.reply(accepted, {"text": "from a group"})
    with pytest.raises(AssertionError):
        eventually(lambda: queued(layer, "websocket.disconnect"), 1.5)  # its frames come first
    running.worker.go()
    (disconnect,) = running.worker.sees("websocket.disconnect")
    assert numbers(running) == list(range(6))
    assert (disconnect["code"], disconnect["order"]) == (4000, 7)


def test_frames_that_wait_when_a_consumer_closes_are_sent(interface_for):
    layer = InMemoryChannelLayer(channel_capacity={"websocket.receive": 2})
    running = interface_for(Quiet(), layer=layer, full_channel_timeout=60)
    client = running.site.websocket()
    (accepted,) = running.worker.sees("websocket.connect")
    running.worker.hold()
    for number in range(6):
        client.send(f"{number:08d}")
    eventually(lambda: queued(layer, "websocket.receive") == 2)
    running.worker.reply(accepted, {"close": 4001})
    assert client.close_code() == 4001
    running.worker.go()
    (disconnect,) = running.worker.sees("websocket.disconnect")
    assert numbers(running) == list(range(6))
    assert (disconnect["code"], disconnect["order"]) == (4001, 7)


@pytest.mark.skipif(sys.version_info < (3, 10), reason="uvicorn 0.39, the last one for Python 3.9, sends no pings so")
@pytest.mark.parametrize("ws", ["websockets-sansio", "wsproto"])
def test_a_socket_whose_frames_wait_answers_the_pings_of_its_server(interface_for, ws):
    pings = {"ws": ws, "ws_ping_interval": 0.1, "ws_ping_timeout": 60}
    layer = InMemoryChannelLayer(channel_capacity={"websocket.receive": 2})
    running = interface_for(layer=layer, full_channel_timeout=60, server=pings)
    client = running.site.websocket()
    running.worker.hold()
    for number in range(10):
        client.send(f"{number:08d}")
    eventually(lambda: queued(layer, "websocket.receive") == 2)
    for _ in range(5):  # the next ping is sent when the answer to the last one is seen
        opcode, _, payload = client.receive_frame()
        assert opcode == PING
        client.write(frame(PONG, payload))
    running.worker.go()
    assert [client.receive() for _ in range(10)] == [f"{number:08d}" for number in range(10)]


class Flooding(Echo):
    """Sends many frames for one that comes; where the reply channel is full it tries again."""

    def __init__(self, count, size):
        self.count = count
        self.size = size

    def receive(self, worker, message):
        for number in range(self.count):
            text = f"{number:08d}" + "x" * self.size
            eventually(lambda text=text: worker.reply(message, {"text": text}) is None)


def test_a_burst_of_replies_to_a_client_that_reads_loses_nothing(interface_for):
    running = interface_for(Flooding(2000, 1000), max_buffered_bytes=8 << 20)
    client = running.site.websocket()
    client.send("go")
    assert [int(client.receive()[:8]) for _ in range(2000)] == list(range(2000))
