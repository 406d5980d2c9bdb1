"""Waiting threads: woken at once, each by its messages, and by the end of the layer."""

from __future__ import annotations

import contextlib
import threading
import time

import pytest

from tests.support.threads import in_threads
from tests.support.waiting import eventually


@contextlib.contextmanager
def receiving(layer, channels, results):
    """Receives in a thread that waits, for the length of the ``with``."""
    thread = threading.Thread(target=lambda: results.append(layer.receive_batch(channels, 10, 20)))
    thread.start()
    eventually(lambda: all(name in layer.subscriptions.inboxes for name in channels))
    eventually(lambda: layer._receiver._waiting)
    yield
    thread.join(10)
    assert not thread.is_alive()


class TestWaiting:
    def test_a_message_wakes_a_waiting_thread(self, layer, other):
        channel = layer.new_channel()
        for number in range(20):
            results = []
            with receiving(layer, [channel], results):
                sent = time.monotonic()
                other.send(channel, {"n": number})
            assert time.monotonic() - sent < 10
            assert results == [[(channel, {"n": number})]]

    def test_it_waits_no_longer_than_it_should(self, layer):
        channel = layer.new_channel()
        started = time.monotonic()
        assert layer.receive_batch([channel], 1, 0.2) == []
        assert 0.2 <= time.monotonic() - started < 10

    def test_unblock_ends_the_waiting(self, layer):
        results = []
        with receiving(layer, [layer.new_channel()], results):
            layer.unblock()
        assert results == [[]]

    @pytest.mark.parametrize("end", ["close", "flush"])
    def test_the_end_of_the_layer_ends_the_waiting(self, layer, end):
        results = []
        with receiving(layer, [layer.new_channel()], results):
            getattr(layer, end)()
        assert results == [[]]

    def test_threads_share_the_messages_of_a_channel(self, pubsub_layer_for, redis_server):
        layer = pubsub_layer_for(redis_server, capacity=10_000)
        channel = layer.new_channel()
        received = [[] for _ in range(4)]

        def work(number):
            if number < 4:
                for message in range(250):
                    layer.send(channel, {"n": 250 * number + message})
            else:
                while True:
                    message = layer.receive([channel], block=True)[1]
                    if message == {"end": True}:
                        return
                    received[number - 4].append(message["n"])

        senders = threading.Thread(target=in_threads, args=(work, range(4)))
        readers = threading.Thread(target=in_threads, args=(work, range(4, 8)))
        readers.start()
        senders.start()
        senders.join()
        for _ in range(4):
            layer.send(channel, {"end": True})
        readers.join()
        numbers = [number for one in received for number in one]
        assert sorted(numbers) == list(range(1000))
        for one in received:
            for sender in range(4):
                mine = [number for number in one if number // 250 == sender]
                assert mine == sorted(mine)

    def test_threads_that_come_and_go_lose_nothing(self, layer, other):
        """Each with separate channels and a separate group, all at once."""

        def work(name):
            for number in range(20):
                channel = layer.new_channel()
                layer.group_add(name, channel)
                layer.group_add("all", channel)
                other.send_group(name, {"n": number})
                assert layer.receive([channel], block=True)[1] == {"n": number}
                layer.group_discard("all", channel)
                layer.close_channel(channel)

        in_threads(work, [f"chat.{number}" for number in range(8)])
        assert not layer.subscriptions.groups
        assert not layer.subscriptions.inboxes
