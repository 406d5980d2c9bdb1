"""A message older than its expiry is never handed out, to the fraction of a second."""

from __future__ import annotations

import threading
import time

import pytest
import redis

from tests.support.reading import each_way_to_read


def make_older(server, key, seconds):
    """Change the scores of a queue as if its messages had been sent so many seconds before."""
    with redis.Redis.from_url(server.url) as client:
        for member, score in client.zrange(key, 0, -1, withscores=True):
            client.zadd(key, {member: score - seconds})


class TestExpiry:
    EXPIRY = 0.3

    @each_way_to_read
    def test_on_a_busy_channel_nothing_older_is_ever_received(self, layer_for, redis_server, read):
        layer = layer_for(redis_server, expiry=self.EXPIRY, capacity=10_000)
        sender = layer_for(redis_server, expiry=self.EXPIRY, capacity=10_000)
        sent, stopping = {}, threading.Event()

        def send():
            for number in range(10**6):
                if stopping.is_set():
                    return
                sender.send("work", {"number": number})
                sent[number] = time.monotonic()
                stopping.wait(0.001)

        thread = threading.Thread(target=send)
        thread.start()
        try:
            too_old, received = [], []
            # Read slower than they come, so that messages do get too old, until many must have.
            while len(received) < 100:
                time.sleep(0.015)
                asked = time.monotonic()
                _, message = read(layer, ["work"])
                if message is not None:
                    received.append(message["number"])
                    age = asked - sent.get(message["number"], asked)
                    if age > self.EXPIRY:
                        too_old.append((message["number"], age))
        finally:
            stopping.set()
            thread.join()
        assert too_old == []
        assert received == sorted(received)
        assert received[-1] > len(received) * 2, "the test was to let messages expire"

    @each_way_to_read
    def test_a_younger_message_behind_an_expired_one_is_received(self, layer_for, redis_server, read):
        layer = layer_for(redis_server, expiry=30)
        layer.send("work", {"number": 1})
        make_older(redis_server, f"{layer.prefix}work", 30.1)
        layer.send("work", {"number": 2})
        assert read(layer, ["work"]) == ("work", {"number": 2})
        assert layer.receive(["work"]) == (None, None)

    def test_below_one_second_a_message_does_arrive(self, layer_for, redis_server):
        layer = layer_for(redis_server, expiry=0.9)
        layer.send("work", {"number": 1})
        assert layer.receive(["work"]) == ("work", {"number": 1})

    def test_expired_messages_do_not_count_against_capacity(self, layer_for, redis_server):
        layer = layer_for(redis_server, expiry=self.EXPIRY, capacity=2)
        layer.send("work", {"number": 1})
        layer.send("work", {"number": 2})
        with pytest.raises(layer.ChannelFull):
            layer.send("work", {"number": 3})
        time.sleep(self.EXPIRY + 0.005)
        layer.send("work", {"number": 4})
        assert layer.channel_statistics("work")["messages_pending"] == 1
        assert layer.receive(["work"]) == ("work", {"number": 4})

    def test_group_membership_expires_unless_renewed(self, layer_for, redis_server):
        layer = layer_for(redis_server, group_expiry=0.6)
        layer.group_add("chat", "gone")
        layer.group_add("chat", "renewed")
        gone = time.monotonic() + 0.6
        time.sleep(0.4)
        layer.group_add("chat", "renewed")
        time.sleep(max(0.0, gone + 0.01 - time.monotonic()))
        assert "gone" not in layer.group_channels("chat")
        layer.group_add("chat", "renewed")
        layer.send_group("chat", {"number": 1})
        assert layer.receive(["gone"]) == (None, None)
        assert layer.receive(["renewed"]) == ("renewed", {"number": 1})
