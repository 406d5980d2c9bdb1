"""Interface processes in the registry of their layer."""

from __future__ import annotations

import contextlib
import gc
import os
import signal

import pytest

from asgi_redis import RedisChannelLayer
from asgi_redis.interface import Interface
from tests.support.interface.serving import ServerProcess, UvicornThread
from tests.support.interface.stand_in import Echo, StandIn
from tests.support.waiting import eventually

pytestmark = pytest.mark.native("event loops in native threads")


class Slow(Echo):
    """Leaves requests to /slow without an answer."""

    def request(self, worker, message):
        if message["path"] != "/slow":
            super().request(worker, message)


def test_a_process_tells_its_connections_until_its_end(redis_server, prefix, tmp_path):
    config = {"hosts": [redis_server.url], "prefix": prefix}
    settings = {"CHANNEL_LAYERS": {"default": {"BACKEND": "asgi_redis.RedisChannelLayer", "CONFIG": config}}}
    with contextlib.ExitStack() as stack:
        layer = stack.enter_context(RedisChannelLayer(**config))
        stack.enter_context(StandIn(layer, Slow()))
        site = stack.enter_context(ServerProcess("uvicorn", settings, tmp_path))
        sockets = [site.websocket() for _ in range(3)]
        assert site.http().request("POST", "/", b"x").body == b"x"
        slow = site.http()
        slow.start("GET", "/slow")

        def counts():
            (entry,) = layer.registry.processes()
            names = "role", "pid", "sockets", "requests", "requests_total"
            return tuple(entry.report[name] for name in names)

        eventually(layer.registry.processes)
        eventually(lambda: counts() == ("interface", site.process.pid, 3, 1, 2))
        assert not layer.registry.processes()[0].report.keys() & {"channels", "running"}
        sockets.pop().close()
        slow.close()
        eventually(lambda: counts()[2:] == (2, 0, 2))
        for one in sockets:
            one.close()
        site.shut_down()
        eventually(lambda: layer.registry.processes() == [])


def test_its_reporter_keeps_no_interface_alive(layer_for, redis_server):
    layer = layer_for(redis_server)
    with UvicornThread(Interface(layer)):
        eventually(layer.registry.processes)
    eventually(lambda: gc.collect() >= 0 and layer.registry.processes() == [])


def test_the_end_of_a_process_ends_its_entry(layer_for, redis_server):
    layer = layer_for(redis_server)
    interface = Interface(layer)
    interface.services()
    eventually(layer.registry.processes)
    interface.close_at_exit()  # for servers without lifespan events
    assert layer.registry.processes() == []


@pytest.mark.native("forks")
def test_a_forked_process_has_its_own_entry(layer_for, redis_server):
    layer = layer_for(redis_server)
    interface = Interface(layer)
    interface.services()
    pid = os.fork()
    if not pid:
        interface.services()
        signal.alarm(20)
        signal.pause()
    try:
        eventually(lambda: {entry.report["pid"] for entry in layer.registry.processes()} == {os.getpid(), pid})
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    interface.close_at_exit()
