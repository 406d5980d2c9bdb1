from __future__ import annotations

import contextvars
import threading
import time

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from asgi_redis.connection.redis_py import Unsent
from tests.support.workers.fakes import FakeLayer
from workers import Channel, Group, channel
from workers.channel import PendingMessageStore, pending_message_store
from workers.signals import consumer_finished, consumer_started


@pytest.fixture
def layer() -> FakeLayer:
    return FakeLayer()


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> PendingMessageStore:
    monkeypatch.setattr(channel, "FLUSH_SECONDS", 0.2)
    monkeypatch.setattr(channel, "RETRY_SECONDS", 0.01)
    return PendingMessageStore()


def fill(store: PendingMessageStore, layer: FakeLayer, *channels: str) -> None:
    store.prepare()
    for number, name in enumerate(channels):
        store.append(Channel(name, channel_layer=layer), {"n": number})


def test_it_is_active_between_prepare_and_flush(store: PendingMessageStore) -> None:
    assert not store.active
    store.prepare()
    assert store.active
    store.flush()
    assert not store.active


def test_the_consumer_signals_prepare_and_flush_it() -> None:
    consumer_started.send(sender=None, environ={})
    assert pending_message_store.active
    consumer_finished.send(sender=None)
    assert not pending_message_store.active


def test_each_thread_has_its_own(store: PendingMessageStore) -> None:
    store.prepare()
    seen: list[bool] = []
    thread = threading.Thread(target=lambda: seen.append(store.active))
    thread.start()
    thread.join()
    assert seen == [False]


def test_messages_go_out_in_order(store: PendingMessageStore, layer: FakeLayer) -> None:
    fill(store, layer, "a", "b", "a")
    store.flush()
    assert layer.sent == [("a", {"n": 0}), ("b", {"n": 1}), ("a", {"n": 2})]
    assert store.dropped == 0


def test_a_full_channel_is_tried_until_it_has_room(store: PendingMessageStore, layer: FakeLayer) -> None:
    layer.full.add("a")
    fill(store, layer, "a", "b")
    timer = threading.Timer(0.05, layer.full.clear)
    timer.start()
    store.flush()
    assert layer.sent == [("a", {"n": 0}), ("b", {"n": 1})]
    assert store.dropped == 0


def test_one_deadline_holds_for_all_messages_to_full_channels(
    store: PendingMessageStore, layer: FakeLayer, caplog: pytest.LogCaptureFixture
) -> None:
    layer.full.update("ab")
    fill(store, layer, *"ab" * 20, "c")
    start = time.monotonic()
    store.flush()
    assert 0.2 <= time.monotonic() - start < 1
    assert layer.sent == [("c", {"n": 40})]
    assert store.dropped == 40
    assert "Dropped 40 of 41" in caplog.text
    assert "<Channel 'a'>, <Channel 'b'>" in caplog.text


def test_a_send_that_failed_in_redis_is_not_repeated(
    store: PendingMessageStore, layer: FakeLayer, caplog: pytest.LogCaptureFixture
) -> None:
    layer.errors["a"] = RedisConnectionError("gone")
    fill(store, layer, "a", "b")
    store.flush()
    assert layer.attempts == 2
    assert layer.sent == [("b", {"n": 1})]
    assert store.dropped == 1
    assert "gone" in caplog.text


def test_past_the_deadline_a_redis_that_is_away_is_left_alone(
    store: PendingMessageStore, layer: FakeLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel, "FLUSH_SECONDS", 0)
    layer.errors["a"] = RedisConnectionError("gone")
    fill(store, layer, *"a" * 20)
    store.flush()
    assert layer.attempts == 1
    assert store.dropped == 20


def test_a_message_that_the_layer_refuses_costs_only_itself(
    store: PendingMessageStore, layer: FakeLayer, caplog: pytest.LogCaptureFixture
) -> None:
    layer.errors["a"] = TypeError("a set cannot be serialised")
    fill(store, layer, "a", "b")
    store.flush()
    assert layer.sent == [("b", {"n": 1})]
    assert store.dropped == 1
    assert "cannot be serialised" in caplog.text


def test_a_context_that_outlives_its_consumer_keeps_nothing(store: PendingMessageStore, layer: FakeLayer) -> None:
    """Such as that of a thread or task that the consumer has started: what it sends then goes at once."""
    store.prepare()
    copied = contextvars.copy_context()
    assert copied.run(lambda: store.active)
    store.flush()
    assert not copied.run(lambda: store.active)
    assert not store.active


def test_what_a_copied_context_sends_goes_out_with_the_consumer(store: PendingMessageStore, layer: FakeLayer) -> None:
    store.prepare()
    contextvars.copy_context().run(store.append, Channel("a", channel_layer=layer), {"n": 1})
    assert layer.sent == []
    store.flush()
    assert layer.sent == [("a", {"n": 1})]


def test_what_was_collected_may_be_sent_before_the_end(store: PendingMessageStore, layer: FakeLayer) -> None:
    fill(store, layer, "a")
    store.send_collected()
    assert layer.sent == [("a", {"n": 0})]
    assert store.active
    store.append(Channel("b", channel_layer=layer), {"n": 1})
    store.flush()
    assert layer.sent == [("a", {"n": 0}), ("b", {"n": 1})]


def test_what_redis_has_not_seen_is_sent_when_it_is_back(
    store: PendingMessageStore, layer: FakeLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also to a group, where a lost answer would leave it open. It takes longer than a full channel may."""
    monkeypatch.setattr(channel, "FLUSH_SECONDS", 0)
    refusals = [Unsent("away"), Unsent("away")]

    def send_group(group: str, message: object) -> int:
        if refusals:
            raise refusals.pop()
        layer.sent.append((group, {}))
        return 0

    layer.send_group = send_group  # type: ignore[method-assign]
    store.prepare()
    store.append(Group("g", channel_layer=layer), {})  # type: ignore[arg-type]
    store.flush()
    assert layer.sent == [("g", {})]
    assert store.dropped == 0


def test_a_full_queue_of_replies_is_tried_for_longer(
    store: PendingMessageStore, layer: FakeLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interface that has too little of the processor empties it some time; no other process does."""
    monkeypatch.setattr(channel, "FLUSH_SECONDS", 0)
    layer.full.update(["a!b", "c"])
    fill(store, layer, "c", "a!b")
    threading.Timer(0.05, layer.full.clear).start()
    store.flush()
    assert layer.sent == [("a!b", {"n": 1})]
    assert store.dropped == 1
