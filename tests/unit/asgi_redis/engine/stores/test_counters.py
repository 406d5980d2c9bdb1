"""The counters of rare events in both stores: of a channel for an hour, of all for a day."""

from __future__ import annotations

import logging

import pytest

from asgi_redis.engine.stores.store import KEPT_SECONDS, TOTAL_KEPT_SECONDS
from asgi_redis.wire.message import COUNTERS
from tests.support.stores.both import store_clock, store_layer, store_layer_for  # noqa: F401  fixtures
from tests.support.threads import in_threads
from workers import ConsumeLater, Worker, route


@pytest.fixture
def clock(store_clock):  # noqa: F811
    return store_clock


@pytest.fixture
def layer(store_layer):  # noqa: F811
    return store_layer


def counts(statistics):
    """The counters that are not 0."""
    return {name: number for name, number in statistics.items() if name in COUNTERS and number}


def test_each_counter_is_that_of_its_channel_and_of_all(layer):
    layer.send("a", {})
    for number, counter in enumerate(COUNTERS, 1):
        layer.count("a", counter, number)
    layer.count("b", "messages_retried")
    expected = {counter: number for number, counter in enumerate(COUNTERS, 1)}
    expected["messages_count"] += 1
    assert counts(layer.channel_statistics("a")) == expected
    assert counts(layer.channel_statistics("b")) == {"messages_retried": 1}
    assert counts(layer.global_statistics()) == {**expected, "messages_retried": 7}


def test_the_names_under_a_prefix_are_counted_together(layer):
    layer.count("own!a", "messages_retried")
    layer.count("own!", "messages_retried")
    assert counts(layer.channel_statistics("own!b")) == {"messages_retried": 2}


def test_those_of_a_single_reader_channel_and_of_an_unknown_one_are_those_of_all(layer):
    layer.count("reply?x", "messages_requeued")
    layer.count(None, "messages_requeued")
    assert counts(layer.channel_statistics("reply?x")) == {}
    assert counts(layer.global_statistics()) == {"messages_requeued": 2}


def test_a_message_that_is_put_back_is_counted(layer):
    layer.send("a", {"n": 1})
    layer.requeue(*layer.receive(["a"]))
    assert layer.receive(["a"]) == ("a", {"n": 1})
    assert counts(layer.channel_statistics("a")) == {"messages_count": 1, "messages_requeued": 1}


@pytest.mark.parametrize("found", ["read", "put back"])
def test_a_message_that_was_put_back_and_expires_is_counted(layer, clock, monkeypatch, found):
    monkeypatch.setattr("asgi_redis.engine.fanout.time", clock)
    layer.requeue("a", {"n": 1})
    clock.now += layer.expiry + 1
    if found == "read":
        assert layer.receive(["a"]) == (None, None)
    else:
        layer.requeue("b", {"n": 2})
    assert layer.channel_statistics("a")["messages_expired"] == 1


def test_a_message_that_cannot_be_decoded_is_counted_when_it_is_dropped(layer):
    layer.store.push([("a", "a", b"\xc1", 10), ("a", "a", b"\xc1", 10), ("own!", "other!x", b"\x80", 10)], 60)
    layer.send("a", {"n": 1})
    assert layer.receive(["a"]) == ("a", {"n": 1})
    assert layer.receive(["own!"]) == (None, None)
    assert counts(layer.channel_statistics("a")) == {"messages_count": 3, "messages_undecodable": 2}
    assert counts(layer.channel_statistics("own!")) == {"messages_count": 1, "messages_undecodable": 1}
    assert layer.global_statistics()["messages_undecodable"] == layer.undecodable_count == 3


def test_a_message_that_a_worker_postpones_is_counted(layer):
    attempts = []

    def consumer(message):
        attempts.append(message["n"])
        if len(attempts) == 1:
            raise ConsumeLater

    layer.send("a", {"n": 1})
    assert Worker(layer, [route("a", consumer)], burst=True).run() == 0
    assert attempts == [1, 1]
    assert counts(layer.channel_statistics("a")) == {"messages_count": 2, "messages_retried": 1}


def test_they_last_an_hour_and_those_of_all_a_day(layer, clock):
    layer.count("a", "messages_undecodable")
    clock.now += KEPT_SECONDS
    assert counts(layer.channel_statistics("a")) == {"messages_undecodable": 1}
    clock.now += 1
    assert counts(layer.channel_statistics("a")) == {}
    layer.count("a", "messages_retried")
    assert counts(layer.channel_statistics("a")) == {"messages_retried": 1}
    assert counts(layer.global_statistics()) == {"messages_undecodable": 1, "messages_retried": 1}
    clock.now += TOTAL_KEPT_SECONDS + 1
    assert counts(layer.global_statistics()) == {}


def test_flush_removes_them(layer):
    layer.count("a", "messages_retried")
    layer.flush()
    assert counts(layer.channel_statistics("a")) == counts(layer.global_statistics()) == {}


def test_threads_lose_none(layer):
    in_threads(lambda _: [layer.count("a", "messages_retried") for _ in range(200)], range(4))
    assert layer.channel_statistics("a")["messages_retried"] == 800
    assert layer.global_statistics()["messages_retried"] == 800


def test_nothing_of_a_channel_stays_for_ever(layer, clock):
    for number in range(300):
        layer.count(f"gone.{number}", "messages_undecodable")
    clock.now += KEPT_SECONDS + 1
    for _ in range(100):
        layer.send("reply?alive", {})
        clock.now += 0.1
    store = layer.store
    if hasattr(store, "transact"):
        keys = store.transact(lambda environment, txn, at: [key for key, _ in txn.cursor() if key[:2] == b"se"])
        assert keys == [b"se"]
    else:
        assert store._counters.queues() == ["reply?alive"]
    assert layer.global_statistics()["messages_undecodable"] == 300


def test_a_store_that_cannot_be_written_to_costs_counts_and_no_message(store_layer_for, monkeypatch, caplog):  # noqa: F811
    layer = store_layer_for()
    if not hasattr(layer.store, "transact"):
        pytest.skip("memory can always be written to")
    transact = layer.store.transact

    def fails(work, *arguments):
        if work.__name__ == "add":
            raise OSError("no space left")
        return transact(work, *arguments)

    monkeypatch.setattr(layer.store, "transact", fails)
    with caplog.at_level(logging.DEBUG, "asgi_redis"):
        layer.count("a", "messages_retried")
    assert "messages_retried is not counted" in caplog.text
    monkeypatch.undo()
    assert counts(layer.channel_statistics("a")) == {}
