"""What is refused, with which words, and what it leaves behind."""

from __future__ import annotations

import decimal
import time

import msgpack
import pytest
import redis

from asgi_redis import MessageTooLarge, RedisChannelLayer


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
        "send_group without": lambda layer, name: layer.send_group("chat", {}, exclude=[name]),
        "group_channels": lambda layer, name: layer.group_channels(name),
        "group_count": lambda layer, name: layer.group_count(name),
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
        assert len(layer._shards[0].server._idle) == 1
        layer.send("other", {"a": 1})
        assert layer.receive(["other"], block=True) == ("other", {"a": 1})

    def test_a_user_of_these_keys_only_is_told_which_is_of_another_kind(
        self, layer_for, redis_server, client, prefix
    ):
        rules = ("on", "nopass", "resetkeys", f"~{prefix}*", f"~asgi-meta:{prefix}*", "+@all")
        try:
            client.execute_command("ACL", "SETUSER", "owner", *rules)
        except redis.ResponseError as error:
            pytest.skip(f"no ACL: {error}")
        layer = layer_for(f"redis://owner:any@{redis_server.host}:{redis_server.port}")
        client.set(f"{prefix}work", "a string")
        client.set(f"{prefix}:group:chat", "a string")
        for call, key in (
            (lambda: layer.receive(["work"]), "work"),
            (lambda: layer.receive(["work"], block=True), "work"),
            (lambda: layer.group_channels("chat"), ":group:chat"),
            (lambda: layer.group_discard("chat", "work"), ":group:chat"),
            (lambda: layer.send_group("chat", {}), ":group:chat"),
        ):
            with pytest.raises(redis.exceptions.ResponseError, match=f"{prefix}{key}' at .* is a string"):
                call()

    def test_a_redis_without_memory_refuses_and_goes_on_being_read(self, layer_for, fresh_redis_server):
        layer = layer_for(fresh_redis_server)
        layer.send("work", {"a": 1})
        with redis.Redis(port=fresh_redis_server.port, protocol=2) as client:
            client.config_set("maxmemory", 1)
        with pytest.raises(redis.exceptions.ResponseError, match=r"OOM|maxmemory"):
            layer.send("work", {"a": 2})
        assert layer.receive(["work"], block=True) == ("work", {"a": 1})
        assert layer.receive(["work"]) == (None, None)
