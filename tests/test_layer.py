"""The calls of the layer, its settings, and what it says of itself."""

from __future__ import annotations

import decimal
import logging
import math
import threading
import time

import msgpack
import pytest
import redis

from asgi_redis import ChannelFull, MessageTooLarge, RedisChannelLayer
from asgi_redis.exceptions import ConfigurationError, UnknownSetting
from asgi_redis.serializers import registry
from tests.waiting import eventually


@pytest.fixture
def layer(layer_for, redis_server):
    return layer_for(redis_server)


@pytest.fixture
def sharded(layer_for, three_redis_servers):
    return layer_for(*three_redis_servers)


@pytest.fixture(params=["plain", "sharded", "encrypted", "json"])
def any_layer(request, layer_for, redis_server, three_redis_servers):
    servers = three_redis_servers if request.param == "sharded" else [redis_server]
    settings = {
        "encrypted": {"symmetric_encryption_keys": ["key"]},
        "json": {"serializer_format": "json"},
    }
    return layer_for(*servers, **settings.get(request.param, {}))


@pytest.fixture
def client(redis_server):
    with redis.Redis(port=redis_server.port, protocol=2) as client:
        yield client


class TestSendAndReceive:
    @pytest.mark.parametrize("channel", ["work", "reply?abc"])
    @pytest.mark.parametrize("block", [False, True])
    def test_a_message_arrives_at_its_channel(self, any_layer, channel, block):
        any_layer.send(channel, {"text": "hello"})
        assert any_layer.receive([channel], block=block) == (channel, {"text": "hello"})

    @pytest.mark.parametrize("block", [False, True])
    def test_a_process_local_message_arrives_under_its_full_name(self, any_layer, block):
        any_layer.send("specific.abc!xyz", {"text": "hello"})
        assert any_layer.receive(["specific.abc!"], block=block) == ("specific.abc!xyz", {"text": "hello"})

    def test_where_there_is_nothing_it_returns_two_nones(self, any_layer):
        assert any_layer.receive(["work"]) == (None, None)
        assert any_layer.receive([]) == (None, None)

    def test_a_message_is_received_once(self, any_layer):
        any_layer.send("work", {})
        assert any_layer.receive(["work"]) == ("work", {})
        assert any_layer.receive(["work"]) == (None, None)

    @pytest.mark.parametrize("kind", [list, tuple, set, frozenset, dict.fromkeys, iter])
    def test_channels_may_be_any_collection(self, layer, kind):
        layer.send("b", {})
        assert layer.receive(kind(["a", "b"])) == ("b", {})

    def test_block_waits_for_block_timeout(self, layer):
        layer.block_timeout = 0.15
        started = time.monotonic()
        assert layer.receive(["work"], block=True) == (None, None)
        assert 0.15 <= time.monotonic() - started < 1

    def test_a_batch_takes_one_from_each_channel_in_turn(self, layer):
        for channel in ("a", "b"):
            for number in range(3):
                layer.send(channel, {"n": number})
        batch = layer.receive_batch(["a", "b"], 4)
        assert sorted((channel, message["n"]) for channel, message in batch) == [
            ("a", 0),
            ("a", 1),
            ("b", 0),
            ("b", 1),
        ]

    def test_a_batch_is_taken_from_all_shards(self, sharded):
        for number in range(9):
            sharded.send("work", {"n": number})
        batch = sharded.receive_batch(["work"], 20, timeout=5)
        assert sorted(message["n"] for _, message in batch) == list(range(9))

    def test_a_batch_never_exceeds_its_limit_however_many_channels_its_messages_are_for(self, layer):
        for number in range(4):
            layer.group_add("chat", f"p!{number}")
        for number in range(2):
            layer.send_group("chat", {"n": number})
        batches = [layer.receive_batch(["p!"], 5), layer.receive_batch(["p!"], 5)]
        assert [len(batch) for batch in batches] == [5, 3]
        expected = [(f"p!{number}", {"n": n}) for n in range(2) for number in range(4)]
        assert sorted(batches[0] + batches[1], key=str) == sorted(expected, key=str)

    def test_a_batch_of_nothing_is_refused(self, layer):
        with pytest.raises(ValueError, match="limit must be 1 message or more, not 0"):
            layer.receive_batch(["work"], 0)

    def test_what_one_shard_gave_is_handed_out_while_another_is_down(
        self, layer_for, redis_server, fresh_redis_server
    ):
        layer = layer_for(redis_server, fresh_redis_server)
        for number in range(4):
            layer.send("work", {"n": number})
        fresh_redis_server.kill()
        received, errors = [], 0
        for _ in range(6):
            try:
                received += layer.receive_batch(["work"], 10)
            except redis.exceptions.ConnectionError:
                errors += 1
        assert len(received) == 2
        assert errors >= 3

    @pytest.mark.parametrize("nth", [1, 2, 3])
    def test_an_interruption_between_request_and_reply_loses_nothing(self, sharded, monkeypatch, nth):
        from asgi_redis.connection import shard as module

        for number in range(6):
            sharded.send("work", {"n": number})
        read, calls = module.read_replies, []

        def interrupted(*args):
            calls.append(args)
            if len(calls) == nth:
                raise KeyboardInterrupt
            return read(*args)

        with monkeypatch.context() as patch:
            patch.setattr(module, "read_replies", interrupted)
            with pytest.raises(KeyboardInterrupt):
                sharded.receive_batch(["work"], 10)
        received = sharded.receive_batch(["work"], 10) + sharded.receive_batch(["work"], 10)
        assert sorted(message["n"] for _, message in received) == list(range(6))

    def test_a_key_of_another_kind_costs_no_message_of_another_channel(self, layer, client, prefix):
        layer.send("good", {"n": 1})
        client.lpush(f"{prefix}bad", "a list, as asgi_redis 1 has them")
        received, errors = [], set()
        for _ in range(4):
            try:
                received += layer.receive_batch(["good", "bad"], 10)
            except redis.exceptions.ResponseError as error:
                errors.add(str(error).split()[0])
        assert received == [("good", {"n": 1})]
        assert errors == {"WRONGTYPE"}

    def test_a_full_channel_raises_and_says_which(self, layer_for, redis_server):
        layer = layer_for(redis_server, capacity=2, channel_capacity={"small*": 1})
        layer.send("work", {})
        layer.send("work", {})
        with pytest.raises(ChannelFull, match="channel work holds 2 messages, its capacity"):
            layer.send("work", {})
        layer.send("small.one", {})
        with pytest.raises(layer.ChannelFull, match=r"small\.one holds 1 "):
            layer.send("small.one", {})

    def test_sharded_a_channel_has_its_capacity_all_shards_together(self, layer_for, three_redis_servers):
        layer = layer_for(*three_redis_servers, capacity=7)
        for _ in range(7):
            layer.send("work", {})
        with pytest.raises(ChannelFull):
            layer.send("work", {})
        layer.receive(["work"])
        layer.send("work", {})
        with pytest.raises(ChannelFull):
            layer.send("work", {})

    def test_receive_many_is_the_deprecated_name_of_receive(self, layer):
        layer.send("work", {"a": 1})
        with pytest.warns(DeprecationWarning, match="receive_many is deprecated; use receive"):
            assert layer.receive_many(["work"]) == ("work", {"a": 1})

    def test_the_message_is_left_as_it_was(self, layer):
        message = {"a": [1]}
        layer.send("p!x", message)
        layer.group_add("chat", "p!x")
        layer.send_group("chat", message)
        assert message == {"a": [1]}

    def test_new_channel_makes_valid_names_that_differ(self, layer):
        names = {layer.new_channel("http.response?") for _ in range(1000)}
        assert len(names) == 1000
        assert all(name.startswith("http.response?") and layer.valid_channel_name(name) for name in names)

    @pytest.mark.parametrize("pattern", ["http.response", "http.response!", "a?b", "", None, "x" * 99 + "?", "ü?"])
    def test_a_pattern_for_new_channels_ends_in_a_question_mark(self, layer, pattern):
        with pytest.raises(TypeError):
            layer.new_channel(pattern)

    def test_messages_that_cannot_be_decoded_are_counted(self, layer, client, prefix):
        client.zadd(f"{prefix}work", {b"garbage": time.time()})
        assert layer.receive(["work"]) == (None, None)
        assert layer.undecodable_count == 1


class TestUnblock:
    def test_it_ends_a_wait_at_once(self, sharded):
        sharded.block_timeout = 30
        received = []
        thread = threading.Thread(target=lambda: received.append(sharded.receive(["work"], block=True)))
        thread.start()
        eventually(lambda: sharded._receiver._waiters)
        started = time.monotonic()
        sharded.unblock()
        thread.join(10)
        assert time.monotonic() - started < 1
        assert received == [(None, None)]

    def test_it_ends_a_wait_that_is_about_to_begin(self, layer, monkeypatch):
        layer.block_timeout = 30
        receiver = layer._receiver
        waiter = receiver._waiter

        def unblocked_just_before():
            layer.unblock()  # nobody is waiting yet
            return waiter()

        monkeypatch.setattr(receiver, "_waiter", unblocked_just_before)
        started = time.monotonic()
        assert layer.receive(["work"], block=True) == (None, None)
        assert time.monotonic() - started < 5

    def test_it_does_nothing_to_a_later_wait(self, layer):
        layer.unblock()
        layer.block_timeout = 0.1
        started = time.monotonic()
        assert layer.receive(["work"], block=True) == (None, None)
        assert time.monotonic() - started >= 0.1

    def test_many_at_once_leave_no_wake_behind(self, layer):
        layer.block_timeout = 0.2
        stop = threading.Event()

        def unblock():
            while not stop.is_set():
                layer.unblock()

        threads = [threading.Thread(target=unblock) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(50):
                assert layer.receive(["work"], block=True) == (None, None)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        started = time.monotonic()
        pops = layer._shards[0]
        asked = []
        execute = pops.execute
        pops.execute = lambda operation: asked.append(operation) or execute(operation)
        assert layer.receive(["work"], block=True) == (None, None)
        assert time.monotonic() - started >= 0.2
        assert len(asked) <= 4, "the wait was ended and begun again and again"


class TestGroups:
    def test_a_message_reaches_every_member(self, any_layer):
        for channel in ("work", "p!a", "p!b", "q!c", "reply?d"):
            any_layer.group_add("chat", channel)
        assert any_layer.send_group("chat", {"text": "all"}) == 0
        received = {any_layer.receive([queue])[0] for queue in ("work", "p!", "p!", "q!", "reply?d")}
        assert received == {"work", "p!a", "p!b", "q!c", "reply?d"}

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


class TestBadInput:
    CALLS = {
        "send": lambda layer, name: layer.send(name, {}),
        "receive": lambda layer, name: layer.receive([name]),
        "receive_batch": lambda layer, name: layer.receive_batch([name], 1),
        "group_add": lambda layer, name: layer.group_add("chat", name),
        "group_discard": lambda layer, name: layer.group_discard("chat", name),
        "channel_statistics": lambda layer, name: layer.channel_statistics(name),
        "group_add to": lambda layer, name: layer.group_add(name, "work"),
        "group_discard from": lambda layer, name: layer.group_discard(name, "work"),
        "send_group": lambda layer, name: layer.send_group(name, {}),
        "group_channels": lambda layer, name: layer.group_channels(name),
    }

    @pytest.mark.parametrize("call", CALLS)
    @pytest.mark.parametrize("name", ["two words", "x" * 100, "a!b!c", "é", "", b"bytes", None, 7, ["list"]])
    def test_a_name_that_is_not_valid_is_a_type_error_that_shows_it(self, layer, call, name):
        with pytest.raises(TypeError) as raised:
            self.CALLS[call](layer, name)
        assert repr(name) in str(raised.value)

    def test_a_name_with_a_local_part_cannot_be_received_from(self, layer):
        with pytest.raises(TypeError, match="'p!x' cannot be received from"):
            layer.receive(["p!x"])

    def test_a_bare_name_is_no_list_of_channels(self, layer):
        with pytest.raises(TypeError, match="channels must be a list of names, not the str 'work'"):
            layer.receive("work")

    @pytest.mark.parametrize("message", [None, "text", ["list"], b"bytes", 7])
    def test_a_message_that_is_not_a_dict_is_a_type_error(self, layer, message):
        with pytest.raises(TypeError, match="a message must be a dict"):
            layer.send("work", message)
        with pytest.raises(TypeError, match="a message must be a dict"):
            layer.send_group("chat", message)

    @pytest.mark.parametrize(
        ("message", "path"),
        [
            ({"a": {1, 2}}, "message['a'] (set)"),
            ({"a": [{"b": decimal.Decimal(1)}]}, "message['a'][0]['b'] (Decimal)"),
            ({"a": 1 << 64}, "message['a'] (int)"),
            ({"a": {7: "b"}}, "message['a'] has the key 7"),
        ],
    )
    @pytest.mark.parametrize("to", ["work", "p!x"])
    @pytest.mark.parametrize("keys", [None, ["key"]])
    def test_a_value_that_cannot_be_serialised_is_named_by_its_path(
        self, layer_for, redis_server, message, path, to, keys
    ):
        layer = layer_for(redis_server, symmetric_encryption_keys=keys)
        layer.group_add("chat", to)
        for call in (lambda: layer.send(to, message), lambda: layer.send_group("chat", message)):
            with pytest.raises(TypeError) as raised:
                call()
            assert path in str(raised.value)
        assert layer.receive(["work", "p!"]) == (None, None)

    def test_a_wrong_value_is_an_error_for_an_empty_group_too(self, any_layer):
        with pytest.raises(TypeError, match="message"):
            any_layer.send_group("nobody", {"a": {1}})

    @pytest.mark.parametrize("serializer_format", ["msgpack", "json"])
    def test_a_message_nested_too_deeply_is_a_type_error(self, layer_for, redis_server, serializer_format):
        layer = layer_for(redis_server, serializer_format=serializer_format)
        message = inner = {}
        for _ in range(3000):
            inner["a"] = {}
            inner = inner["a"]
        layer.group_add("chat", "work")
        for call in (lambda: layer.send("work", message), lambda: layer.send_group("chat", message)):
            with pytest.raises(TypeError, match="nested too deeply"):
                call()

    def test_the_reserved_key_is_a_value_error(self, layer):
        for call in (layer.send, layer.send_group):
            with pytest.raises(ValueError, match="__asgi_channel__"):
                call("work", {"__asgi_channel__": "p!x"})

    @pytest.mark.parametrize("keys", [None, ["key"]])
    @pytest.mark.parametrize("serializer_format", ["msgpack", "json"])
    def test_a_message_over_the_limit_is_refused_with_both_sizes(
        self, layer_for, redis_server, keys, serializer_format
    ):
        settings = {"symmetric_encryption_keys": keys, "serializer_format": serializer_format}
        layer = layer_for(redis_server, max_message_bytes=1000, **settings)
        layer.group_add("chat", "work")
        layer.group_add("chat", "p!x")
        layer.send("work", {"text": "x" * 500})
        assert layer.receive(["work"])[0] == "work"
        for call in (
            lambda m: layer.send("work", m),
            lambda m: layer.send("p!x", m),
            lambda m: layer.send_group("chat", m),
        ):
            with pytest.raises(MessageTooLarge, match=r"has \d{4} bytes when serialised, max_message_bytes is 1000"):
                call({"text": "x" * 1000})
        assert layer.receive(["work", "p!"]) == (None, None), "nothing of the group send was sent"

    def test_the_limit_is_met_to_the_byte(self, layer_for, redis_server):
        message = {"text": "x" * 100}
        size = len(msgpack.packb(message))
        layer_for(redis_server, max_message_bytes=size).send("work", message)
        with pytest.raises(ValueError, match=f"has {size} bytes .* is {size - 1}"):
            layer_for(redis_server, max_message_bytes=size - 1).send("work", message)

    def test_eight_mebibytes_pass_and_a_byte_more_does_not(self, layer):
        layer.send("work", {"b": b"x" * (8 * 1024 * 1024 - 8)})
        assert len(layer.receive(["work"])[1]["b"]) == 8 * 1024 * 1024 - 8
        with pytest.raises(MessageTooLarge):
            layer.send("work", {"b": b"x" * (8 * 1024 * 1024)})


class TestSettings:
    def test_a_setting_that_is_not_known_is_named_with_the_nearest_known_one(self):
        with pytest.raises(
            TypeError, match=r"RedisChannelLayer has no setting 'capasity'; did you mean 'capacity'\?"
        ) as raised:
            RedisChannelLayer(capasity=5)
        assert isinstance(raised.value, UnknownSetting)

    @pytest.mark.parametrize(
        ("setting", "value"),
        [
            ("prefix", b"asgi"),
            ("stats_prefix", None),
            ("expiry", 0),
            ("group_expiry", -1),
            ("capacity", 0),
            ("channel_capacity", {"a": "b"}),
            ("symmetric_encryption_keys", "abc"),
            ("random_prefix_length", 3),
            ("max_message_bytes", "8 MB"),
            ("max_message_bytes", 0),
            ("hosts", "redis://localhost"),
            ("hosts", ["http://localhost"]),
            ("connection_kwargs", ["socket_timeout"]),
        ],
    )
    def test_a_value_that_cannot_work_is_a_value_error_that_names_the_setting(self, setting, value):
        with pytest.raises(ValueError, match=setting) as raised:
            RedisChannelLayer(**{setting: value})
        assert isinstance(raised.value, ConfigurationError)

    def test_settings_are_given_by_name(self):
        with pytest.raises(TypeError):
            RedisChannelLayer(["redis://localhost"])

    def test_host_port_and_db_are_shorthand_for_one(self, redis_server, prefix, layer_for):
        with RedisChannelLayer(host="127.0.0.1", port=redis_server.port, db=3, prefix=prefix) as layer:
            assert str(layer) == f"RedisChannelLayer(hosts=[redis://127.0.0.1:{redis_server.port}/3])"
            layer.send("work", {"a": 1})
            assert layer_for(redis_server).receive(["work"]) == (None, None)
            assert layer.receive(["work"]) == ("work", {"a": 1})

    def test_shorthand_and_hosts_exclude_each_other(self):
        with pytest.raises(ValueError, match="either hosts, or host, port and db"):
            RedisChannelLayer(hosts=["redis://localhost"], port=6380)

    def test_without_hosts_it_is_the_redis_of_this_machine(self):
        assert str(RedisChannelLayer()) == "RedisChannelLayer(hosts=[redis://localhost:6379/0])"

    def test_a_registered_format_is_used(self, layer_for, redis_server, client, prefix, monkeypatch):
        class Reversed:
            def __init__(self, **settings):
                assert settings["random_prefix_length"] == 12

            def serialize(self, message):
                return msgpack.packb(message)[::-1]

            def deserialize(self, data):
                return msgpack.unpackb(data[::-1])

        monkeypatch.setattr(registry, "_classes", {**registry._classes, "reversed": Reversed})
        layer = layer_for(redis_server, serializer_format="reversed")
        layer.send("work", {"a": 1})
        assert client.zrange(f"{prefix}work", 0, -1) == [msgpack.packb({"a": 1})[::-1]]
        assert layer.receive(["work"]) == ("work", {"a": 1})
        layer.group_add("chat", "p!x")
        assert layer.group_send("chat", {"b": 2}) == 0
        assert layer.receive(["p!"]) == ("p!x", {"b": 2})

    def test_serialize_and_deserialize_are_those_of_the_format(self, layer_for, redis_server):
        layer = layer_for(redis_server, symmetric_encryption_keys=["key"])
        assert layer.deserialize(layer.serialize({"a": b"1"})) == {"a": b"1"}

    def test_the_limits_can_be_read(self, layer_for, redis_server):
        layer = layer_for(redis_server, expiry=1.5, group_expiry=7, capacity=9)
        assert (layer.expiry, layer.group_expiry, layer.capacity) == (1.5, 7, 9)

    def test_it_has_the_extensions_of_asgi_1(self):
        assert RedisChannelLayer.extensions[:3] == ["groups", "flush", "statistics"]
        pytest.importorskip("twisted")
        assert "twisted" in RedisChannelLayer.extensions

    def test_each_process_prefix_is_valid_in_a_channel_name(self, layer):
        assert layer.valid_channel_name(f"specific.{layer.client_prefix}!", receive=True)


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
        assert statistics == {"messages_count": 3, "messages_pending": 2, "channel_full_count": 1}
        assert 0 <= age < 30

    def test_the_age_is_that_of_the_oldest(self, layer, client, prefix):
        client.zadd(f"{prefix}work", {b"a": time.time() - 20, b"b": time.time()})
        assert math.isclose(layer.channel_statistics("work")["messages_max_age"], 20, abs_tol=5)

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
        assert layer.global_statistics() == {"messages_count": 4, "channel_full_count": 2}

    def test_group_sends_count_for_each_channel(self, layer_for, redis_server, prefix):
        layer = layer_for(redis_server, capacity=1, stats_prefix=f"{prefix}stats:")
        layer.group_add("chat", "a")
        layer.group_add("chat", "p!x")
        layer.send("a", {})
        layer.send_group("chat", {})
        assert layer.channel_statistics("a")["channel_full_count"] == 1
        assert layer.channel_statistics("p!x")["messages_count"] == 1
        assert layer.global_statistics() == {"messages_count": 2, "channel_full_count": 1}


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
        assert not layer._shards[0]._idle

    def test_closing_it_leaves_a_receive_that_is_waiting_alone(self, layer, redis_server, prefix):
        received = []
        thread = threading.Thread(target=lambda: received.append(layer.receive(["work"], block=True)))
        thread.start()
        eventually(lambda: layer._receiver._waiters)
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
        assert secret not in repr(layer) + repr(layer._shards) + repr([shard.host for shard in layer._shards])


class TestRefusals:
    """What Redis itself refuses comes through as redis-py's errors, or as ours where Redis is to be replaced."""

    def test_a_redis_that_is_down_is_a_connection_error_within_the_connect_timeout(self, prefix):
        layer = RedisChannelLayer(hosts=["redis://127.0.0.1:1"], prefix=prefix)
        started = time.monotonic()
        for call in (
            lambda: layer.send("work", {}),
            lambda: layer.receive(["work"]),
            lambda: layer.receive(["work"], block=True),
            lambda: layer.send_group("chat", {}),
        ):
            with pytest.raises(redis.exceptions.ConnectionError):
                call()
        assert time.monotonic() - started < 5

    def test_a_key_of_another_kind_is_a_response_error_and_costs_no_connection(self, layer, client, prefix):
        client.set(f"{prefix}work", "a string")
        for call in (
            lambda: layer.send("work", {}),
            lambda: layer.receive(["work"]),
            lambda: layer.receive(["work"], block=True),
        ):
            with pytest.raises(redis.exceptions.ResponseError, match="WRONGTYPE"):
                call()
        assert len(layer._shards[0]._idle) == 1
        layer.send("other", {"a": 1})
        assert layer.receive(["other"], block=True) == ("other", {"a": 1})

    def test_a_redis_without_memory_refuses_and_goes_on_being_read(self, layer_for, fresh_redis_server):
        layer = layer_for(fresh_redis_server)
        layer.send("work", {"a": 1})
        with redis.Redis(port=fresh_redis_server.port, protocol=2) as client:
            client.config_set("maxmemory", 1)
        with pytest.raises(redis.exceptions.ResponseError, match=r"OOM|maxmemory"):
            layer.send("work", {"a": 2})
        assert layer.receive(["work"], block=True) == ("work", {"a": 1})
        assert layer.receive(["work"]) == (None, None)
