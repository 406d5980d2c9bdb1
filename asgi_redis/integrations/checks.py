"""
The system check of ``CHANNEL_LAYERS``, for ``manage.py check`` and whatever else runs the checks.

It makes each layer that is one of ours, or that one of ours stands for, and tells what its class says about the
settings. That connects to nothing. Other layers are none of its business.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning

from asgi_redis.connection.hosts import DEFAULT_URL
from asgi_redis.exceptions import ChannelLayerError, UnknownSetting
from asgi_redis.integrations.django import (
    COUNTERPARTS,
    IN_MEMORY,
    InvalidChannelLayerError,
    import_backend,
    is_facade,
    make_channel_layer,
)
from asgi_redis.layers.base import BaseChannelLayer
from asgi_redis.layers.sentinel import RedisSentinelChannelLayer
from asgi_redis.serializers import SerializerDoesNotExist


def check_channel_layers(**_: Any) -> list[CheckMessage]:
    """Returns what is wrong with ``CHANNEL_LAYERS``."""
    layers = getattr(settings, "CHANNEL_LAYERS", {})
    if not isinstance(layers, Mapping):
        return [
            Error(
                f"CHANNEL_LAYERS must be a dict, not a {type(layers).__name__}.",
                hint='Write CHANNEL_LAYERS = {"default": {"BACKEND": "asgi_redis.RedisChannelLayer"}}.',
                id="asgi_redis.E001",
            )
        ]
    messages = [message for alias in layers for message in _check(alias, layers)]
    if layers and "default" not in layers:
        messages.append(
            Error(
                f"CHANNEL_LAYERS has no 'default', which everything uses that names no other; it has "
                f"{', '.join(map(repr, layers))}.",
                hint="Call one of them 'default'.",
                id="asgi_redis.E004",
            )
        )
    return messages


def check_workers(**_: Any) -> list[CheckMessage]:
    """Returns an error where the app ``workers`` is not the one of this distribution."""
    if not apps.is_installed("workers"):
        return []
    theirs, ours = Path(apps.get_app_config("workers").path), Path(__file__).parents[2] / "workers"
    if theirs == ours:
        return []
    return [
        Error(
            f"The app 'workers' is {theirs}, which hides that of asgi_redis, {ours}.",
            hint="Rename the package of the project: Python imports only one of that name.",
            id="asgi_redis.E006",
        )
    ]


def _check(alias: str, layers: Mapping[str, Any]) -> Iterator[CheckMessage]:
    options = layers[alias]
    config = options.get("CONFIG") if isinstance(options, Mapping) else None
    if isinstance(config, Mapping) and "hosts" in config and config["hosts"] is None:
        yield Error(
            f"The hosts of CHANNEL_LAYERS[{alias!r}] are None, which means {DEFAULT_URL}.",
            hint="Look whether an environment variable is missing. For that server, leave 'hosts' out.",
            id="asgi_redis.E005",
        )
    path = options.get("BACKEND") if isinstance(options, Mapping) else None
    if path == IN_MEMORY:
        yield from _in_memory(alias, path, "asgi_redis.aio.RedisChannelLayer")
        return
    if isinstance(path, str):
        try:
            backend = import_backend(path, f"the BACKEND {path!r} of CHANNEL_LAYERS[{alias!r}]")
        except InvalidChannelLayerError as error:
            yield Error(
                f"{error}.", hint="Correct the path, or install the package that it is in.", id="asgi_redis.E002"
            )
            return
        if not is_facade(backend) and not (inspect.isclass(backend) and issubclass(backend, BaseChannelLayer)):
            return
        options = _without_asking(backend, options)
    try:
        layer = make_channel_layer(alias, {alias: options})
    except (ChannelLayerError, TypeError, ValueError, ImportError) as error:
        yield Error(
            f"CHANNEL_LAYERS[{alias!r}] cannot work: {error}.", hint=_fix(alias, options, error), id="asgi_redis.E003"
        )
        return
    if not layer.crosses_processes:
        instead = "asgi_redis.IPCChannelLayer on one machine, or asgi_redis.RedisChannelLayer"
        yield from _in_memory(alias, path, "asgi_redis.aio.RedisChannelLayer" if is_facade(backend) else instead)
    if alias == "default" and path not in COUNTERPARTS and not is_facade(backend):
        yield from _unfit_for_channels(alias, path)


def _without_asking(backend: Any, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the options, changed so that the Sentinels are not asked for the services that they watch."""
    config = options.get("CONFIG", {})
    if not isinstance(config, Mapping):
        return options
    inner = config.get("layer")
    if is_facade(backend) and isinstance(inner, Mapping):
        try:
            within = import_backend(str(inner.get("BACKEND")), "")
        except InvalidChannelLayerError:
            return options  # which is told when the layer is made
        return {**options, "CONFIG": {**config, "layer": _without_asking(within, inner)}}
    if _asks_sentinels(backend) and not config.get("services"):
        return {**options, "CONFIG": {**config, "services": ["any"]}}
    return options


def _asks_sentinels(backend: Any) -> bool:
    return inspect.isclass(backend) and issubclass(backend, RedisSentinelChannelLayer)


def _in_memory(alias: str, path: Any, instead: str) -> Iterator[CheckMessage]:
    if not settings.DEBUG:
        yield Warning(
            f"CHANNEL_LAYERS[{alias!r}] passes messages within one process only, and DEBUG is False: in production, "
            f"no worker, command or second server process gets any.",
            hint=f"In the place of the BACKEND {path!r}, use {instead}.",
            id="asgi_redis.W001",
        )


def _unfit_for_channels(alias: str, path: Any) -> Iterator[CheckMessage]:
    if not apps.is_installed("channels"):
        return
    version = getattr(apps.get_app_config("channels").module, "__version__", "1.")
    if not version.startswith("1."):
        yield Warning(
            f"CHANNEL_LAYERS[{alias!r}] is synchronous, and the consumers of Channels {version} cannot use it.",
            hint=(
                f"Write {_asynchronous(path)}: asgi_redis.get_channel_layer() returns the synchronous layer for it. "
                f"If no consumer uses the layer, give it another alias than 'default'."
            ),
            id="asgi_redis.W002",
        )


def _asynchronous(path: str) -> str:
    """Returns the settings of the asynchronous layer for the path of a synchronous one."""
    module, _, name = path.rpartition(".")
    if module == "asgi_redis" and name in ("RedisChannelLayer", "RedisPubSubChannelLayer"):
        return f"asgi_redis.aio.{name}"
    return (
        f'{{"BACKEND": "asgi_redis.aio.AsyncChannelLayer", '
        f'"CONFIG": {{"layer": {{"BACKEND": "{path}", "CONFIG": {{...}}}}}}}}'
    )


def _fix(alias: str, options: Any, error: Exception) -> str:
    """Returns what to change in the settings, where the layer's class has raised ``error``."""
    where = f"CHANNEL_LAYERS[{alias!r}]"
    config = options.get("CONFIG", {}) if isinstance(options, Mapping) else None
    if isinstance(error, InvalidChannelLayerError):
        return f"Correct {where}." if isinstance(config, Mapping) else f"Write {where} and its CONFIG as dicts."
    if isinstance(error, ImportError):
        return "Install what is missing, or use another BACKEND."
    complaint = "serializer_format" if isinstance(error, SerializerDoesNotExist) else str(error)
    where, setting, value = _culprit(f"{where}['CONFIG']", config, complaint)
    if isinstance(error, UnknownSetting):
        return f"Correct the name of {setting!r} in {where}, or take it out." if setting else f"Correct {where}."
    if setting is None:
        return f"Correct {where}."
    if setting == "hosts" and isinstance(value, (str, bytes)):
        return f"In {where}, put the value of 'hosts' into a list: [...]."
    return f"Correct {setting!r} in {where}, or take it out, for the default."


def _culprit(where: str, config: Any, complaint: str) -> tuple[str, str | None, Any]:
    """Returns the dict that has the setting which ``complaint`` names first, its name, and its value."""
    if not isinstance(config, Mapping):
        return where, None, None
    for word in re.findall(r"\w+", complaint):
        if word in config:
            # A layer within a layer says what is wrong with a setting of its own.
            inner = config[word].get("CONFIG") if isinstance(config[word], Mapping) else None
            return (
                _culprit(f"{where}[{word!r}]['CONFIG']", inner, complaint) if inner else (where, word, config[word])
            )
    return where, None, None
