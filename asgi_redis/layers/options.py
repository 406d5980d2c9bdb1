"""
The options of all layers.

Each is declared once: its type, default, check and documentation. The declarations are ``TypedDict`` classes, so that
editors and type checkers know the options of a constructor. Constructors, their signatures, the "did you mean" of an
unknown option, the options that a local layer takes over, and the reference of the options read them. A new option is
one declaration here, and its use.
"""

# No "from __future__ import annotations": reading the declarations is faster when Python has evaluated them.

import inspect
import math
import os
from collections.abc import Callable, Mapping, Sequence
from re import Pattern
from typing import TYPE_CHECKING, Annotated, NamedTuple, Optional, TypedDict, TypeVar, Union, cast, get_type_hints

from asgi_redis.exceptions import ConfigurationError, UnknownSetting
from asgi_redis.serializers import Key
from asgi_redis.wire.expiry import MAX_EXPIRY_SECONDS

if TYPE_CHECKING:
    from typing_extensions import TypeGuard

Capacities = Mapping[Union[str, Pattern[str]], int]
Hosts = Sequence[Union[str, Sequence[Union[str, int]], Mapping[str, object]]]
ConnectionOptions = Optional[Mapping[str, object]]

_MEBIBYTE = 1024 * 1024


class Option(NamedTuple):
    """The declaration of an option; ``check(name, value)`` raises for a wrong value."""

    help: str
    default: object = None
    check: Optional[Callable[[str, object], None]] = None
    type: object = None
    """Set from the annotation."""


def must_be(wanted: str, fits: Callable[[object], bool]) -> Callable[[str, object], None]:
    """Return a check whose error says which value is ``wanted``."""

    def check(name: str, value: object) -> None:
        if not fits(value):
            raise ConfigurationError(f"{name} must be {wanted}, not {value!r}")

    return check


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

    expiry: Annotated[float, Option("Seconds until a message expires; may be a fraction.", 60, check_seconds)]
    group_expiry: Annotated[float, Option("Seconds that a channel stays in a group.", 86400, check_seconds)]
    capacity: Annotated[int, Option("Messages that a channel holds.", 100, _check_capacity)]
    channel_capacity: Annotated[
        Optional[Capacities],
        Option("Capacities by glob or compiled pattern; the first that matches counts.", None, _check_capacities),
    ]
    symmetric_encryption_keys: Annotated[Optional[Sequence[Key]], Option("The first encrypts, all decrypt.")]
    serializer_format: Annotated[str, Option("``msgpack``, ``json`` or a format that was registered.", "msgpack")]
    max_message_bytes: Annotated[int, Option("Bytes of a serialised message, at most.", 8 * _MEBIBYTE, check_bytes)]


class SharedOptions(CommonOptions, total=False):
    """Options of layers with a prefix."""

    prefix: Annotated[str, Option("Layers with the same prefix share their messages.", "asgi", _text)]


class IPCOptions(SharedOptions, total=False):
    """Options of ``IPCChannelLayer``."""

    path: Annotated[
        Union[str, "os.PathLike[str]", None],
        Option("The directory of the stores; by default one for each user, in ``/dev/shm`` where that exists."),
    ]
    max_bytes: Annotated[
        int,
        Option(
            "Bytes of all messages and groups, at most. A message: half of it; by default no more than an eighth.",
            64 * _MEBIBYTE,
            _memory,
        ),
    ]


class ServerOptions(SharedOptions, total=False):
    """Options of layers that connect to Redis."""

    connection_kwargs: Annotated[ConnectionOptions, Option("Options of redis-py's connections, for all hosts.")]


class HostsOptions(ServerOptions, total=False):
    """Options of layers that are given the addresses of their servers."""

    hosts: Annotated[
        Optional[Hosts],
        Option(
            "The servers, several are shards: URLs, ``(host, port)`` pairs, or dicts of redis-py's options with "
            "``address``, ``host`` and ``port``, or ``sentinels`` and ``master_name``. By default "
            "``redis://localhost:6379``."
        ),
    ]


class OutageOptions(TypedDict, total=False):
    """Options of layers that tell their channels of an outage of Redis."""

    on_disconnect: Annotated[Optional[str], Option("The message type that tells of an outage.", None, _message_type)]
    on_reconnect: Annotated[Optional[str], Option("The message type that tells of its end.", None, _message_type)]


class QueueOptions(ServerOptions, total=False):
    """Options of layers that keep messages in Redis."""

    random_prefix_length: Annotated[
        int, Option("Bytes that make equal messages different, at least 4.", 12, _random_prefix)
    ]


class CounterOptions(QueueOptions, total=False):
    """Options of layers whose counters have a separate prefix."""

    stats_prefix: Annotated[str, Option("The beginning of the keys of the counters.", "asgi-meta:", _text)]


class RedisOptions(CounterOptions, HostsOptions, total=False):
    """Options of ``RedisChannelLayer``."""

    host: Annotated[Optional[str], Option("With ``port`` and ``db``, short for one entry of ``hosts``.")]
    port: Annotated[Optional[int], Option("See ``host``.")]
    db: Annotated[Optional[int], Option("See ``host``.")]


class AsyncOptions(OutageOptions, total=False):
    """Options of asynchronous layers that keep messages in Redis."""

    group_lease: Annotated[
        Optional[float],
        Option(
            "Seconds that a process-local channel stays in groups after its process died; None is ``group_expiry``.",
            300.0,
            _lease,
        ),
    ]


class AsyncRedisOptions(RedisOptions, AsyncOptions, total=False):
    """Options of ``asgi_redis.aio.RedisChannelLayer``."""


class SentinelOptions(CounterOptions, total=False):
    """Options of ``RedisSentinelChannelLayer``."""

    hosts: Annotated[
        Optional[Sequence[Sequence[Union[str, int]]]],
        Option("The ``(host, port)`` pairs of the Sentinels; required."),
    ]
    services: Annotated[
        Optional[Sequence[str]],
        Option(
            "The names of the services, one for each shard, in one order everywhere; by default all, sorted.",
            None,
            _names,
        ),
    ]
    sentinel_refresh_interval: Annotated[
        float, Option("Seconds that an answer of the Sentinels holds for new connections.", 0, _interval)
    ]
    sentinel_kwargs: Annotated[ConnectionOptions, Option("Options of redis-py's connections to the Sentinels.")]


T = TypeVar("T", bound=Mapping[str, object])
F = TypeVar("F", bound=Callable[..., None])

_RAISES = "Raises:\n    ValueError: An option has a value that cannot work.\n    TypeError: An option is not known."
_declarations: dict[type, dict[str, Option]] = {}


def declarations(kind: type) -> dict[str, Option]:
    """Return the options that a ``TypedDict`` declares, by name."""
    if kind not in _declarations:
        hints = get_type_hints(kind, include_extras=True)
        _declarations[kind] = {
            name: hint.__metadata__[0]._replace(type=hint.__origin__) for name, hint in hints.items()
        }
    return _declarations[kind]


def takes(kind: type, summary: str = "Make the layer.") -> Callable[[F], F]:
    """Decorate a constructor so that its signature and docstring show each option."""
    options = declarations(kind)

    def decorate(constructor: F) -> F:
        signature = inspect.signature(constructor)
        parameters = {name: one for name, one in signature.parameters.items() if one.kind is not one.VAR_KEYWORD}
        for name, option in options.items():
            place = inspect.Parameter.POSITIONAL_OR_KEYWORD if name in parameters else inspect.Parameter.KEYWORD_ONLY
            parameters[name] = inspect.Parameter(name, place, default=option.default, annotation=option.type)
        shown = signature.replace(parameters=list(parameters.values()))
        constructor.__signature__ = shown  # type: ignore[attr-defined]  # inspect reads it
        lines = "\n".join(f"    {name}: {option.help}" for name, option in options.items())
        constructor.__doc__ = f"{summary}\n\nArgs:\n{lines}\n\n{_RAISES}"
        return constructor

    return decorate


def resolve(layer: object, kind: type[T], given: T) -> T:
    """
    Return the options ``given`` to a constructor, and the defaults of all others.

    Raises:
        UnknownSetting: ``kind`` does not declare an option.
        ConfigurationError: The value of an option cannot work.
    """
    options = declarations(kind)
    for name in given:
        if name not in options:
            raise _unknown(type(layer), name, options)
    for name, value in given.items():
        check = options[name].check
        if check:
            check(name, value)
    return cast(T, {**{name: option.default for name, option in options.items()}, **given})


def select(kind: type[T], options: Mapping[str, object]) -> T:
    """Return those of ``options`` that ``kind`` declares."""
    known = declarations(kind)
    return cast(T, {name: value for name, value in options.items() if name in known})


def _unknown(layer_class: type, name: str, options: Mapping[str, Option]) -> UnknownSetting:
    import difflib  # takes a while, and is for errors only

    parameters = inspect.signature(layer_class).parameters.values()  # a subclass may have more
    own = [one.name for one in parameters if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]
    known = list(dict.fromkeys([*own, *options]))
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    hint = f"did you mean {nearest[0]!r}?" if nearest else f"it has: {', '.join(known)}"
    return UnknownSetting(f"{layer_class.__name__} has no setting {name!r}; {hint}")
