"""Receiving from a store, in the moment between looking and waiting, too."""

from __future__ import annotations

import errno
import threading
import time

import pytest

from asgi_redis import InMemoryChannelLayer


@pytest.fixture
def layer():
    return InMemoryChannelLayer()


@pytest.fixture
def just_before_waiting(layer, monkeypatch):
    """``just_before_waiting(action)``: calls it after the first look, when the receiver starts to listen."""

    def arrange(action):
        listen = layer.store.listen

        def acting(queues):
            action()
            return listen(queues)

        monkeypatch.setattr(layer.store, "listen", acting)

    return arrange


def seconds(action):
    began = time.monotonic()
    action()
    return time.monotonic() - began


def test_a_message_that_comes_between_looking_and_listening_is_seen(layer, just_before_waiting):
    just_before_waiting(lambda: layer.send("a", {"n": 1}))
    began = time.monotonic()
    assert layer.receive_batch(["a"], 1, 5) == [("a", {"n": 1})]
    assert time.monotonic() - began < 4


def test_an_unblock_between_looking_and_listening_is_not_missed(layer, just_before_waiting):
    just_before_waiting(layer.unblock)
    assert seconds(lambda: layer.receive_batch(["a"], 1, 5)) < 4


def test_a_readers_unblock_between_looking_and_listening_is_not_missed(layer, just_before_waiting):
    reader = layer.reader()
    reader.receive_batch(["a"], 1)
    just_before_waiting(reader.unblock)
    assert seconds(lambda: reader.receive_batch(["a"], 1, 5)) < 4


def test_an_unblock_of_before_does_not_end_a_wait(layer):
    layer.unblock()
    assert seconds(lambda: layer.receive_batch(["a"], 1, 0.1)) >= 0.1


def test_the_readers_of_a_layer_are_unblocked_one_by_one(layer):
    one, other = layer.reader(), layer.reader()
    for reader in (one, other):
        reader.receive_batch(["a"], 1)
    one.unblock()
    assert seconds(lambda: other.receive_batch(["a"], 1, 0.1)) >= 0.1
    assert seconds(lambda: one.receive_batch(["a"], 1, 5)) < 4


def test_a_reader_serves_once_the_store_has_answered_and_not_after_an_error(layer, monkeypatch):
    reader = layer.reader()
    assert not reader.serving
    assert seconds(lambda: reader.receive_batch(["a"], 1, 5)) < 4  # the first one shows that at once
    assert reader.serving
    with monkeypatch.context() as patch:
        patch.setattr(layer.store, "pop", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            reader.receive_batch(["a"], 1, 5)
    assert not reader.serving
    reader.receive_batch(["a"], 1)
    assert reader.serving


def test_a_reader_serves_while_it_waits(layer, just_before_waiting):
    reader, serves = layer.reader(), []
    reader.receive_batch(["a"], 1)
    just_before_waiting(lambda: serves.append(reader.serving))
    reader.receive_batch(["a"], 1, 0.01)
    assert serves == [True]


def test_a_batch_of_nothing_that_can_be_decoded_is_looked_behind(layer, caplog):
    layer.store.push([("a", "a", b"\xc1", 100)] * 5 + [("a", "a", b"\x07", 100)], 60)
    layer.send("a", {"n": 1})
    assert layer.receive_batch(["a"], 3) == [("a", {"n": 1})]
    assert layer.undecodable_count == 6
    assert caplog.text.count("Dropped a message on channel 'a' that cannot be decoded") == 1


def test_a_requeued_message_comes_first_and_wakes_a_receiver(layer, just_before_waiting):
    layer.send("a", {"n": 2})
    layer.requeue("a", {"n": 1})
    assert [layer.receive(["a"])[1]["n"] for _ in range(2)] == [1, 2]
    just_before_waiting(lambda: layer.requeue("own!b", {"n": 3}))
    assert layer.receive_batch(["own!"], 1, 5) == [("own!b", {"n": 3})]


def test_flush_forgets_requeued_messages(layer):
    layer.requeue("a", {"n": 1})
    layer.flush()
    assert layer.receive(["a"]) == (None, None)


def test_an_error_while_waiting_leaves_no_listener(layer, monkeypatch, just_before_waiting):
    just_before_waiting(lambda: monkeypatch.setattr(layer.store, "pop", lambda *_: 1 / 0))
    with pytest.raises(ZeroDivisionError):
        layer.receive_batch(["a"], 1, 5)
    assert not layer.receiver._listeners
    assert not layer.store._waiting.pipes


def test_only_a_call_after_one_that_had_to_wait_begins_to_wait_at_once(layer, just_before_waiting):
    listened = []
    just_before_waiting(lambda: listened.append(1))

    def listens(timeout):
        layer.receive_batch(["a"], 1, timeout)
        had, listened[:] = len(listened), []
        return bool(had)

    assert listens(0.01)
    assert not listens(0)
    seen = []
    for _ in range(3):
        layer.send("a", {})
        seen.append(listens(5))
    assert seen == [True, False, False]


def test_a_receiver_that_can_wait_no_more_still_finds_messages(layer, monkeypatch):
    """The last call had to wait, so the next one begins with that; the one after an error looks first."""

    def fail(_):
        raise OSError(errno.EMFILE, "Too many open files")

    assert layer.receive_batch(["a"], 1, 0.01) == []
    layer.send("a", {"n": 1})
    monkeypatch.setattr(layer.store, "listen", fail)
    with pytest.raises(OSError, match="Too many open files"):
        layer.receive_batch(["a"], 1, 5)
    assert layer.receive_batch(["a"], 1, 5) == [("a", {"n": 1})]


def test_all_that_wait_for_a_channel_get_one_message_each(layer):
    received = []
    threads = [threading.Thread(target=lambda: received.extend(layer.receive_batch(["a"], 1, 10))) for _ in range(5)]
    for thread in threads:
        thread.start()
    for number in range(5):
        layer.send("a", {"n": number})
    for thread in threads:
        thread.join()
    assert sorted(message["n"] for _, message in received) == list(range(5))
