"""The calls of the layer, with Redis up and running."""

from __future__ import annotations

import gc
import weakref

import pytest

from asgi_redis import RedisPubSubChannelLayer
from tests.support.pubsub.subscribers import drain, subscribed
from tests.support.waiting import eventually


class TestChannels:
    def test_a_message_comes_to_all_that_listen_and_once_to_each(self, pubsub_layer_for, redis_server, prefix):
        readers = [pubsub_layer_for(redis_server) for _ in range(3)]
        name = f"{prefix}.work"
        for reader in readers:
            assert reader.receive([name]) == (None, None)
        readers[0].send(name, {"n": 1})
        for reader in readers:
            assert reader.receive([name], block=True) == (name, {"n": 1})
            assert reader.receive([name]) == (None, None)

    def test_a_message_to_no_listener_is_lost(self, layer, prefix):
        layer.send(f"{prefix}.work", {"n": 1})
        assert layer.receive([f"{prefix}.work"]) == (None, None)

    def test_new_channels_are_listened_to_when_they_are_returned(self, layer, other, prefix):
        for number in range(50):
            channel = layer.new_channel()
            other.send(channel, {"n": number})
            assert layer.receive([channel], block=True) == (channel, {"n": number})
            assert channel.startswith(f"{prefix}specific.")

    def test_new_channel_takes_the_patterns_of_asgi_1_too(self, layer, prefix):
        channel = layer.new_channel("http.response?")
        assert channel.startswith(f"{prefix}http.response?")
        layer.send(channel, {"n": 1})
        assert layer.receive([channel], block=True) == (channel, {"n": 1})

    def test_order_is_that_of_sending(self, layer, other):
        channel = layer.new_channel()
        for number in range(100):
            other.send(channel, {"n": number})
        eventually(lambda: len(layer.subscriptions.inboxes[channel].messages) == 100)
        assert [message["n"] for message in drain(layer, channel)] == list(range(100))

    def test_a_busy_channel_does_not_starve_a_quiet_one(self, layer):
        busy, quiet = layer.new_channel(), layer.new_channel()
        for number in range(50):
            layer.send(busy, {"n": number})
        layer.send(quiet, {"n": "quiet"})
        eventually(lambda: layer.subscriptions.inboxes[quiet].messages)
        assert quiet in [layer.receive([busy, quiet])[0] for _ in range(3)]
        layer.send(quiet, {"n": "again"})
        eventually(lambda: layer.subscriptions.inboxes[quiet].messages)
        assert [channel for channel, _ in layer.receive_batch([busy, quiet], 4)].count(quiet) == 1

    def test_a_batch_has_no_more_than_the_limit(self, layer):
        channel = layer.new_channel()
        for number in range(5):
            layer.send(channel, {"n": number})
        eventually(lambda: len(layer.subscriptions.inboxes[channel].messages) == 5)
        assert [len(layer.receive_batch([channel], 3)) for _ in range(3)] == [3, 2, 0]

    def test_receive_of_no_channels_is_empty(self, layer):
        assert layer.receive([]) == (None, None)

    def test_each_member_of_a_group_has_a_message_of_its_own(self, layer):
        channels = [layer.new_channel() for _ in range(2)]
        for channel in channels:
            layer.group_add("chat", channel)
        layer.send_group("chat", {"list": []})
        _, message = layer.receive([channels[0]], block=True)
        message["list"].append(1)
        assert layer.receive([channels[1]], block=True)[1] == {"list": []}

    @pytest.mark.parametrize("settings", [{}, {"symmetric_encryption_keys": ["key"]}, {"serializer_format": "json"}])
    def test_excluded_channels_of_all_processes_do_not_get_a_groups_message(
        self, pubsub_layer_for, redis_server, settings
    ):
        layers = [pubsub_layer_for(redis_server, **settings) for _ in range(2)]
        channels = [[layer.new_channel(), layer.new_channel()] for layer in layers]
        for layer, own in zip(layers, channels):
            for channel in own:
                layer.group_add("chat", channel)
        assert [layer.group_count("chat") for layer in layers] == [2, 2], "each knows its own"
        message = {"n": 1}
        assert layers[0].send_group("chat", message, exclude=[own[0] for own in channels]) == 0
        layers[0].send_group("chat", {"n": 2})
        assert message == {"n": 1}
        for layer, (left_out, served) in zip(layers, channels):
            assert layer.receive([left_out], block=True) == (left_out, {"n": 2})
            assert [layer.receive([served], block=True) for _ in range(2)] == [(served, {"n": 1}), (served, {"n": 2})]
            assert layer.undecodable_count == 0

    def test_close_channel_ends_all_that_it_was(self, layer, redis_server, prefix):
        channel, stays = layer.new_channel(), layer.new_channel()
        layer.group_add("chat", channel)
        layer.group_add("both", channel)
        layer.group_add("both", stays)
        layer.close_channel(channel)
        layer.close_channel(channel)
        eventually(lambda: subscribed(redis_server, prefix) == sorted([stays, f"{prefix}__group__both"]))
        assert layer.group_channels("chat") == []
        assert layer.group_channels("both") == [stays]
        layer.send_group("both", {"n": 1})
        assert layer.receive([stays], block=True) == (stays, {"n": 1})

    def test_a_channel_can_be_closed_and_opened_again_and_again(self, layer, prefix):
        name = f"{prefix}.work"
        for number in range(100):
            layer.receive([name])
            layer.send(name, {"n": number})
            assert layer.receive([name], block=True) == (name, {"n": number})
            layer.close_channel(name)


class TestGroups:
    def test_only_members_get_it(self, layer):
        inside, outside = layer.new_channel(), layer.new_channel()
        layer.group_add("chat", inside)
        assert layer.group_channels("chat") == [inside]
        assert layer.group_send("chat", {"n": 1}) == 0
        assert layer.receive([inside, outside], block=True) == (inside, {"n": 1})
        assert layer.receive([inside, outside]) == (None, None)

    def test_it_comes_once_to_a_channel_that_was_added_twice(self, layer):
        channel = layer.new_channel()
        for _ in range(2):
            layer.group_add("chat", channel)
        layer.send_group("chat", {"n": 1})
        layer.send(channel, {"n": 2})
        eventually(lambda: len(layer.subscriptions.inboxes[channel].messages) >= 2)
        assert [message["n"] for message in drain(layer, channel)] == [1, 2]

    def test_a_discarded_channel_gets_no_more(self, layer, redis_server, prefix):
        channel = layer.new_channel()
        layer.group_add("chat", channel)
        layer.group_discard("chat", channel)
        layer.group_discard("chat", channel)
        layer.group_discard("never", channel)
        eventually(lambda: subscribed(redis_server, prefix) == [channel])
        layer.send_group("chat", {"n": 1})
        layer.send(channel, {"n": 2})
        assert layer.receive([channel], block=True) == (channel, {"n": 2})
        layer.group_add("chat", channel)
        layer.send_group("chat", {"n": 3})
        assert layer.receive([channel], block=True) == (channel, {"n": 3})

    def test_a_channel_of_another_process_cannot_be_added(self, layer, other):
        channel = other.new_channel()
        with pytest.raises(RuntimeError, match=f"channel {channel} cannot be added to group chat: this process"):
            layer.group_add("chat", channel)

    def test_shards(self, pubsub_layer_for, three_redis_servers):
        layer = pubsub_layer_for(*three_redis_servers)
        channels = [layer.new_channel() for _ in range(9)]
        for number, channel in enumerate(channels):
            layer.group_add(f"chat.{number}", channel)
        for number, channel in enumerate(channels):
            layer.send_group(f"chat.{number}", {"n": number})
            layer.send(channel, {"n": -number})
        for number, channel in enumerate(channels):
            received = [layer.receive([channel], block=True)[1]["n"] for _ in range(2)]
            assert sorted(received) == sorted([number, -number])


class TestEnd:
    @pytest.mark.parametrize("end", ["close", "flush"])
    def test_nothing_is_left_and_it_can_be_used_again(self, layer, redis_server, prefix, end):
        channel = layer.new_channel()
        layer.group_add("chat", channel)
        layer.send(channel, {"n": 1})
        threads = [listener._thread for listener in layer.subscriptions._keepers.values()]
        assert threads
        getattr(layer, end)()
        assert not any(thread.is_alive() for thread in threads)
        eventually(lambda: subscribed(redis_server, prefix) == [])
        assert layer.group_channels("chat") == []
        assert layer.receive([channel]) == (None, None)
        layer.send(channel, {"n": 2})
        assert layer.receive([channel], block=True) == (channel, {"n": 2})

    def test_a_layer_that_nobody_has_any_more_stops_listening(self, redis_server, prefix):
        layer = RedisPubSubChannelLayer(hosts=[redis_server.url], prefix=prefix)
        layer.new_channel()
        assert subscribed(redis_server, prefix)
        gone = weakref.ref(layer)
        del layer
        gc.collect()
        assert gone() is None
        eventually(lambda: subscribed(redis_server, prefix) == [])


class TestProtocols:
    def test_resp_3(self, pubsub_layer_for, redis_server):
        layer = pubsub_layer_for(redis_server, connection_kwargs={"protocol": 3})
        channel = layer.new_channel()
        layer.group_add("chat", channel)
        layer.send_group("chat", {"n": 1})
        assert layer.receive([channel], block=True) == (channel, {"n": 1})
        layer.group_discard("chat", channel)
        layer.send(channel, {"n": 2})
        assert layer.receive([channel], block=True) == (channel, {"n": 2})

    def test_tls(self, pubsub_layer_for, tls_server):
        layer = pubsub_layer_for({"address": tls_server.url, "ssl_ca_certs": tls_server.ca_file})
        channel = layer.new_channel()
        layer.group_add("chat", channel)
        for size in (10, 100_000):
            layer.send_group("chat", {"text": "x" * size})
            assert layer.receive([channel], block=True) == (channel, {"text": "x" * size})

    def test_unix_socket_and_options_of_the_user(self, pubsub_layer_for, redis_server, caplog):
        """Among them redis-py's own PING, whose reply a connection that listens would not understand."""
        options = {"decode_responses": True, "health_check_interval": 0.01, "socket_timeout": 5}
        layer = pubsub_layer_for(redis_server.unix_url, connection_kwargs=options)
        for number in range(5):
            channel = layer.new_channel()
            layer.send(channel, {"n": number, "text": "\xe9", "bytes": b"\xff"})
            assert layer.receive([channel], block=True)[1] == {"n": number, "text": "\xe9", "bytes": b"\xff"}
            assert layer.receive_batch([channel], 1, 0.02) == []
        assert caplog.records == []
