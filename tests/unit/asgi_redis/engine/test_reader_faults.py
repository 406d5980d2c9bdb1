"""What a worker receives with, where a server fails and something else goes wrong in that moment."""

from __future__ import annotations

import logging
import threading

import pytest
import redis

from asgi_redis import RedisChannelLayer
from tests.support.proxy import Proxy
from tests.support.waiting import eventually


@pytest.fixture
def server(fresh_redis_server):
    return fresh_redis_server


@pytest.fixture
def layer(server, prefix):
    with RedisChannelLayer(hosts=[server.url], prefix=prefix) as layer:
        yield layer


@pytest.fixture
def reader(layer):
    reader = layer.reader()
    yield reader
    reader.close()


def test_no_message_is_lost_where_the_log_raises(layer, reader, server):
    """As a filter of a project's own may."""

    def fail(record):
        logging.getLogger("asgi_redis").removeFilter(fail)
        raise LookupError("no request here")

    server.kill()
    eventually(lambda: reader.receive_batch(["c"], 1) == [] and reader.down)
    reader.receive_batch(["c"], 1)
    server.start()
    for n in range(5):
        layer.send("c", {"n": n})
    eventually(lambda: not reader.absent)
    logging.getLogger("asgi_redis").addFilter(fail)  # the first line is about the end of the outage
    with pytest.raises(LookupError):
        reader.receive_batch(["c"], 3)
    received = [content["n"] for _ in range(2) for _, content in reader.receive_batch(["c"], 10)]
    assert received == [0, 1, 2, 3, 4]


def test_a_server_that_fails_when_no_thread_can_be_started_is_tried_again(layer, reader, server, monkeypatch):
    start = threading.Thread.start

    def fail(thread):
        if thread.name.startswith("outage"):  # the one before it, that connects, was the last that could be
            raise RuntimeError("can't start new thread")
        start(thread)

    server.kill()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        with pytest.raises(RuntimeError, match="can't start"):
            reader.receive_batch(["c"], 1, 1)
    server.start()
    layer.send("c", {"n": 1})
    received = []
    eventually(lambda: received.extend(reader.receive_batch(["c"], 1, 1)) or received)


def test_a_call_was_not_complete_though_the_server_that_failed_is_back_at_its_end(server, redis_server, prefix):
    with (
        Proxy((server.host, server.port)) as proxy,
        RedisChannelLayer(hosts=[proxy.url, redis_server.url], prefix=prefix) as layer,
    ):
        reader = layer.reader()
        assert not reader.complete
        reader.receive_batch(["c"], 1, 0.01)
        assert reader.complete
        queue = f"{prefix}c"
        # The wait itself: whether it is allowed may be asked for right before it.
        proxy.cut_on(f"BZPOPMIN\r\n${len(queue)}\r\n{queue}".encode(), forward=False)
        assert reader.receive_batch(["c"], 1, 10) == []
        assert reader.absent == set()
        assert not reader.complete
        reader.receive_batch(["c"], 1)
        assert reader.complete
        reader.close()


def test_a_server_serves_also_where_none_of_the_channels_can_be_read(reader, server, prefix):
    with redis.Redis(port=server.port, protocol=2) as client:
        client.lpush(f"{prefix}bad", "old")
    assert reader.receive_batch(["bad"], 1) == []
    assert reader.serving
    assert reader.complete
