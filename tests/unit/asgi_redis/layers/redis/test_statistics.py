"""Statistics, flush, and the layer as an object."""

from __future__ import annotations

import math
import threading
import time
from unittest.mock import ANY

import pytest
import redis

from asgi_redis import ChannelFull, RedisChannelLayer
from asgi_redis.wire.message import statistics_of
from tests.support.waiting import eventually


class TestStatistics:
    def test_a_channel_counts_what_was_sent_refused_and_waits(self, layer_for, redis_server):
        layer = layer_for(redis_server, capacity=3, stats_prefix=f"{layer_for}stats:")
        for _ in range(3):
            layer.send("work", {})
        with pytest.raises(ChannelFull):
            layer.send("work", {})
        layer.receive(["work"])
        statistics = layer.channel_statistics("work")
        age = statistics.pop("messages_max_age")
        assert statistics == {**statistics_of([3, 1, 0, 0, 0, 0]), "messages_pending": 2}
        assert 0 <= age < 30

    def test_the_age_is_that_of_the_oldest(self, layer, client, prefix):
        client.zadd(f"{prefix}work", {b"a": time.time() - 20, b"b": time.time()})
        assert math.isclose(layer.channel_statistics("work")["messages_max_age"], 20, abs_tol=5)

    def test_the_age_is_that_of_the_oldest_on_any_shard(self, sharded, three_redis_servers):
        key = f"{sharded.prefix}work"
        for server, age in zip(three_redis_servers, (5, 40, 20)):
            with redis.Redis.from_url(server.url) as client:
                client.zadd(key, {b"a": time.time() - age})
        assert math.isclose(sharded.channel_statistics("work")["messages_max_age"], 40, abs_tol=4)

    @pytest.mark.parametrize("expired", [1, 3])
    def test_each_expired_message_before_the_one_that_is_received_counts(self, layer, client, prefix, expired):
        layer.receive(["work"])  # after this a look at one queue runs no script
        client.zadd(f"{prefix}work", {f"old{number}": 1000.0 + number for number in range(expired)})
        layer.send("work", {"n": 1})
        assert layer.receive(["work"]) == ("work", {"n": 1})
        assert layer.channel_statistics("work")["messages_expired"] == expired

    def test_expired_messages_do_not_wait(self, layer, client, prefix):
        client.zadd(f"{prefix}work", {b"a": time.time() - 100})
        statistics = layer.channel_statistics("work")
        assert statistics["messages_pending"] == statistics["messages_max_age"] == 0

    def test_a_channel_that_nobody_has_heard_of_has_zeros(self, any_layer):
        assert set(any_layer.channel_statistics("unheard.of").values()) == {0}

    def test_those_of_all_shards_come_together(self, layer_for, three_redis_servers, prefix):
        layer = layer_for(*three_redis_servers, capacity=3, stats_prefix=f"{prefix}stats:")
        for _ in range(3):
            layer.send("work", {})
        for _ in range(2):
            with pytest.raises(ChannelFull):
                layer.send("work", {})
        layer.send("p!x", {})
        statistics = layer.channel_statistics("work")
        assert statistics["messages_count"] == statistics["messages_pending"] == 3
        assert statistics["channel_full_count"] == 2
        assert layer.global_statistics() == statistics_of([4, 2, 0, 0, 0, 0])

    def test_many_channels_take_one_round_trip(self, layer_for, proxy, client, prefix):
        layer = layer_for(proxy)
        channels = [f"c{number}" for number in range(300)]
        for channel in (channels[7], "p!x"):
            layer.send(channel, {})
        client.set(f"{prefix}c8", "a string", ex=60)
        client.script_flush()
        proxy.reset_counters()
        found = layer.many_channel_statistics([*channels, "p!"])
        assert proxy.round_trips < 10  # one, but the first replies may pass before the last requests
        assert proxy.bytes_to_server < 300 * 300  # the text of the script once, not for each
        assert "c8" not in found
        expected = {**layer.channel_statistics("c7"), "messages_max_age": ANY}
        assert [found.pop(name) for name in ("c7", "p!")] == [expected, expected]
        assert {count for statistics in found.values() for count in statistics.values()} == {0}

    def test_many_channels_are_on_the_shards_that_they_are_on(self, sharded):
        for _ in range(3):
            sharded.send("work", {})
        sharded.send("p!x", {})
        found = sharded.many_channel_statistics(["work", "p!", "q?x"])
        assert [statistics["messages_pending"] for statistics in found.values()] == [3, 1, 0]

    def test_many_channels_of_a_server_that_is_away_are_an_error(self, layer_for, fresh_redis_server):
        layer = layer_for(fresh_redis_server)
        fresh_redis_server.kill()
        with pytest.raises(redis.exceptions.ConnectionError):
            layer.many_channel_statistics(["work"])

    def test_group_sends_count_for_each_channel(self, layer_for, redis_server, prefix):
        layer = layer_for(redis_server, capacity=1, stats_prefix=f"{prefix}stats:")
        layer.group_add("chat", "a")
        layer.group_add("chat", "p!x")
        layer.send("a", {})
        layer.send_group("chat", {})
        assert layer.channel_statistics("a")["channel_full_count"] == 1
        assert layer.channel_statistics("p!x")["messages_count"] == 1
        assert layer.global_statistics() == statistics_of([2, 1, 0, 0, 0, 0])


class TestFlush:
    def test_it_deletes_messages_groups_and_counters(self, any_layer):
        any_layer.send("work", {})
        any_layer.send("p!x", {})
        any_layer.group_add("chat", "work")
        any_layer.flush()
        assert any_layer.receive(["work", "p!"]) == (None, None)
        assert any_layer.group_channels("chat") == []
        assert any_layer.channel_statistics("work")["messages_count"] == 0

    def test_it_deletes_thousands_of_keys(self, layer, client, prefix):
        client.mset({f"{prefix}{number}": 1 for number in range(5000)})
        layer.flush()
        assert list(client.scan_iter(f"{prefix}*", count=5000)) == []

    @pytest.mark.parametrize("pattern", ["*", "?", "[ab]", "\\", "[^a]"])
    def test_glob_characters_in_the_prefix_stand_for_themselves(self, redis_server, client, prefix, pattern):
        others = [f"{prefix}a:other", f"{prefix}xyz:other", f"{prefix}{pattern}x:other"]
        client.mset(dict.fromkeys(others, "untouched"))
        with RedisChannelLayer(
            hosts=[redis_server.url], prefix=f"{prefix}{pattern}:", stats_prefix=f"{prefix}{pattern}-:"
        ) as layer:
            layer.send("work", {"a": 1})
            layer.flush()
            assert layer.receive(["work"]) == (None, None)
            assert layer.global_statistics()["messages_count"] == 0
        assert client.exists(*others) == 3

    def test_it_leaves_the_keys_of_others_that_begin_alike(self, layer_for, redis_server, client, prefix):
        others = [
            f"{prefix}2:group:x",
            f"{prefix}_sessions:1",
            f"{prefix}:cache:1",
            f"{prefix}",
            f"{prefix}2:delayed",
        ]
        client.mset(dict.fromkeys(others, "untouched"))
        layer = layer_for(redis_server)
        another = layer_for(redis_server, prefix=f"{prefix}:other:", stats_prefix=f"{prefix}:other:stats:")
        for each in (layer, another):
            each.capacity = 1
            each.send("work", {"n": 1})
            each.group_add("chat", "p!x")
            for seconds in (0, 60):
                each.delayed.send("work", {}, seconds)
            each.delayed.deliver()
        own = set(client.keys(f"{prefix}*"))
        another.flush()
        own &= set(client.keys(f"{prefix}*"))
        assert layer.receive(["work"]) == ("work", {"n": 1})
        layer.send("work", {})
        assert set(client.keys(f"{prefix}*")) == own
        layer.flush()
        assert {key.decode() for key in client.keys(f"{prefix}*")} == set(others)

    def test_it_forgets_what_was_kept_for_other_readers(self, layer):
        layer.group_add("chat", "p!a")
        layer.group_add("chat", "p!b")
        layer.send_group("chat", {})
        assert layer.receive(["p!"])[0]
        layer.flush()
        assert layer.receive(["p!"]) == (None, None)


class TestTheObject:
    def test_close_gives_the_connections_back(self, redis_server, prefix, client):
        layer = RedisChannelLayer(hosts=[redis_server.url], prefix=prefix, connection_kwargs={"client_name": prefix})

        def connected():
            return [entry for entry in client.client_list() if entry["name"] == prefix]

        layer.send("work", {})
        assert len(connected()) == 1
        layer.close()
        eventually(lambda: not connected())
        assert layer.receive(["work"]) == ("work", {}), "it connects anew"
        layer.close()

    def test_with_closes_it(self, redis_server, prefix):
        with RedisChannelLayer(hosts=[redis_server.url], prefix=prefix) as layer:
            layer.send("work", {})
        assert not layer._shards[0].server._idle

    def test_closing_it_leaves_a_receive_that_is_waiting_alone(self, layer, redis_server, prefix):
        received = []
        thread = threading.Thread(target=lambda: received.append(layer.receive(["work"], block=True)))
        thread.start()
        eventually(lambda: layer._receiver._waiting)
        layer.close()
        layer.send("work", {"a": 1})
        thread.join(10)
        assert received == [("work", {"a": 1})]

    def test_its_str_shows_the_hosts_and_no_password(self):
        secret = "pa55word"
        layer = RedisChannelLayer(
            hosts=[
                f"redis://alice:{secret}@db.example:6380/2",
                f"rediss://:{secret}@db.example",
                {"host": "db.example", "port": 1, "password": secret},
                {"address": "unix:///tmp/redis.sock", "password": secret},
                {"sentinels": [("db", 26379)], "master_name": "mymaster", "sentinel_kwargs": {"password": secret}},
            ],
            symmetric_encryption_keys=[secret],
        )
        assert str(layer) == (
            "RedisChannelLayer(hosts=[redis://db.example:6380/2, rediss://db.example:6379/0, redis://db.example:1/0, "
            "unix:///tmp/redis.sock?db=0, sentinel service mymaster])"
        )
        assert secret not in repr(layer) + repr(layer._shards) + repr([shard.name for shard in layer._shards])
