"""
The system checks of Django: ``CHANNEL_LAYERS``, and the app ``workers``.

The check of ``CHANNEL_LAYERS`` makes each layer of this package, and each that stands for one, and reports the errors
of its constructor. It connects to nothing, and leaves other layers alone.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning

from asgi_redis.connection.hosts import DEFAULT_URL
from asgi_redis.exceptions import ChannelLayerError, InvalidChannelLayerError, SerializerDoesNotExist, UnknownSetting
from asgi_redis.integrations.django import IN_MEMORY, make_channel_layer
from asgi_redis.layers.base import BaseChannelLayer
from asgi_redis.layers.from_setting import COUNTERPARTS, import_backend, is_facade
from asgi_redis.layers.sentinel import RedisSentinelChannelLayer

# Back ends of Channels 1, whose packages are for versions of Python and Django that are gone.
_SUCCESSORS = {
    "asgiref.inmemory.ChannelLayer": "asgi_redis.InMemoryChannelLayer",
    "asgi_ipc.IPCChannelLayer": "asgi_redis.IPCChannelLayer",
}
_OPTIONS_FOR_CLUSTERS = ("shards", "address_remap")


def check_channel_layers(**_: object) -> list[CheckMessage]:
    """Return the errors and warnings about ``CHANNEL_LAYERS``."""
    layers = getattr(settings, "CHANNEL_LAYERS", {})
    if not isinstance(layers, Mapping):
        return [
            Error(
                f"CHANNEL_LAYERS must be a dict, not a {type(layers).__name__}.",
                hint='Write CHANNEL_LAYERS = {"default": {"BACKEND": "asgi_redis.RedisChannelLayer"}}.',
                id="asgi_redis.E001",
            )
        ]
    messages = [message for alias, entry in layers.items() for message in _check(alias, entry)]
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


def check_workers(**_: object) -> list[CheckMessage]:
    """Return an error if the app ``workers`` is not that of this distribution."""
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


def _check(alias: str, entry: object) -> Iterator[CheckMessage]:
    yield from _check_hosts(alias, entry)
    path = entry.get("BACKEND") if isinstance(entry, Mapping) else None
    if settings.DEBUG and alias == "default" and isinstance(entry, Mapping) and set(entry) == {"ROUTING"}:
        return  # the development server gives it a layer in memory
    if path == IN_MEMORY:
        yield from _warn_of_memory(alias, path, "asgi_redis.aio.RedisChannelLayer")
        return
    backend: object = None
    if isinstance(path, str):
        try:
            backend = import_backend(path, f"the BACKEND {path!r} of CHANNEL_LAYERS[{alias!r}]")
        except InvalidChannelLayerError as error:
            successor = _SUCCESSORS.get(path)
            hint = f"Write {successor!r}." if successor else "Correct the path, or install the package that it is in."
            yield Error(f"{error}.", hint=hint, id="asgi_redis.E002")
            return
        if not is_facade(backend) and not _is_class_of(backend, BaseChannelLayer):
            return
        entry = _with_services(backend, entry)
    try:
        layer = make_channel_layer(alias, {alias: entry})
    except (ChannelLayerError, TypeError, ValueError, ImportError) as error:
        yield Error(
            f"CHANNEL_LAYERS[{alias!r}] cannot work: {error}.", hint=_fix(alias, entry, error), id="asgi_redis.E003"
        )
        return
    if not layer.crosses_processes:
        instead = "asgi_redis.IPCChannelLayer on one machine, or asgi_redis.RedisChannelLayer"
        yield from _warn_of_memory(alias, path, "asgi_redis.aio.RedisChannelLayer" if is_facade(backend) else instead)
    if alias == "default" and path not in COUNTERPARTS and not is_facade(backend):
        yield from _warn_of_channels_4(alias, str(path))


def _check_hosts(alias: str, entry: object) -> Iterator[CheckMessage]:
    config = _config(entry)
    if config and "hosts" in config and config["hosts"] is None:
        yield Error(
            f"The hosts of CHANNEL_LAYERS[{alias!r}] are None, which means {DEFAULT_URL}.",
            hint="Look whether an environment variable is missing. For that server, leave 'hosts' out.",
            id="asgi_redis.E005",
        )


def _with_services(backend: object, entry: object) -> object:
    """Return the entry with ``services``; without them the Sentinels would be asked."""
    config = _config(entry)
    if not isinstance(entry, Mapping) or config is None:
        return entry
    inner = config.get("layer")
    if is_facade(backend) and isinstance(inner, Mapping):
        try:
            inner_backend = import_backend(str(inner.get("BACKEND")), "")
        except InvalidChannelLayerError:
            return entry  # making the layer raises it again
        return {**entry, "CONFIG": {**config, "layer": _with_services(inner_backend, inner)}}
    if _is_class_of(backend, RedisSentinelChannelLayer) and not config.get("services"):
        return {**entry, "CONFIG": {**config, "services": ["any"]}}
    return entry


def _config(entry: object) -> Mapping[str, object] | None:
    config = entry.get("CONFIG", {}) if isinstance(entry, Mapping) else None
    return config if isinstance(config, Mapping) else None


def _is_class_of(backend: object, wanted: type) -> bool:
    return inspect.isclass(backend) and issubclass(backend, wanted)


def _warn_of_memory(alias: str, path: object, instead: str) -> Iterator[CheckMessage]:
    if not settings.DEBUG:
        yield Warning(
            f"CHANNEL_LAYERS[{alias!r}] passes messages within one process only, and DEBUG is False: in production, "
            f"no worker, command or second server process gets any.",
            hint=f"In the place of the BACKEND {path!r}, use {instead}.",
            id="asgi_redis.W001",
        )


def _warn_of_channels_4(alias: str, path: str) -> Iterator[CheckMessage]:
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
    """Return the settings of the asynchronous layer for the path of a synchronous one."""
    facade = path.replace("asgi_redis.", "asgi_redis.aio.")
    try:
        if is_facade(import_backend(facade, facade)):
            return facade
    except InvalidChannelLayerError:
        pass  # it has none: a subclass, or a layer that AsyncChannelLayer is for
    return (
        f'{{"BACKEND": "asgi_redis.aio.AsyncChannelLayer", '
        f'"CONFIG": {{"layer": {{"BACKEND": "{path}", "CONFIG": {{...}}}}}}}}'
    )


def _fix(alias: str, entry: object, error: Exception) -> str:
    """Return the advice for an error that the constructor of the layer has raised."""
    where = f"CHANNEL_LAYERS[{alias!r}]"
    config = _config(entry)
    if isinstance(error, InvalidChannelLayerError):
        return f"Write {where} and its CONFIG as dicts." if config is None else f"Correct {where}."
    if isinstance(error, ImportError):
        return "Install what is missing, or use another BACKEND."
    complaint = "serializer_format" if isinstance(error, SerializerDoesNotExist) else str(error)
    if isinstance(error, UnknownSetting):
        complaint = complaint.partition(";")[0]  # the names of other options follow
    where, option, value = _culprit(f"{where}['CONFIG']", config, complaint)
    missing = re.search(r"(\w+) is missing", complaint)
    if option is None:
        return f"Add {missing[1]!r} to {where}." if missing else f"Correct {where}."
    if isinstance(error, UnknownSetting):
        if option in _OPTIONS_FOR_CLUSTERS and "RedisChannelLayer" in complaint:
            return f"Take {option!r} out of {where}, or use the BACKEND {_for_cluster(entry)!r}, for a Redis Cluster."
        return f"Correct the name of {option!r} in {where}, or take it out."
    if option == "hosts" and isinstance(value, (str, bytes)):
        return f"In {where}, put the value of 'hosts' into a list: [...]."
    if option == "shards":
        return f"Correct 'shards' in {where}: a whole number, the same in all processes."
    return f"Correct {option!r} in {where}, or take it out, for the default."


def _for_cluster(entry: object) -> str:
    """Return the ``BACKEND`` for a Redis Cluster that is like that of ``entry``."""
    path = str(entry.get("BACKEND")) if isinstance(entry, Mapping) else ""
    is_asynchronous = path in COUNTERPARTS or is_facade(import_backend(path, path))
    return f"asgi_redis.{'aio.' if is_asynchronous else ''}RedisClusterChannelLayer"


def _culprit(where: str, config: object, complaint: str) -> tuple[str, str | None, object]:
    """Return the place, name and value of the option that ``complaint`` names first."""
    options = config if isinstance(config, Mapping) else {}
    for word in re.findall(r"\w+", complaint):
        if word in options:
            value = options[word]
            inner = value.get("CONFIG") if isinstance(value, Mapping) else None
            within = _culprit(f"{where}[{word!r}]['CONFIG']", inner, complaint) if inner else None
            if within and (within[1] is not None or "is missing" in complaint):
                return within  # the complaint is about an option of the layer within
            return where, word, value
    return where, None, None
