"""Layers from settings: an object, or a dict of ``BACKEND`` and ``CONFIG``."""

from __future__ import annotations

import pytest

import asgi_redis
from asgi_redis import InMemoryChannelLayer, aio
from asgi_redis.exceptions import ConfigurationError, InvalidChannelLayerError, UnknownSetting
from asgi_redis.layers.from_setting import import_backend, is_facade, layer_from_setting

IN_MEMORY = "asgi_redis.InMemoryChannelLayer"


class Fixed(InMemoryChannelLayer):
    """A layer that lets one option be chosen."""

    def __init__(self, *, capacity: int = 1) -> None:
        super().__init__(capacity=capacity)


def from_setting(given, **shared):
    return layer_from_setting(given, "inner", InMemoryChannelLayer, "a layer in memory", shared)


def test_an_object_is_taken_as_it_is():
    layer = InMemoryChannelLayer()
    assert from_setting(layer, capacity=7) is layer
    assert layer.capacity == 100


def test_a_dict_describes_the_layer_and_its_config_goes_before_shared_options():
    layer = from_setting({"BACKEND": IN_MEMORY, "CONFIG": {"capacity": 4}}, capacity=7, expiry=9)
    assert (layer.capacity, layer.expiry) == (4, 9)


def test_a_layer_gets_the_shared_options_that_it_declares():
    layer = from_setting({"BACKEND": f"{__name__}.Fixed"}, capacity=7, expiry=9)
    assert (layer.capacity, layer.expiry) == (7, 60)


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        (None, ConfigurationError, "inner must be a layer in memory, or a dict such as .* not a NoneType"),
        ("redis://:secret@h", ConfigurationError, "not a str"),
        ({"BACKEND": IN_MEMORY, "OPTIONS": {"a": "secret"}}, ConfigurationError, "not a dict of "),
        (
            {"BACKEND": "no.such.Layer"},
            InvalidChannelLayerError,
            "cannot import the BACKEND 'no.such.Layer' of inner",
        ),
        ({"BACKEND": "asgi_redis.RedisChannelLayer"}, ConfigurationError, "of inner must be a layer in memory"),
        ({"BACKEND": IN_MEMORY, "CONFIG": []}, ConfigurationError, "CONFIG of inner must be a dict"),
        ({"BACKEND": IN_MEMORY, "CONFIG": {"expiry": 0}}, ConfigurationError, "^inner: expiry must be"),
        ({"BACKEND": IN_MEMORY, "CONFIG": {"expirey": 1}}, UnknownSetting, "^inner: .* did you mean 'expiry'"),
    ],
)
def test_a_setting_that_gives_no_layer_is_refused_and_shows_no_secret(given, error, said):
    with pytest.raises(error, match=said) as caught:
        from_setting(given)
    assert "secret" not in str(caught.value)


def test_a_path_of_channels_redis_stands_for_our_layer():
    assert import_backend("channels_redis.core.RedisChannelLayer", "it") is asgi_redis.RedisChannelLayer
    assert import_backend("channels_redis.pubsub.RedisPubSubChannelLayer", "it") is asgi_redis.RedisPubSubChannelLayer


def test_facades_are_the_asynchronous_layers_and_classes_derived_from_them():
    derived = type("Derived", (aio.RedisChannelLayer,), {})
    assert all(map(is_facade, (aio.AsyncChannelLayer, aio.RedisPubSubChannelLayer, derived)))
    assert not any(map(is_facade, (asgi_redis.RedisChannelLayer, asgi_redis.get_channel_layer, None)))
