"""Options: each is declared once, and everything that knows options reads the declaration."""

from __future__ import annotations

import inspect
import math
from typing import Annotated

import pytest

import asgi_redis
from asgi_redis import aio
from asgi_redis.exceptions import ConfigurationError, UnknownSetting
from asgi_redis.layers import options
from asgi_redis.layers.local import LocalOptions
from asgi_redis.layers.pubsub import PubSubOptions

LAYERS = [
    (asgi_redis.InMemoryChannelLayer, options.CommonOptions),
    (asgi_redis.IPCChannelLayer, options.IPCOptions),
    (asgi_redis.RedisChannelLayer, options.RedisOptions),
    (asgi_redis.RedisSentinelChannelLayer, options.SentinelOptions),
    (asgi_redis.RedisLocalChannelLayer, LocalOptions),
    (asgi_redis.RedisPubSubChannelLayer, PubSubOptions),
    (aio.RedisChannelLayer, options.AsyncRedisOptions),
    (aio.RedisPubSubChannelLayer, PubSubOptions),
]
FACADES = (aio.RedisChannelLayer, aio.RedisPubSubChannelLayer)


class ToyOptions(options.CommonOptions, total=False):
    colour: Annotated[str, options.Option("The colour of the channels.", "blue")]


class Toy(asgi_redis.InMemoryChannelLayer):
    @options.takes(ToyOptions)
    def __init__(self, **given):
        settings = options.resolve(self, ToyOptions, given)
        super().__init__(**options.select(options.CommonOptions, settings))
        self.colour = settings["colour"]


class Tenant(asgi_redis.InMemoryChannelLayer):
    def __init__(self, *, tenant="none", **kwargs):
        super().__init__(**kwargs)
        self.tenant = tenant


@pytest.mark.parametrize(("layer_class", "kind"), LAYERS)
def test_the_signature_of_a_layer_shows_its_options(layer_class, kind):
    parameters = dict(inspect.signature(layer_class).parameters)
    declared = options.declarations(kind)
    assert set(parameters) == set(declared)
    for name, option in declared.items():
        assert (parameters[name].default, parameters[name].annotation) == (option.default, option.type)
        positional = layer_class in FACADES and name == "hosts"  # as in channels_redis
        assert (parameters[name].kind is inspect.Parameter.KEYWORD_ONLY) is not positional


@pytest.mark.parametrize(("layer_class", "kind"), LAYERS)
def test_the_docstring_of_a_constructor_documents_each_option(layer_class, kind):
    for name, option in options.declarations(kind).items():
        assert option.help.endswith(".")
        assert f"\n    {name}: {option.help}" in layer_class.__init__.__doc__


@pytest.mark.parametrize(("layer_class", "kind"), LAYERS)
def test_an_unknown_option_is_named_with_the_nearest_known_one(layer_class, kind):
    for name in options.declarations(kind):
        with pytest.raises(UnknownSetting) as caught:
            layer_class(**{f"{name}_": 1})
        assert str(caught.value) == f"{layer_class.__name__} has no setting '{name}_'; did you mean {name!r}?"


def test_an_unknown_option_that_is_like_no_other_is_named_with_all_that_there_are():
    with pytest.raises(TypeError) as caught:
        asgi_redis.InMemoryChannelLayer(hosts=[])
    assert str(caught.value) == (
        "InMemoryChannelLayer has no setting 'hosts'; it has: expiry, group_expiry, capacity, channel_capacity, "
        "symmetric_encryption_keys, serializer_format, max_message_bytes"
    )


@pytest.mark.parametrize(
    ("layer_class", "name", "values"),
    [
        (asgi_redis.InMemoryChannelLayer, "expiry", [0, -1, "60", None, True, math.nan, math.inf]),
        (asgi_redis.InMemoryChannelLayer, "group_expiry", [0, "60", None]),
        (asgi_redis.InMemoryChannelLayer, "capacity", [0, 1.5, "10", None, True]),
        (asgi_redis.InMemoryChannelLayer, "channel_capacity", [[("a", 1)], {"a": 0}, {5: 1}]),
        (asgi_redis.InMemoryChannelLayer, "max_message_bytes", [0, "8", None, True, 1.5]),
        (asgi_redis.InMemoryChannelLayer, "symmetric_encryption_keys", ["abc", [""]]),
        (asgi_redis.IPCChannelLayer, "max_bytes", [1000, "64M", True]),
        (asgi_redis.IPCChannelLayer, "max_message_bytes", [0, "8", True, 33 << 20]),
        (asgi_redis.RedisChannelLayer, "prefix", [7, "", None]),
        (asgi_redis.RedisChannelLayer, "stats_prefix", [7, "", None]),
        (asgi_redis.RedisChannelLayer, "random_prefix_length", [3, "12", None]),
        (asgi_redis.RedisChannelLayer, "connection_kwargs", [[]]),
        (asgi_redis.RedisChannelLayer, "hosts", ["redis://h", []]),
        (asgi_redis.RedisSentinelChannelLayer, "services", ["one", b"one", ["one", "one"], [1]]),
        (asgi_redis.RedisSentinelChannelLayer, "sentinel_refresh_interval", [-1, "1", True, math.nan]),
        (asgi_redis.RedisPubSubChannelLayer, "on_disconnect", [1, b"gone"]),
        (asgi_redis.RedisPubSubChannelLayer, "on_reconnect", [1, b"back"]),
        (aio.RedisChannelLayer, "on_reconnect", [1]),
        (aio.RedisChannelLayer, "group_lease", [0, "1", True, math.inf]),
    ],
)
def test_a_value_that_cannot_work_is_refused_with_its_option(layer_class, name, values):
    needed = {"hosts": [("127.0.0.1", 1)]} if layer_class is asgi_redis.RedisSentinelChannelLayer else {}
    for value in values:
        with pytest.raises(ConfigurationError, match=name):
            layer_class(**{**needed, name: value})


def test_a_new_option_takes_one_declaration():
    assert (Toy().colour, Toy(colour="red", capacity=7).colour) == ("blue", "red")
    assert Toy(capacity=7).capacity == 7
    assert inspect.signature(Toy).parameters["colour"].default == "blue"
    assert "colour: The colour of the channels." in Toy.__init__.__doc__
    with pytest.raises(UnknownSetting, match="Toy has no setting 'color'; did you mean 'colour'"):
        Toy(color="red")


def test_a_subclass_with_a_constructor_that_passes_options_on_keeps_working():
    layer = Tenant(tenant="one", capacity=7)
    assert (layer.tenant, layer.capacity) == ("one", 7)
    with pytest.raises(UnknownSetting, match="Tenant has no setting 'capasity'; did you mean 'capacity'"):
        Tenant(capasity=7)
    with pytest.raises(UnknownSetting, match="Tenant has no setting 'tenan'; did you mean 'tenant'"):
        Tenant(tenan="one")
    with pytest.raises(UnknownSetting, match="it has: tenant, expiry, "):
        Tenant(zzz=1)


def test_a_local_layer_gets_the_options_that_were_given_and_are_the_same_on_both_sides():
    layer = asgi_redis.RedisLocalChannelLayer(
        expiry=7, stats_prefix="s:", local_layer={"BACKEND": f"{__name__}.Limited", "CONFIG": {"capacity": 4}}
    )
    assert layer.local_layer.given == {"expiry": 7, "capacity": 4}


class Limited(asgi_redis.InMemoryChannelLayer):
    @options.takes(options.CommonOptions)
    def __init__(self, **given):
        self.given = given
        super().__init__(**given)


def test_the_first_argument_of_a_facade_is_hosts_as_in_channels_redis():
    for facade in FACADES:
        layer = facade(["redis://127.0.0.1:1"], capacity=7)
        assert "127.0.0.1:1" in str(layer.layer)
        assert layer.layer.capacity == 7


def test_what_is_given_as_none_for_the_size_of_an_ipc_message_is_its_default(tmp_path):
    layer = asgi_redis.IPCChannelLayer(path=tmp_path, max_bytes=8 << 20, max_message_bytes=None)
    assert layer.max_message_bytes == 1 << 20
