"""The messages of a response: to full channels, to slow clients, and to those that have gone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from asgi_redis import InMemoryChannelLayer, RedisChannelLayer
from asgi_redis.embedded import RedisServer
from workers import Message, channel
from workers.runtime import response_sender as module
from workers.runtime.response_sender import ResponseSender

REPLY, ACK = "http.response.client!1", "http.response.ack?a"


@pytest.fixture
def layer() -> Iterator[InMemoryChannelLayer]:
    with InMemoryChannelLayer(capacity=1000, channel_capacity={"http.response.small*": 2}) as layer:
        yield layer


def replies(layer: Any, **content: Any) -> ResponseSender:
    return ResponseSender(Message({"reply_channel": REPLY, **content}, "http.request", layer))


def chunk(size: int) -> dict[str, Any]:
    return {"content": b"x" * size, "more_content": True}


def sizes(layer: Any) -> list[int]:
    """Takes what was sent."""
    found = []
    while True:
        _, message = layer.receive(["http.response.client!"])
        if message is None:
            return found
        found.append(len(message["content"]))


def test_without_acknowledgements_all_goes_at_once(layer: InMemoryChannelLayer) -> None:
    sender = replies(layer)
    assert all(sender.send(chunk(1000)) for _ in range(5))
    assert sizes(layer) == [1000] * 5


def test_without_a_window_there_is_no_wait_for_acknowledgements(
    layer: InMemoryChannelLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ACKNOWLEDGED_SECONDS", 0)
    sender = replies(layer, ack_channel=ACK)
    assert all(sender.send(chunk(1000)) for _ in range(5))
    assert sizes(layer) == [1000] * 5


def test_a_message_larger_than_half_a_window_is_split(layer: InMemoryChannelLayer) -> None:
    sender = replies(layer, ack_channel=ACK, window=1000)
    assert sender.send({"status": 200, "headers": [], "content": b"x" * 1000, "more_content": False})
    first, second = layer.receive_batch(["http.response.client!"], 5)
    assert first[1] == {"status": 200, "headers": [], "content": b"x" * 500, "more_content": True}
    assert second[1] == {"content": b"x" * 500, "more_content": False}
    layer.send(ACK, {"written": 1000})
    assert sender.send(chunk(1000))
    assert [message["more_content"] for _, message in layer.receive_batch(["http.response.client!"], 5)] == [True] * 2


def test_no_more_than_a_window_is_under_way(layer: InMemoryChannelLayer, eventually: Callable[..., object]) -> None:
    sender = replies(layer, ack_channel=ACK, window=1000)
    sent: list[bool] = []
    thread = threading.Thread(target=lambda: sent.extend(sender.send(chunk(500)) for _ in range(6)))
    thread.start()
    eventually(lambda: len(sent) == 2)
    thread.join(0.1)
    assert sizes(layer) == [500, 500]
    layer.send(ACK, {"written": 500})
    eventually(lambda: len(sent) == 3)
    thread.join(0.1)
    assert sizes(layer) == [500]
    layer.send(ACK, {"written": 3000})
    thread.join(10)
    assert sent == [True] * 6


def test_it_ends_when_the_client_has_gone_while_it_waits(layer: InMemoryChannelLayer) -> None:
    sender = replies(layer, ack_channel=ACK, window=1000)
    layer.send(ACK, {"closed": True})
    assert [sender.send(chunk(500)) for _ in range(4)] == [True, True, False, False]


def test_it_looks_now_and_then_whether_the_client_is_there(
    layer: InMemoryChannelLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0)
    sender = replies(layer, ack_channel=ACK, window=1000)
    assert [sender.send(chunk(1)) for _ in range(2)] == [True, True]
    layer.send(ACK, {"closed": True})
    assert sender.send(chunk(1)) is False


def test_it_looks_also_before_there_is_any_content(
    layer: InMemoryChannelLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0)
    sender = replies(layer, ack_channel=ACK, window=1000)
    assert [sender.send(chunk(0)) for _ in range(2)] == [True, True]
    layer.send(ACK, {"closed": True})
    assert sender.send(chunk(0)) is False


def test_a_client_that_takes_nothing_is_given_up(
    layer: InMemoryChannelLayer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "ACKNOWLEDGED_SECONDS", 0.05)
    sender = replies(layer, ack_channel=ACK, window=1000)
    assert [sender.send(chunk(500)) for _ in range(3)] == [True, True, False]
    assert f"A response to {REPLY} is cut" in caplog.text


def test_a_client_that_takes_something_now_and_then_is_not_given_up(
    layer: InMemoryChannelLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each acknowledgement gives it the whole time again."""
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    receive_batch = layer.receive_batch

    def receive_late(channels: list[str], limit: int, timeout: float) -> Any:
        assert timeout == module.ACKNOWLEDGED_SECONDS
        now[0] += 0.75 * timeout
        layer.send(ACK, {"written": written.pop(0)})
        return receive_batch(channels, limit, 10.0)

    monkeypatch.setattr(layer, "receive_batch", receive_late)
    written = [100, 200, 300, 500]
    sender = replies(layer, ack_channel=ACK, window=1000)
    monkeypatch.setattr(module, "LOOK_SECONDS", 1e9)
    assert [sender.send(chunk(500)) for _ in range(3)] == [True, True, True]
    assert written == []


def test_acknowledgements_may_come_in_any_order(layer: InMemoryChannelLayer) -> None:
    """Each is sent by a task of the interface."""
    sender = replies(layer, ack_channel=ACK, window=1000)
    assert [sender.send(chunk(500)) for _ in range(2)] == [True, True]
    layer.send(ACK, {"written": 1000})
    layer.send(ACK, {"written": 500})
    assert [sender.send(chunk(500)) for _ in range(2)] == [True, True]
    layer.send(ACK, {"closed": True})
    layer.send(ACK, {"written": 1500})
    assert sender.send(chunk(500)) is False


def test_a_full_channel_is_waited_for(layer: InMemoryChannelLayer, monkeypatch: pytest.MonkeyPatch) -> None:
    """For the response's own time, not that of a consumer's messages."""
    monkeypatch.setattr(channel, "REPLY_SECONDS", 0)
    sender = replies(layer, reply_channel="http.response.small!1")
    sent: list[bool] = []
    thread = threading.Thread(target=lambda: sent.extend(sender.send(chunk(number)) for number in range(5)))
    thread.start()
    received = [layer.receive(["http.response.small!"], block=True)[1] for _ in range(5)]
    thread.join(10)
    assert [len(message["content"]) for message in received if message] == [0, 1, 2, 3, 4]
    monkeypatch.setattr(module, "BLOCKED_SECONDS", 0.05)
    sender.send(chunk(1))
    sender.send(chunk(1))
    with pytest.raises(layer.ChannelFull):
        sender.send(chunk(1))


def test_a_server_that_is_away_is_waited_for(
    fresh_redis_server: RedisServer, layer_for: Callable[..., RedisChannelLayer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel, "OUTAGE_SECONDS", 0)
    layer = layer_for(fresh_redis_server)
    sender = replies(layer)
    assert sender.send(chunk(1))  # on a connection that the server's end breaks
    fresh_redis_server.kill()
    sent: list[bool] = []
    thread = threading.Thread(target=lambda: sent.append(sender.send(chunk(2))))
    thread.start()
    thread.join(0.1)
    assert sent == []
    fresh_redis_server.start()
    thread.join(10)
    assert sent == [True]
    assert sizes(layer) == [2]


def test_acknowledgements_are_waited_for_while_the_server_is_away(
    fresh_redis_server: RedisServer, layer_for: Callable[..., RedisChannelLayer], eventually: Callable[..., object]
) -> None:
    layer = layer_for(fresh_redis_server)
    sender = replies(layer, ack_channel=ACK, window=1000)
    sent: list[bool] = []
    thread = threading.Thread(target=lambda: sent.extend(sender.send(chunk(500)) for _ in range(3)))
    thread.start()
    eventually(lambda: len(sent) == 2)
    fresh_redis_server.kill()
    thread.join(0.1)
    fresh_redis_server.start()
    layer.send(ACK, {"written": 1000})
    thread.join(10)
    assert sent == [True] * 3
