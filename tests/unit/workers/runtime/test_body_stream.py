"""A request's body that comes in parts, as a file."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable

import pytest
from redis.exceptions import ConnectionError

from asgi_redis import InMemoryChannelLayer, RedisChannelLayer
from asgi_redis.embedded import RedisServer
from workers.exceptions import RequestAborted, RequestTimeout
from workers.runtime.body_stream import BodyStream

CHANNEL = "http.request.body?x"


def body(layer: InMemoryChannelLayer, first: bytes = b"", timeout: float = 10) -> BodyStream:
    return BodyStream(first, CHANNEL, layer, timeout)


def test_it_reads_what_comes_in_order(layer: RedisChannelLayer) -> None:
    for part in (b"b\nc", b"", b"d\n", b"e"):
        layer.send(CHANNEL, {"content": part, "more_content": part != b"e"})
    file = io.BufferedReader(BodyStream(b"a", CHANNEL, layer, 10))
    assert [file.read(1), file.readline(), file.read(2)] == [b"a", b"b\n", b"cd"]
    assert [file.read(), file.read()] == [b"\ne", b""]


def test_a_part_may_be_read_in_pieces() -> None:
    with InMemoryChannelLayer() as layer:
        layer.send(CHANNEL, {"content": b"fghi", "more_content": False})
        file = body(layer, b"abcde")
        assert [file.read(2) for _ in range(6)] == [b"ab", b"cd", b"e", b"fg", b"hi", b""]


def test_it_never_holds_more_than_some_parts() -> None:
    with InMemoryChannelLayer(capacity=100) as layer:
        for _ in range(100):
            layer.send(CHANNEL, {"content": b"x" * 1000, "more_content": True})
        file = body(layer)
        assert file.read(10) == b"x" * 10
        assert layer.channel_statistics(CHANNEL)["messages_pending"] > 90


def test_it_receives_ahead_as_far_as_it_is_told() -> None:
    with InMemoryChannelLayer(capacity=100) as layer:
        for _ in range(20):
            layer.send(CHANNEL, {"content": b"x" * 1000, "more_content": True})
        body(layer, b"y" * 4000).receive_ahead(4000)
        assert layer.channel_statistics(CHANNEL)["messages_pending"] == 20
        body(layer).receive_ahead(7000)
        assert layer.channel_statistics(CHANNEL)["messages_pending"] == 12


def test_a_client_that_has_gone_ends_it_for_good() -> None:
    with InMemoryChannelLayer() as layer:
        layer.send(CHANNEL, {"content": b"x", "more_content": True})
        layer.send(CHANNEL, {"closed": True})
        file = body(layer)
        for _ in range(2):
            with pytest.raises(RequestAborted):
                file.read(2)
        assert isinstance(file.error, OSError)


def test_after_an_outage_it_is_not_read_with_a_hole(
    fresh_redis_server: RedisServer, layer_for: Callable[..., RedisChannelLayer]
) -> None:
    layer = layer_for(fresh_redis_server)
    layer.send(CHANNEL, {"content": b"a", "more_content": True})
    file = io.BufferedReader(BodyStream(b"", CHANNEL, layer, 10))
    assert file.read(1) == b"a"
    layer.send(CHANNEL, {"content": b"lost", "more_content": True})
    fresh_redis_server.kill()
    with pytest.raises(ConnectionError):
        file.read(1)
    fresh_redis_server.start()
    layer.send(CHANNEL, {"content": b"rest", "more_content": False})
    with pytest.raises(ConnectionError):
        file.read()


def test_a_part_that_does_not_come_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with InMemoryChannelLayer() as layer, pytest.raises(RequestTimeout, match=r"0\.05 s"):
        body(layer, timeout=0.05).read()


def test_a_worker_that_stops_does_not_cut_it(eventually: Callable[..., object]) -> None:
    """A stop ends all waits of the process early."""
    with InMemoryChannelLayer() as layer:
        read: list[bytes] = []
        thread = threading.Thread(target=lambda: read.append(body(layer).read()))
        thread.start()
        end = time.monotonic() + 0.3
        while time.monotonic() < end:
            layer.unblock()
        layer.send(CHANNEL, {"content": b"late", "more_content": False})
        thread.join(10)
        assert read == [b"late"]
