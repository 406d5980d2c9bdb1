"""The settings of a layer."""

from __future__ import annotations

import msgpack
import pytest

from asgi_redis import RedisChannelLayer
from asgi_redis.exceptions import ConfigurationError, UnknownSetting
from asgi_redis.serializers import registry


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
