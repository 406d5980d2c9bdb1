"""Clients that do not read: each has a bound, and costs the others nothing."""

from __future__ import annotations

import pytest

from asgi_redis.exceptions import ChannelFull
from tests.support.interface.stand_in import Quiet
from tests.support.waiting import eventually

pytestmark = pytest.mark.native("event loops in native threads")

FRAME = "x" * 100_000
MANY = 300  # 30 MB: more than the buffers of both kernels


class Room(Quiet):
    """Adds every websocket to a group."""

    def connect(self, worker, message):
        worker.layer.group_add("room", message["reply_channel"])
        worker.reply(message, {"accept": True})


def send_when_there_is_room(worker, message, reply):
    def sent():
        try:
            worker.reply(message, reply)
        except ChannelFull:
            return bool(worker.of("websocket.disconnect"))
        return True

    eventually(sent)


NOT_READ = "its client does not read"


def flood(running, connect, caplog):
    """Sends frames to a client until it is closed, or it has more than any buffer takes."""
    for _ in range(MANY):
        if NOT_READ in caplog.text:
            return
        send_when_there_is_room(running.worker, connect, {"text": FRAME})


def connect_of(running, path):
    return next(m for m in running.worker.sees("websocket.connect") if m["path"] == path)


def test_a_client_that_does_not_read_is_closed_with_1013(interface_for, caplog):
    running = interface_for(Room(), max_buffered_bytes=500_000)
    slow = running.site.websocket("/slow", receive_buffer=4096)
    connect = connect_of(running, "/slow")
    flood(running, connect, caplog)
    eventually(lambda: NOT_READ in caplog.text)
    assert slow.close_code() == 1013
    (disconnect,) = running.worker.sees("websocket.disconnect")
    assert (disconnect["path"], disconnect["code"]) == ("/slow", 1013)


@pytest.mark.soak
def test_a_client_that_never_reads_is_dropped(interface_for, caplog):
    running = interface_for(Room(), max_buffered_bytes=500_000)
    running.site.websocket("/slow", receive_buffer=4096)
    flood(running, connect_of(running, "/slow"), caplog)
    (disconnect,) = running.worker.sees("websocket.disconnect")
    assert (disconnect["path"], disconnect["code"]) == ("/slow", 1013)


def test_a_slow_socket_costs_others_no_message_of_a_group(interface_for, caplog):
    running = interface_for(Room(), max_buffered_bytes=500_000)
    slow = running.site.websocket("/slow", receive_buffer=4096)
    fast = [running.site.websocket(f"/fast{number}") for number in range(3)]
    for number in range(MANY):
        assert running.layer.send_group("room", {"text": f"{number:08d}{FRAME}"}) == 0, "dropped for a member"
        for client in fast:
            assert int(client.receive()[:8]) == number
    eventually(lambda: NOT_READ in caplog.text)
    assert slow.close_code() == 1013


def test_a_slow_socket_costs_others_no_reply_and_no_time(interface_for):
    running = interface_for(Room(), max_buffered_bytes=64 << 20)
    running.site.websocket("/slow", receive_buffer=4096)
    other = running.site.websocket("/other")
    slow, fast = connect_of(running, "/slow"), connect_of(running, "/other")
    for number in range(MANY):
        send_when_there_is_room(running.worker, slow, {"text": FRAME})
        running.worker.reply(fast, {"text": str(number)})
        assert other.receive() == str(number)
    assert running.worker.of("websocket.disconnect") == []


def test_the_bound_is_on_frames_that_wait(interface_for):
    """A client that reads gets far more than the bound in the course of time."""
    running = interface_for(Room(), max_buffered_bytes=300_000)
    client = running.site.websocket("/a", receive_buffer=4096)
    connect = connect_of(running, "/a")
    for _ in range(MANY // 10):
        send_when_there_is_room(running.worker, connect, {"text": FRAME})
        assert client.receive() == FRAME
    assert running.worker.of("websocket.disconnect") == []
