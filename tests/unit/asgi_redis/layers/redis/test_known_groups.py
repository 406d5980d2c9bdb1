"""Sends to a group that had the same members before: those of now get the message."""

from __future__ import annotations

import pytest
import redis

from asgi_redis import MessageTooLarge, RedisChannelLayer

QUEUES = ["work", "reply?c", "p!", "q!", "r!"]


@pytest.fixture
def client(redis_server):
    with redis.Redis(port=redis_server.port, protocol=2) as client:
        yield client


def members_that_get(layer, message, dropped=0):
    """Sends to the group, and returns the channels that received it."""
    assert layer.send_group("chat", message) == dropped
    batch = layer.receive_batch(QUEUES, 100)
    assert all(received == message for _, received in batch)
    return sorted(channel for channel, _ in batch)


def known(layer, *channels):
    """Has the layer send to a group of ``channels`` until it knows them."""
    for channel in channels:
        layer.group_add("chat", channel)
    for number in range(3):
        assert members_that_get(layer, {"n": number}) == sorted(channels)
    return layer


@pytest.fixture(params=["plain", "encrypted", "json", "shards"])
def layer(request, layer_for, redis_server):
    options = {
        "encrypted": {"symmetric_encryption_keys": ["key"]},
        "json": {"serializer_format": "json"},
        "shards": {"hosts": [redis_server.url, redis_server.url.rpartition("/")[0] + "/1"]},
    }.get(request.param, {})
    return layer_for(redis_server, capacity=4, **options)


CHANNELS = ("work", "reply?c", "p!a", "p!b", "q!x")


def test_a_known_group_is_sent_to_by_one_script(layer_for, redis_server, client, prefix):
    layer = known(layer_for(redis_server), *CHANNELS)
    client.config_resetstat()
    assert layer.send_group("chat", {"n": 1}) == 0
    calls = client.info("commandstats")
    assert calls["cmdstat_evalsha"]["calls"] == 1
    assert calls["cmdstat_zadd"]["calls"] == 4
    assert layer.channel_statistics("work")["messages_count"] == 4
    assert layer.global_statistics()["messages_count"] == 16


def test_a_member_that_joins_gets_the_next_message(layer):
    known(layer, *CHANNELS)
    layer.group_add("chat", "r!new")
    for number in range(4):
        assert members_that_get(layer, {"n": number}) == sorted([*CHANNELS, "r!new"])


def test_a_member_that_leaves_gets_no_further_message(layer):
    known(layer, *CHANNELS)
    layer.group_discard("chat", "p!a")
    for number in range(4):
        assert members_that_get(layer, {"n": number}) == ["p!b", "q!x", "reply?c", "work"]
    for channel in CHANNELS:
        layer.group_discard("chat", channel)
    for number in range(4):
        assert members_that_get(layer, {"n": number}) == []


def test_as_many_other_members_get_the_next_message(layer):
    known(layer, "p!a", "q!x")
    layer.group_discard("chat", "q!x")
    layer.group_add("chat", "r!x")
    for number in range(4):
        assert members_that_get(layer, {"n": number}) == ["p!a", "r!x"]


def test_a_member_whose_membership_has_expired_gets_no_further_message(layer_for, redis_server, client, prefix):
    layer = known(layer_for(redis_server), "p!a", "q!x")
    client.zadd(f"{prefix}:group:chat", {"p!a": 1})
    assert members_that_get(layer, {"n": 1}) == ["q!x"]
    assert layer.group_channels("chat") == ["q!x"]


def test_excluded_members_get_nothing(layer):
    known(layer, *CHANNELS)
    assert layer.send_group("chat", {}, exclude=["p!a", "work"]) == 0
    assert sorted(channel for channel, _ in layer.receive_batch(QUEUES, 10)) == ["p!b", "q!x", "reply?c"]


def test_full_queues_are_left_out_and_counted(layer):
    known(layer, "p!a", "p!b", "q!x")
    for number in range(4):
        layer.send("p!a", {"n": number})
    assert layer.send_group("chat", {"n": "all"}) == 2
    assert layer.receive_batch(["q!"], 10) == [("q!x", {"n": "all"})]
    assert layer.receive_batch(["p!"], 10) == [("p!a", {"n": number}) for number in range(4)]


def test_messages_stay_in_the_order_of_sending(layer):
    known(layer, "p!a", "q!x")
    layer.send_group("chat", {"n": 0})
    layer.send("p!a", {"n": 1})
    layer.send_group("chat", {"n": 2})
    assert [message["n"] for _, message in layer.receive_batch(["p!"], 10)] == [0, 1, 2]


def test_a_key_of_another_type_is_an_error_when_all_others_were_served(layer_for, redis_server, client, prefix):
    layer = known(layer_for(redis_server), "p!a", "q!x")
    client.set(f"{prefix}p!", "text")
    with pytest.raises(redis.exceptions.ResponseError, match=r"the queue of p!a.*string"):
        layer.send_group("chat", {"n": 1})
    assert layer.receive(["q!"]) == ("q!x", {"n": 1})
    client.set(f"{prefix}:group:chat", "text")
    with pytest.raises(redis.exceptions.ResponseError, match=":group:chat"):
        layer.send_group("chat", {"n": 1})
    assert layer.receive(["q!"]) == (None, None)


def test_bad_messages_and_names_are_refused_as_ever(layer_for, redis_server):
    layer = known(layer_for(redis_server, max_message_bytes=1000), "p!a", "q!x")
    for message, error in (({"x": object()}, TypeError), ({1: 2}, TypeError), ({"x": "y" * 1000}, MessageTooLarge)):
        with pytest.raises(error):
            layer.send_group("chat", message)
    with pytest.raises(TypeError, match="not a valid group name"):
        layer.send_group(["chat"], {})
    assert members_that_get(layer, {}) == ["p!a", "q!x"]


def test_names_that_no_channel_has_are_no_reason_for_another_one_to_get_it(layer_for, redis_server, client, prefix):
    """Joined by line ends, the second group looks like the first."""
    layer, group = layer_for(redis_server), f"{prefix}:group:chat"
    (seconds, _) = client.time()
    client.zadd(group, {"p!a\nq!b": seconds, "r!c": seconds + 1})
    for _ in range(3):
        assert members_that_get(layer, {}) == ["r!c"]
    client.delete(group)
    client.zadd(group, {"p!a": seconds, "q!b\nr!c": seconds + 1})
    for _ in range(3):
        assert members_that_get(layer, {}) == ["p!a"]


def test_a_forgotten_script_is_made_known_again(layer_for, redis_server, client):
    layer = known(layer_for(redis_server), "p!a")
    client.script_flush()
    assert members_that_get(layer, {}) == ["p!a"]


def test_a_subclass_may_change_the_capacity_of_a_channel(redis_server, prefix):
    class Changing(RedisChannelLayer):
        limit = 2

        def get_capacity(self, channel):
            return self.limit

    with Changing(hosts=[redis_server.url], prefix=prefix) as layer:
        layer.group_add("chat", "p!a")
        assert [layer.send_group("chat", {}) for _ in range(4)] == [0, 0, 1, 1]
        layer.limit = 3
        assert [layer.send_group("chat", {}) for _ in range(2)] == [0, 1]
        layer.flush()


def test_a_large_message_goes_to_a_known_group(layer_for, redis_server):
    layer = known(layer_for(redis_server), "p!a", "q!x")
    message = {"text": "x" * (3 << 20)}
    assert layer.send_group("chat", message) == 0
    assert [layer.receive([queue]) for queue in ("p!", "q!")] == [("p!a", message), ("q!x", message)]


def test_memory_for_known_groups_is_bounded(layer_for, redis_server, client, monkeypatch):
    monkeypatch.setattr("asgi_redis.engine.known_groups._ALL_MEMBERS", 3)
    layer = layer_for(redis_server)
    for group in ("chat", "second", "third", "fourth"):
        layer.group_add(group, "work")
        for _ in range(3):
            layer.send_group(group, {})
    for group, reads in (("fourth", 1), ("chat", 2)):
        client.config_resetstat()
        assert layer.send_group(group, {}) == 0
        calls = client.info("commandstats")
        assert calls["cmdstat_zrange"]["calls"] == reads, group
