"""Several event loops, processes that fork, and processes that crash."""

from __future__ import annotations

import contextlib
import importlib.util
import threading

import pytest
import redis

from asgi_redis import InMemoryChannelLayer, RedisChannelLayer
from asgi_redis.interface import Interface
from tests.support.interface.serving import APPLICATION, ServerProcess, UvicornThread
from tests.support.interface.stand_in import Echo, StandIn
from tests.support.waiting import eventually

pytestmark = pytest.mark.native("event loops in native threads")


class Room(Echo):
    def connect(self, worker, message):
        worker.layer.group_add("room", message["reply_channel"])
        worker.reply(message, {"accept": True})


class Unanswering(Room):
    def request(self, worker, message):
        """Does nothing: of an upload that a crash ends, the rest never comes."""


def test_one_interface_serves_two_event_loops():
    with contextlib.ExitStack() as stack:
        layer = stack.enter_context(InMemoryChannelLayer())
        worker = stack.enter_context(StandIn(layer, Room()))
        interface = Interface(layer)
        sites = [stack.enter_context(UvicornThread(interface)) for _ in range(2)]
        clients = [site.websocket() for site in sites for _ in range(2)]
        for number, client in enumerate(clients):
            client.send(str(number))
        assert [client.receive() for client in clients] == ["0", "1", "2", "3"]
        layer.send_group("room", {"text": "all"})
        assert [client.receive() for client in clients] == ["all"] * 4
        assert [site.http().request("POST", "/", b"x").body for site in sites] == [b"x", b"x"]
        sites[0].stop()
        assert [client.close_code() for client in clients[:2]] == [1012, 1012]
        worker.sees("websocket.disconnect", 2)
        clients[3].send("still there")
        assert clients[3].receive() == "still there"


def test_a_server_that_has_shut_down_uses_the_layer_no_more():
    """Or what is closed after that would be opened again: connections, and the files of an IPC store."""
    before = threading.enumerate()
    with contextlib.ExitStack() as stack:
        layer = stack.enter_context(InMemoryChannelLayer())
        stack.enter_context(StandIn(layer))
        with UvicornThread(Interface(layer)) as site:
            assert site.http().request("POST", "/", b"x").body == b"x"
        assert "replies" not in [thread.name for thread in threading.enumerate() if thread not in before]


def test_an_interface_outlives_its_loop():
    """A server that ended and one that started anew, in one process."""
    with contextlib.ExitStack() as stack:
        layer = stack.enter_context(InMemoryChannelLayer())
        stack.enter_context(StandIn(layer))
        interface = Interface(layer)
        for number in range(3):
            with UvicornThread(interface) as site:
                client = site.websocket()
                client.send(str(number))
                assert client.receive() == str(number)


UVICORN = "uvicorn.workers.UvicornWorker"
FORKING = {
    "uvicorn": ["uvicorn", "--workers", "2", "--port", "{port}", "--timeout-graceful-shutdown", "10", APPLICATION],
    "gunicorn": ["gunicorn", "-k", "asgi", "-w", "2", "-b", "127.0.0.1:{port}", APPLICATION],
    "gunicorn-uvicorn": ["gunicorn", "-k", UVICORN, "-w", "2", "-b", "127.0.0.1:{port}", APPLICATION],
    "gunicorn-preload": ["gunicorn", "-k", UVICORN, "-w", "2", "--preload", "-b", "127.0.0.1:{port}", APPLICATION],
    "hypercorn": ["hypercorn", "-w", "2", "--graceful-timeout", "1", "-b", "127.0.0.1:{port}", APPLICATION],
    "granian": ["granian", "--interface", "asgi", "--workers", "2", "--port", "{port}", APPLICATION],
}


@pytest.mark.parametrize(
    "kind", [one if one == "uvicorn" else pytest.param(one, marks=pytest.mark.soak) for one in FORKING]
)
def test_processes_of_one_server_have_reply_channels_of_their_own(kind, redis_server, prefix, tmp_path):
    config = {"hosts": [redis_server.url], "prefix": prefix}
    settings = {"CHANNEL_LAYERS": {"default": {"BACKEND": "asgi_redis.RedisChannelLayer", "CONFIG": config}}}
    if UVICORN in FORKING[kind] and importlib.util.find_spec("uvicorn.workers") is None:
        pytest.skip("this uvicorn has no worker for gunicorn")
    with contextlib.ExitStack() as stack:
        layer = stack.enter_context(RedisChannelLayer(**config))
        worker = stack.enter_context(StandIn(layer, Room()))
        site = stack.enter_context(ServerProcess(FORKING[kind], settings, tmp_path))
        eventually(lambda: site.http().request().status == 200, 30)
        clients = []

        def prefixes():
            channels = [message["reply_channel"] for message in worker.of("websocket.connect")]
            return {channel.partition("!")[0] for channel in channels}

        def both_serve():
            clients.append(site.websocket())
            return len(prefixes()) == 2

        eventually(both_serve, 30)
        for number, client in enumerate(clients):
            client.send(str(number))
        assert [client.receive() for client in clients] == [str(number) for number in range(len(clients))]
        layer.send_group("room", {"text": "all"})
        assert [client.receive() for client in clients] == ["all"] * len(clients)
        site.shut_down()
        assert {client.close_code() for client in clients} == {1012}
        worker.sees("websocket.disconnect", len(clients))


def test_a_crash_leaves_nothing_that_outlives_its_expiry(redis_server, prefix, tmp_path):
    config = {"hosts": [redis_server.url], "prefix": prefix, "expiry": 20, "group_expiry": 30}
    settings = {"CHANNEL_LAYERS": {"default": {"BACKEND": "asgi_redis.RedisChannelLayer", "CONFIG": config}}}
    with contextlib.ExitStack() as stack:
        layer = stack.enter_context(RedisChannelLayer(**config, stats_prefix=f"{prefix}-meta:"))
        worker = stack.enter_context(StandIn(layer, Unanswering()))
        site = stack.enter_context(ServerProcess("uvicorn", settings, tmp_path))
        clients = [site.websocket() for _ in range(3)]
        clients[0].send("hello")
        assert clients[0].receive() == "hello"
        site.http().start("POST", "/", b"x" * 500_000)
        worker.hold()
        for client in clients:
            client.send("in the channel")
        site.kill()
        assert layer.send_group("room", {"text": "to the dead"}) == 0
        worker.go()
        worker.sees("websocket.receive", 1)
        with redis.Redis.from_url(redis_server.url, protocol=2) as client:
            names = list(client.scan_iter(f"{prefix}*"))
            assert names
            for name in names:
                limit = 86_400 if b"meta" in name else 30 if b":group:" in name else 20
                assert 0 < client.ttl(name) <= limit, name
