"""Groups."""

from __future__ import annotations

import logging
import time

import pytest
import redis

from asgi_redis import RedisChannelLayer
from asgi_redis.connection import execute


class TestGroups:
    def test_a_message_reaches_every_member(self, any_layer):
        for channel in ("work", "p!a", "p!b", "q!c", "reply?d"):
            any_layer.group_add("chat", channel)
        assert any_layer.send_group("chat", {"text": "all"}) == 0
        queues = ("work", "p!", "p!", "q!", "reply?d")
        received = [any_layer.receive([queue]) for queue in queues]
        assert sorted(channel for channel, _ in received) == ["p!a", "p!b", "q!c", "reply?d", "work"]
        assert [message for _, message in received] == [{"text": "all"}] * 5
        assert [any_layer.receive([queue]) for queue in queues] == [(None, None)] * 5

    def test_group_send_is_the_same_call(self, layer):
        layer.group_add("chat", "work")
        assert layer.group_send("chat", {"a": 1}) == 0
        assert layer.receive(["work"]) == ("work", {"a": 1})

    def test_a_member_that_was_discarded_gets_nothing(self, any_layer):
        any_layer.group_add("chat", "work")
        any_layer.group_add("chat", "p!a")
        any_layer.group_discard("chat", "work")
        any_layer.group_discard("chat", "never.there")
        assert any_layer.group_channels("chat") == ["p!a"]
        any_layer.send_group("chat", {})
        assert any_layer.receive(["work"]) == (None, None)
        assert any_layer.receive(["p!"]) == ("p!a", {})

    def test_group_channels_lists_full_names_once(self, any_layer):
        for channel in ("p!a", "work", "p!a"):
            any_layer.group_add("chat", channel)
        assert sorted(any_layer.group_channels("chat")) == ["p!a", "work"]
        assert any_layer.group_channels("empty") == []

    def test_excluded_members_share_no_entry_with_others(self, any_layer):
        for channel in ("work", "p!a", "p!b", "q!c", "reply?d"):
            any_layer.group_add("chat", channel)
        for exclude in (["p!a", "q!c", "work"], {"p!a": 1, "work": 2, "q!c": 3}, iter(["work", "p!a", "q!c"])):
            assert any_layer.send_group("chat", {"text": "rest"}, exclude=exclude) == 0
            assert any_layer.receive_batch(["p!", "q!", "work"], 10) == [("p!b", {"text": "rest"})]
            assert any_layer.receive(["reply?d"]) == ("reply?d", {"text": "rest"})
        assert any_layer.send_group("chat", {"text": "none"}, exclude=any_layer.group_channels("chat")) == 0
        assert any_layer.receive_batch(["p!", "q!", "work", "reply?d"], 10) == []

    def test_a_message_that_cannot_be_sent_raises_where_all_members_are_excluded(self, any_layer):
        any_layer.group_add("chat", "work")
        with pytest.raises(TypeError, match="message"):
            any_layer.send_group("chat", {"text": object()}, exclude=["work"])

    def test_excluded_members_are_not_among_those_that_were_full(self, layer_for, redis_server, caplog):
        layer = layer_for(redis_server, capacity=1)
        for channel in ("a", "p!x", "p!y", "b"):
            layer.group_add("chat", channel)
            layer.send(channel, {}) if channel != "p!y" else None
        with caplog.at_level(logging.INFO, "asgi_redis"):
            assert layer.send_group("chat", {}, exclude=["a", "p!x"]) == 2
        assert "2 of 2 channels over capacity in group chat" in caplog.messages
        assert layer.channel_statistics("a")["channel_full_count"] == 0

    def test_it_returns_for_how_many_it_was_dropped_and_logs_it(self, layer_for, redis_server, caplog):
        layer = layer_for(redis_server, capacity=1)
        for channel in ("a", "p!x", "p!y", "b"):
            layer.group_add("chat", channel)
        layer.send("a", {})
        layer.send("p!z", {})
        with caplog.at_level(logging.INFO, "asgi_redis"):
            assert layer.send_group("chat", {}) == 3
        assert "3 of 4 channels over capacity in group chat" in caplog.messages
        assert layer.receive(["b"]) == ("b", {})

    def test_the_count_leaves_out_memberships_that_have_expired_and_writes_nothing(self, any_layer):
        for channel in ("work", "p!a"):
            any_layer.group_add("chat", channel)
        shard = any_layer.plans.group_shard("chat")
        with redis.Redis.from_url(any_layer.hosts[shard]) as client:
            key = f"{any_layer.prefix}:group:chat"
            client.zadd(key, {"p!old": time.time() - 86401, "p!ancient": 1})
            assert any_layer.group_count("chat") == 2
            assert client.zcard(key) == 4

    def test_the_count_needs_no_write_access(self, layer_for, redis_server, layer, client):
        layer.group_add("chat", "work")
        rules = ("on", "nopass", "~*", "-@all", "+@connection", "+eval", "+evalsha", "+info", "+time", "+zcount")
        try:
            client.execute_command("ACL", "SETUSER", "counter", *rules)
        except redis.ResponseError as error:
            pytest.skip(f"no ACL: {error}")
        reader = layer_for(f"redis://counter:any@{redis_server.host}:{redis_server.port}")
        assert reader.group_count("chat") == 1

    def test_a_subclass_with_members_of_its_own_counts_these(self, redis_server, prefix):
        class Fixed(RedisChannelLayer):
            def group_channels(self, group):
                return ["a", "b", "c"]

        with Fixed(hosts=[redis_server.url], prefix=prefix) as layer:
            assert layer.group_count("chat") == 3
            assert layer.send_group("chat", {"n": 1}, exclude=["b"]) == 0
            assert sorted(channel for channel, _ in layer.receive_batch(["a", "b", "c"], 3)) == ["a", "c"]

    def test_a_group_of_five_thousand_is_served(self, layer, client, prefix):
        now = time.time()
        client.zadd(f"{prefix}:group:crowd", {f"p{number}!x": now for number in range(5000)})
        assert layer.send_group("crowd", {"text": "all"}) == 0
        assert client.eval("return #redis.call('KEYS', ARGV[1])", 0, f"{prefix}p*!") == 5000
        assert layer.receive(["p4999!"]) == ("p4999!x", {"text": "all"})
        assert layer.group_count("crowd") == 5000

    def test_five_thousand_members_in_one_process_share_one_entry(self, layer, client, prefix):
        now = time.time()
        client.zadd(f"{prefix}:group:crowd", {f"p!{number}": now for number in range(5000)})
        assert layer.send_group("crowd", {"text": "all"}) == 0
        assert client.zcard(f"{prefix}p!") == 1
        assert len(layer.receive_batch(["p!"], 10_000)) == 5000

    def test_members_that_another_program_made_up_are_left_out(self, layer, client, prefix):
        layer.group_add("chat", "work")
        client.zadd(f"{prefix}:group:chat", {"é": time.time(), "x" * 300: time.time(), b"\xff": time.time()})
        assert layer.group_channels("chat") == ["work"]
        assert layer.send_group("chat", {"a": 1}) == 0
        assert layer.receive(["work"]) == ("work", {"a": 1})

    @pytest.mark.parametrize("settings", [{}, {"symmetric_encryption_keys": ["key"]}])
    def test_a_group_with_no_other_members_than_those_is_as_good_as_empty(
        self, layer_for, redis_server, client, prefix, settings
    ):
        layer = layer_for(redis_server, **settings)
        client.zadd(f"{prefix}:group:chat", {"a b": time.time(), "x!y!z": time.time()})
        assert layer.send_group("chat", {"a": 1}) == 0

    def test_all_of_many_shards_are_served_at_once(self, layer_for, redis_server, monkeypatch):
        databases = [f"unix://{redis_server.unix_socket}?db={number}" for number in range(12)]
        layer = layer_for(*databases)
        members = [f"{name}{number}{mark}" for name, mark in (("room", ""), ("p", "!x")) for number in range(150)]
        for member in members:
            layer.group_add("chat", member)
        run, requests = execute.execute_on_shards, []
        monkeypatch.setattr(execute, "execute_on_shards", lambda sent: requests.append(len(sent)) or run(sent))
        assert layer.send_group("chat", {}) == 0
        assert requests == [1, 24]  # the first asks for the members


def test_a_group_lives_as_long_as_its_last_membership(layer_for, redis_server, client):
    layer = layer_for(redis_server, group_expiry=500)
    layer.group_add("chat", "a")
    layer.group_add("chat", "b")
    assert 450_000 < client.pttl(f"{layer.prefix}:group:chat") <= 500_000
