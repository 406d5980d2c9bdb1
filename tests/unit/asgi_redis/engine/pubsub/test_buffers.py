"""Unreceived messages: bounded, dropped in time, and harmless when they cannot be decoded."""

from __future__ import annotations

import logging
import time

import redis

from tests.support.pubsub.subscribers import drain, subscribed
from tests.support.waiting import eventually


class TestBuffers:
    def test_the_oldest_are_dropped_at_capacity_and_counted(self, pubsub_layer_for, redis_server, caplog):
        caplog.set_level(logging.INFO, "asgi_redis")
        layer = pubsub_layer_for(redis_server, channel_capacity={"*specific.*": 3})
        channel = layer.new_channel()
        for number in range(10):
            layer.send(channel, {"n": number})
        eventually(lambda: layer.dropped_count == 7)
        assert [message["n"] for message in drain(layer, channel)] == [7, 8, 9]
        assert [record.getMessage() for record in caplog.records] == [
            f"Channel {channel!r} over capacity; its oldest messages are dropped"
        ]

    def test_a_full_channel_holds_up_no_other(self, pubsub_layer_for, redis_server):
        layer = pubsub_layer_for(redis_server, capacity=1)
        full, empty = layer.new_channel(), layer.new_channel()
        for channel in (full, empty):
            layer.group_add("chat", channel)
        for number in range(3):
            layer.send_group("chat", {"n": number})
            assert layer.receive([empty], block=True) == (empty, {"n": number})
        assert drain(layer, full) == [{"n": 2}]

    def test_expired_messages_are_not_handed_out(self, pubsub_layer_for, redis_server):
        layer = pubsub_layer_for(redis_server, expiry=0.3)
        channel = layer.new_channel()
        layer.send(channel, {"n": 1})
        eventually(lambda: layer.subscriptions.inboxes[channel].messages or layer.dropped_count)
        time.sleep(0.35)
        assert layer.receive([channel]) == (None, None)
        assert layer.dropped_count == 1

    def test_memory_comes_back_where_no_process_reads(self, pubsub_layer_for, redis_server, prefix):
        """Messages soon; the channel itself later, and one in a group after ``group_expiry``."""
        layer = pubsub_layer_for(redis_server, expiry=0.1, group_expiry=2.5)
        alone, member = layer.new_channel(), layer.new_channel()
        layer.group_add("chat", member)
        layer.send(alone, {"n": 1})
        inbox = layer.subscriptions.inboxes[alone]
        eventually(lambda: inbox.messages or layer.dropped_count)
        eventually(lambda: not inbox.messages)
        eventually(lambda: alone not in layer.subscriptions.inboxes)
        assert layer.group_channels("chat") == [member]
        eventually(lambda: subscribed(redis_server, prefix) == [])
        assert layer.group_channels("chat") == []

    def test_a_channel_that_is_read_stays(self, pubsub_layer_for, redis_server):
        layer = pubsub_layer_for(redis_server, expiry=0.05)
        channel = layer.new_channel()
        assert layer.receive_batch([channel], 1, 2.5) == []
        assert channel in layer.subscriptions.inboxes

    def test_what_cannot_be_decoded_is_dropped_and_the_next_one_read(self, layer, redis_server, caplog):
        channel = layer.new_channel()
        with redis.Redis.from_url(redis_server.url, protocol=2) as client:
            for garbage in (b"\xc1 secret", b"", b"\x93\x01\x02\x03"):
                client.publish(channel, garbage)
        layer.send(channel, {"n": 1})
        assert layer.receive([channel], block=True) == (channel, {"n": 1})
        assert layer.undecodable_count == 3
        texts = [record.getMessage() for record in caplog.records]
        assert len(texts) == 1, "one a minute for a channel"
        assert all(channel in text and "secret" not in text for text in texts)

    def test_what_another_key_has_encrypted_is_dropped(self, pubsub_layer_for, redis_server):
        layer = pubsub_layer_for(redis_server, symmetric_encryption_keys=["new", "old"])
        channel = layer.new_channel()
        pubsub_layer_for(redis_server, symmetric_encryption_keys=["foreign"]).send(channel, {"n": 1})
        pubsub_layer_for(redis_server, symmetric_encryption_keys=["old"]).send(channel, {"n": 2})
        assert layer.receive([channel], block=True) == (channel, {"n": 2})
        assert layer.undecodable_count == 1
