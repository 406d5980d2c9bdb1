"""
A layer that is a setting of another: the object, or a dict that says how to make it.

A dict can be written where no layer can be made yet, as in Django's settings.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TypeVar

from asgi_redis.exceptions import ConfigurationError, UnknownSetting
from asgi_redis.integrations.django import import_backend
from asgi_redis.layers.base import BaseChannelLayer

L = TypeVar("L", bound=BaseChannelLayer)


def layer_from_setting(
    given: object, setting: str, wanted: type[L], described: str, shared: Mapping[str, object]
) -> L:
    """
    Returns ``given``, or the layer for it: a dict of ``BACKEND``, the dotted path, and ``CONFIG``, the settings.

    ``shared`` are settings for a layer that knows them and whose ``CONFIG`` says nothing else. Raises
    ``ConfigurationError`` for what is neither, and where the layer is not of the class ``wanted``, which is
    ``described``; and what the layer's class raises about its ``CONFIG``.
    """
    if isinstance(given, wanted):
        return given
    if not isinstance(given, Mapping) or not {"BACKEND"} <= set(given) <= {"BACKEND", "CONFIG"}:
        raise ConfigurationError(
            f'{setting} must be {described}, or a dict such as {{"BACKEND": "asgi_redis.IPCChannelLayer", '
            f'"CONFIG": {{...}}}}, not {_shown(given)}'
        )
    where = f"the BACKEND {given['BACKEND']!r} of {setting}"
    backend = import_backend(str(given["BACKEND"]), where)
    if not (inspect.isclass(backend) and issubclass(backend, wanted)):
        raise ConfigurationError(f"{where} must be {described}, like asgi_redis.IPCChannelLayer")
    config = given.get("CONFIG", {})
    if not isinstance(config, Mapping):
        raise ConfigurationError(f"the CONFIG of {setting} must be a dict of settings, not a {type(config).__name__}")
    known = inspect.signature(backend).parameters
    settings = {**{name: value for name, value in shared.items() if name in known}, **config}
    try:
        return backend(**settings)
    except (ConfigurationError, UnknownSetting) as error:
        raise type(error)(f"{setting}: {error}") from None


def _shown(given: object) -> str:
    # What is in a dict may be secret, and a str may be a URL with a password.
    if isinstance(given, Mapping):
        return f"a dict of {list(given)}"
    return str(given) if isinstance(given, BaseChannelLayer) else f"a {type(given).__name__}"
