"""A channel takes as many messages as its capacity says: not one more, not one less."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import Counter

import pytest
import redis

from asgi_redis.wire.message import statistics_of
from tests.support.threads import in_threads


class TestCapacity:
    CAPACITY = 50

    @pytest.mark.parametrize("channel", ["work", "specific.one!x", "reply?x"])
    def test_exactly_the_capacity_is_accepted_from_eight_threads(self, layer_for, redis_server, channel):
        layer = layer_for(redis_server, capacity=self.CAPACITY)
        outcomes = Counter()
        lock = threading.Lock()

        def send(sender):
            for number in range(40):
                try:
                    layer.send(channel, {"sender": sender, "number": number})
                except layer.ChannelFull:
                    outcome = "full"
                else:
                    outcome = "accepted"
                with lock:
                    outcomes[outcome] += 1

        in_threads(send, range(8))
        assert outcomes == {"accepted": self.CAPACITY, "full": 8 * 40 - self.CAPACITY}
        readable = layer.non_local_name(channel)
        assert all(layer.receive([readable])[1] for _ in range(self.CAPACITY))
        assert layer.receive([readable]) == (None, None)

    def test_it_is_never_exceeded_while_a_reader_makes_room(self, layer_for, redis_server, prefix):
        layer = layer_for(redis_server, capacity=5)
        accepted, received, most = [], [], [0]
        stopping = threading.Event()

        def send(sender):
            for number in range(300):
                with contextlib.suppress(layer.ChannelFull):
                    layer.send("work", {"number": sender * 1_000 + number})
                    accepted.append(sender * 1_000 + number)

        def receive():
            while True:
                done = stopping.is_set()
                _, message = layer.receive(["work"])
                if message is not None:
                    received.append(message["number"])
                elif done:
                    return

        def watch():
            with redis.Redis.from_url(redis_server.unix_url, protocol=2) as client:
                while not stopping.is_set():
                    most[0] = max(most[0], client.zcard(f"{prefix}work"))

        others = [threading.Thread(target=receive), threading.Thread(target=watch)]
        for thread in others:
            thread.start()
        in_threads(send, range(8))
        stopping.set()
        for thread in others:
            thread.join()
        assert most[0] <= 5
        assert sorted(received) == sorted(accepted)

    def test_a_group_send_drops_for_full_channels_and_says_for_how_many(self, layer_for, redis_server, caplog):
        layer = layer_for(redis_server, capacity=2)
        members = ["full.1", "full.2", "room.1", "specific.x!room", "specific.y!room"]
        for member in members:
            layer.group_add("chat", member)
        for member in members[:2]:
            layer.send(member, {})
            layer.send(member, {})
        with caplog.at_level(logging.INFO):
            assert layer.send_group("chat", {"number": 1}) == 2
        assert "2 of 5 channels over capacity in group chat" in caplog.messages
        for member in members[2:]:
            assert layer.receive([layer.non_local_name(member)]) == (member, {"number": 1})

    def test_eight_threads_of_group_sends_fill_a_channel_exactly(self, layer_for, redis_server):
        layer = layer_for(redis_server, capacity=self.CAPACITY)
        layer.group_add("chat", "work")
        dropped = []
        in_threads(lambda _: dropped.extend(layer.send_group("chat", {}) for _ in range(20)), range(8))
        assert sum(dropped) == 8 * 20 - self.CAPACITY
        assert len(layer.receive_batch(["work"], 1_000)) == self.CAPACITY

    def test_it_is_that_of_the_channel_however_many_shards_it_is_on(self, layer_for, three_redis_servers):
        layer = layer_for(*three_redis_servers, capacity=self.CAPACITY)
        outcomes = Counter()
        lock = threading.Lock()

        def send(_):
            for _ in range(20):
                try:
                    layer.send("work", {})
                    outcome = "accepted"
                except layer.ChannelFull:
                    outcome = "full"
                with lock:
                    outcomes[outcome] += 1

        in_threads(send, range(8))
        refused = 8 * 20 - self.CAPACITY
        assert outcomes == {"accepted": self.CAPACITY, "full": refused}
        statistics = layer.channel_statistics("work")
        assert statistics["messages_count"] == statistics["messages_pending"] == self.CAPACITY
        assert statistics["channel_full_count"] == layer.global_statistics()["channel_full_count"] == refused

    def test_one_that_does_not_divide_by_the_shards_is_kept_to_the_message(self, layer_for, three_redis_servers):
        layer = layer_for(*three_redis_servers, capacity=2)
        for _ in range(5):
            layer.send("work", {})
            layer.send("work", {})
            with pytest.raises(layer.ChannelFull):
                layer.send("work", {})
            assert len(layer.receive_batch(["work"], 10)) == 2

    def test_group_sends_use_the_room_on_every_shard(self, layer_for, three_redis_servers):
        layer = layer_for(*three_redis_servers, capacity=6)
        layer.group_add("chat", "work")
        assert [layer.send_group("chat", {"number": number}) for number in range(7)] == [0] * 6 + [1]
        assert len(layer.receive_batch(["work"], 10)) == 6

    @pytest.mark.parametrize("keys", [None, ["key"]])
    def test_a_group_send_drops_nothing_while_any_shard_has_room(self, layer_for, three_redis_servers, keys):
        layer = layer_for(*three_redis_servers, capacity=1, symmetric_encryption_keys=keys)
        channels = [f"room{number}" for number in range(6)]
        for channel in channels:
            layer.group_add("chat", channel)
        assert layer.send_group("chat", {}) == 0
        assert layer.global_statistics() == statistics_of([6, 0, 0, 0, 0, 0])
        assert layer.send_group("chat", {}) == 6
        assert layer.global_statistics() == statistics_of([6, 6, 0, 0, 0, 0])
        assert sorted(channel for channel, _ in layer.receive_batch(channels, 10)) == channels
