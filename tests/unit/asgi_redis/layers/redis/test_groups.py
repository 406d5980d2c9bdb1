"""Groups."""

from __future__ import annotations

import logging
import time

import pytest

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

    def test_a_group_of_five_thousand_is_served(self, layer, client, prefix):
        now = time.time()
        client.zadd(f"{prefix}:group:crowd", {f"p{number}!x": now for number in range(5000)})
        assert layer.send_group("crowd", {"text": "all"}) == 0
        assert client.eval("return #redis.call('KEYS', ARGV[1])", 0, f"{prefix}p*!") == 5000
        assert layer.receive(["p4999!"]) == ("p4999!x", {"text": "all"})

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
