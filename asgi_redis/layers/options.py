"""
The options of all layers.

Each is declared once: its type, default, check, documentation and an example. The declarations are ``TypedDict``
classes, so that editors and type checkers know the options of a constructor. Constructors, their signatures, the "did
you mean" of an unknown option, the options that a local layer takes over, and the reference of the options
(``docs/reference/options.rst``) read them. A new option is one declaration here, and its use.
"""

# No "from __future__ import annotations": reading the declarations is faster when Python has evaluated them.

import math
import os
from collections.abc import Mapping, Sequence
from re import Pattern
from typing import TYPE_CHECKING, Annotated, Optional, TypedDict, Union

from asgi_redis.exceptions import ConfigurationError
from asgi_redis.layers.declaration import Option as Option
from asgi_redis.layers.declaration import declarations as declarations
from asgi_redis.layers.declaration import must_be as must_be
from asgi_redis.layers.declaration import resolve as resolve
from asgi_redis.layers.declaration import select as select
from asgi_redis.layers.declaration import takes as takes
from asgi_redis.serializers import Key
from asgi_redis.wire.expiry import MAX_EXPIRY_SECONDS

if TYPE_CHECKING:
    from typing_extensions import TypeGuard

Capacities = Mapping[Union[str, Pattern[str]], int]
Hosts = Sequence[Union[str, Sequence[Union[str, int]], Mapping[str, object]]]
ConnectionOptions = Optional[Mapping[str, object]]

_MEBIBYTE = 1024 * 1024


def _is_number(value: object) -> "TypeGuard[float]":
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


_check_capacity = must_be("a whole number of messages above 0", lambda value: _is_whole(value, 1))
check_whole = must_be("a whole number above 0", lambda value: _is_whole(value, 1))
check_bytes = must_be("a number of bytes", lambda value: _is_whole(value, 1))
_memory = must_be(f"a number of bytes, at least {_MEBIBYTE}", lambda value: _is_whole(value, _MEBIBYTE))
_random_prefix = must_be("at least 4 bytes, or equal messages become one", lambda value: _is_whole(value, 4))
check_seconds = must_be(
    f"a number of seconds above 0, at most {MAX_EXPIRY_SECONDS}",
    lambda value: _is_number(value) and 0 < value <= MAX_EXPIRY_SECONDS,
)
_lease = must_be(
    "a number of seconds above 0, or None",
    lambda value: value is None or (_is_number(value) and 0 < value < math.inf),
)
_interval = must_be("seconds, at least 0", lambda value: _is_number(value) and value >= 0)
_text = must_be("a str", lambda value: isinstance(value, str))
_message_type = must_be("the type of a message, a str", lambda value: value is None or isinstance(value, str))
_names = must_be(
    "a list of names",
    lambda value: (
        value is None or (isinstance(value, (list, tuple)) and all(isinstance(name, str) for name in value))
    ),
)


def _check_capacities(name: str, value: object) -> None:
    if not value:
        return
    if not isinstance(value, Mapping):
        raise ConfigurationError(f'{name} must be a dict such as {{"http.request": 200}}, not {value!r}')
    for pattern, capacity in value.items():
        if not isinstance(pattern.pattern if isinstance(pattern, Pattern) else pattern, str):
            raise ConfigurationError(f"the keys of {name} must be globs or compiled patterns, not {pattern!r}")
        _check_capacity(f"{name}[{pattern!r}]", capacity)


class CommonOptions(TypedDict, total=False):
    """Options of all layers."""

    expiry: Annotated[
        float, Option("Seconds until a message expires; may be a fraction.", 60, check_seconds, example="30.0")
    ]
    group_expiry: Annotated[
        float, Option("Seconds that a channel stays in a group.", 86400, check_seconds, example="3600")
    ]
    capacity: Annotated[int, Option("Messages that a channel holds.", 100, _check_capacity, example="1000")]
    channel_capacity: Annotated[
        Optional[Capacities],
        Option(
            "Capacities by glob or compiled pattern; the first that matches counts.",
            None,
            _check_capacities,
            example='{"http.request": 200, "http.response!*": 10, "websocket.send!*": 20}',
        ),
    ]
    symmetric_encryption_keys: Annotated[
        Optional[Sequence[Key]],
        Option("Secrets: the first encrypts messages, all decrypt.", example='["the new secret", "the old secret"]'),
    ]
    serializer_format: Annotated[
        str, Option("``msgpack``, ``json`` or a format that was registered.", "msgpack", example='"json"')
    ]
    max_message_bytes: Annotated[
        int, Option("Bytes of a serialised message, at most.", 8 * _MEBIBYTE, check_bytes, example="1024 * 1024")
    ]


class SharedOptions(CommonOptions, total=False):
    """Options of layers with a prefix."""

    prefix: Annotated[
        str, Option("Layers with the same prefix share their messages.", "asgi", _text, example='"mysite:"')
    ]


class IPCOptions(SharedOptions, total=False):
    """Options of ``IPCChannelLayer``."""

    path: Annotated[
        Union[str, "os.PathLike[str]", None],
        Option(
            "The directory of the stores; by default one for each user, in ``/dev/shm`` where that exists.",
            example='"/run/mysite"',
        ),
    ]
    max_bytes: Annotated[
        int,
        Option(
            "Bytes of all messages and groups, at most. A message: half of it; by default no more than an eighth.",
            64 * _MEBIBYTE,
            _memory,
            example="256 * 1024 * 1024",
        ),
    ]


class ServerOptions(SharedOptions, total=False):
    """Options of layers that connect to Redis."""

    connection_kwargs: Annotated[
        ConnectionOptions,
        Option(
            "Options of redis-py's connections, for all hosts.",
            example='{"username": "mysite", "password": "secret", "max_connections": 20}',
        ),
    ]


class HostsOptions(ServerOptions, total=False):
    """Options of layers that are given the addresses of their servers."""

    hosts: Annotated[
        Optional[Hosts],
        Option(
            "The servers, several are shards: URLs, ``(host, port)`` pairs, or dicts of redis-py's options with "
            "``address``, ``host`` and ``port``, or ``sentinels`` and ``master_name``. By default "
            "``redis://localhost:6379``.",
            example='["redis://redis-1:6379/0", "redis://redis-2:6379/0"]',
        ),
    ]


class OutageOptions(TypedDict, total=False):
    """Options of layers that tell their channels of an outage of Redis."""

    on_disconnect: Annotated[
        Optional[str],
        Option("The message type that tells of an outage.", None, _message_type, example='"redis.disconnected"'),
    ]
    on_reconnect: Annotated[
        Optional[str],
        Option("The message type that tells of its end.", None, _message_type, example='"redis.reconnected"'),
    ]


class QueueOptions(ServerOptions, total=False):
    """Options of layers that keep messages in Redis."""

    random_prefix_length: Annotated[
        int, Option("Bytes that make equal messages different, at least 4.", 12, _random_prefix, example="16")
    ]


class CounterOptions(QueueOptions, total=False):
    """Options of layers whose counters have a separate prefix."""

    stats_prefix: Annotated[
        str, Option("The beginning of the keys of the counters.", "asgi-meta:", _text, example='"mysite-meta:"')
    ]


class RedisOptions(CounterOptions, HostsOptions, total=False):
    """Options of ``RedisChannelLayer``."""

    host: Annotated[
        Optional[str], Option("With ``port`` and ``db``, short for one entry of ``hosts``.", example='"redis-1"')
    ]
    port: Annotated[Optional[int], Option("The port of ``host``; 6379 without.", example="6380")]
    db: Annotated[Optional[int], Option("The number of the database there; 0 without.", example="1")]


class AsyncOptions(OutageOptions, total=False):
    """Options of asynchronous layers that keep messages in Redis."""

    group_lease: Annotated[
        Optional[float],
        Option(
            "Seconds that a process-local channel stays in groups after its process died; None is ``group_expiry``.",
            300.0,
            _lease,
            example="60.0",
        ),
    ]


class AsyncRedisOptions(RedisOptions, AsyncOptions, total=False):
    """Options of ``asgi_redis.aio.RedisChannelLayer``."""


class SentinelOptions(CounterOptions, total=False):
    """Options of ``RedisSentinelChannelLayer``."""

    hosts: Annotated[
        Optional[Sequence[Sequence[Union[str, int]]]],
        Option(
            "The ``(host, port)`` pairs of the Sentinels; required.",
            example='[("sentinel-1", 26379), ("sentinel-2", 26379), ("sentinel-3", 26379)]',
        ),
    ]
    services: Annotated[
        Optional[Sequence[str]],
        Option(
            "The names of the services, one for each shard, in one order everywhere; by default all, sorted.",
            None,
            _names,
            example='["mymaster"]',
        ),
    ]
    sentinel_refresh_interval: Annotated[
        float, Option("Seconds that an answer of the Sentinels holds for new connections.", 0, _interval, example="5")
    ]
    sentinel_kwargs: Annotated[
        ConnectionOptions,
        Option("Options of redis-py's connections to the Sentinels.", example='{"password": "secret"}'),
    ]
