"""The flags that say which layer is meant, and the layer that they describe."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from typing import Any

from redis.exceptions import RedisError

from asgi_redis.engine.facts import Inspector
from asgi_redis.exceptions import (
    ChannelLayerError,
    ConfigurationError,
    InvalidChannelLayerError,
    UnsupportedExtension,
    WrongArguments,
)
from asgi_redis.integrations.django import DEFAULT_ALIAS, get_channel_layer
from asgi_redis.integrations.environment import (
    URL_VARIABLE,
    keys_from_environment,
    password_from_environment,
    urls_from_environment,
)
from asgi_redis.layers.base import BaseChannelLayer
from asgi_redis.layers.cluster import RedisClusterChannelLayer
from asgi_redis.layers.ipc import IPCChannelLayer
from asgi_redis.layers.redis import RedisChannelLayer
from asgi_redis.layers.sentinel import RedisSentinelChannelLayer
from asgi_redis.process import identity

_SETTINGS_VARIABLE = "DJANGO_SETTINGS_MODULE"
_KINDS = ("url", "sentinel", "ipc")


def add_layer_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say which layer is meant."""
    group = parser.add_argument_group(
        "the layer",
        f"One of Django's CHANNEL_LAYERS, or one that flags describe; with neither settings nor flags the URLs in "
        f"{URL_VARIABLE}, which keeps passwords off the command line.",
    )
    add = group.add_argument
    add("--layer", metavar="ALIAS", help=f"alias in CHANNEL_LAYERS (default: {DEFAULT_ALIAS})")
    add("--settings", metavar="MODULE", help=f"Django settings (default: {_SETTINGS_VARIABLE})")
    add("--url", action="append", metavar="URL", help="URL of a Redis; once for each shard, in the order of hosts")
    add("--cluster", action="store_true", help="the URLs are start nodes of a Redis Cluster; goes with --shards")
    add("--shards", type=int, metavar="N", help="number of shards that the layer has on the cluster")
    add(
        "--sentinel",
        action="append",
        type=_address,
        metavar="HOST:PORT",
        help="address of a Sentinel; may be repeated",
    )
    add(
        "--service",
        action="append",
        metavar="NAME",
        help="service of the Sentinels; once for each shard (default: all services)",
    )
    add("--ipc", action="store_true", help="an IPCChannelLayer on this machine")
    add("--path", metavar="DIR", help="path of the stores, if the IPCChannelLayer has that option")
    add("--prefix", metavar="PREFIX", help="prefix of the keys (default: asgi)")
    add("--capacity", type=int, metavar="N", help="capacity of channels (default: 100)")
    add("--expiry", type=float, metavar="SECONDS", help="expiry of messages (default: 60)")


def layer_from(arguments: argparse.Namespace) -> BaseChannelLayer:
    """
    Return the layer that the flags describe.

    Raises:
        WrongArguments: The flags describe none.
        InvalidChannelLayerError: The settings have none that other processes can use.
        redis.exceptions.RedisError: A server is needed to make it.
    """
    identity.set_role("monitor")
    if any(getattr(arguments, kind) for kind in _KINDS):
        given = [f"--{name}" for name in ("layer", "settings", *_KINDS) if getattr(arguments, name)]
        if len(given) > 1:
            raise WrongArguments(f"{' and '.join(given)} each say which layer is meant: give one of them")
        return _described(arguments)
    if arguments.settings or os.environ.get(_SETTINGS_VARIABLE):
        return _of_project(arguments)
    if arguments.layer:
        raise WrongArguments(f"--layer is an alias of Django's settings: give --settings or {_SETTINGS_VARIABLE}")
    if not urls_from_environment():
        raise WrongArguments(f"which layer? Give --url or --settings, or set {URL_VARIABLE}; --help shows all ways")
    return _described(arguments)


def inspector_of(layer: BaseChannelLayer) -> Inspector:
    """Return the inspector of a layer, or raise ``UnsupportedExtension``."""
    if layer.inspector is None:
        raise UnsupportedExtension(f"{type(layer).__name__} stores nothing that could be looked at")
    return layer.inspector


def _of_project(arguments: argparse.Namespace) -> BaseChannelLayer:
    for name in ("prefix", "capacity", "expiry", "shards", "cluster", "service", "path"):
        if getattr(arguments, name):
            raise WrongArguments(f"--{name} goes with --url and the like; in Django it is a setting of the layer")
    if arguments.settings:
        os.environ[_SETTINGS_VARIABLE] = arguments.settings
    if os.getcwd() not in sys.path:  # noqa: PTH109  entries of sys.path are strings
        sys.path.insert(0, os.getcwd())  # noqa: PTH109
    try:
        layer = get_channel_layer(arguments.layer or DEFAULT_ALIAS)
    except (ChannelLayerError, RedisError):
        raise
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        raise InvalidChannelLayerError(f"the layer cannot be made of Django's settings: {said}") from error
    if not layer.crosses_processes:
        raise InvalidChannelLayerError(f"{type(layer).__name__} has its messages in one process, out of sight here")
    return layer


def _described(arguments: argparse.Namespace) -> BaseChannelLayer:
    """Return the layer that flags describe without Django."""
    options: dict[str, Any] = {"symmetric_encryption_keys": keys_from_environment()}
    for name in ("prefix", "capacity", "expiry"):
        if getattr(arguments, name) is not None:
            options[name] = getattr(arguments, name)
    _refuse_strays(arguments)
    try:
        if arguments.ipc:
            return IPCChannelLayer(**options, path=arguments.path)
        if arguments.sentinel:
            password = password_from_environment()
            login: Mapping[str, object] | None = {"password": password} if password else None
            return RedisSentinelChannelLayer(
                **options, hosts=arguments.sentinel, services=arguments.service, connection_kwargs=login
            )
        urls = arguments.url or urls_from_environment()
        if arguments.cluster:
            return RedisClusterChannelLayer(**options, hosts=urls, shards=arguments.shards)
        return RedisChannelLayer(**options, hosts=urls)
    except ConfigurationError as error:
        raise WrongArguments(str(error)) from error


def _refuse_strays(arguments: argparse.Namespace) -> None:
    """Raise ``WrongArguments`` for a flag that goes with another one."""
    by_url = not (arguments.ipc or arguments.sentinel)
    for flag, given, wanted, fits in (
        ("--cluster", arguments.cluster, "--url", by_url),
        ("--shards", arguments.shards is not None, "--cluster", arguments.cluster),
        ("--service", arguments.service, "--sentinel", arguments.sentinel),
        ("--path", arguments.path, "--ipc", arguments.ipc),
    ):
        if given and not fits:
            raise WrongArguments(f"{flag} goes with {wanted}")


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not int(port) < 1 << 16:
        raise argparse.ArgumentTypeError(f"HOST:PORT is wanted, not {text!r}")
    return host.strip("[]"), int(port)
