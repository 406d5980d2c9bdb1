"""
The interface of asgi_redis 1.4.3: its attributes, and its methods to override.

An override that asgi_redis 1.4.3 called is called here, too, or refused when its class is made. Without that, an
override such as an encryption would be switched off silently. A removed name raises ``RemovedName``, which says what
to use instead.
"""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asgi_redis.exceptions import RemovedName

_FORMAT = "register a class with as_bytes and from_bytes in asgi_redis.serializers, and name it in serializer_format"
_CONNECTIONS = "use a client of your own: redis.Redis.from_url(url)"
_SCRIPTS = "the scripts are files in asgi_redis/wire/lua, and no part of the interface"
_HOSTS = "write the hosts setting, whose entries take redis-py's options"
_KEYS = "the keys are those of channels_redis: see the wire format in the documentation"
_COUNTERS = "use global_statistics() and channel_statistics(channel)"

# Methods whose overrides would not be called.
NOT_CALLED = {
    "serialize": _FORMAT,
    "deserialize": _FORMAT,
    "non_local_name": _KEYS,
    "consistent_hash": _KEYS,
    "match_type_and_length": "override valid_channel_name and valid_group_name",
}
REMOVED = {
    name: instead
    for instead, names in {
        "give symmetric_encryption_keys, or " + _FORMAT: "make_fernet _setup_encryption",
        _CONNECTIONS: "connection random_index _connection_list",
        _SCRIPTS: "chansend lpopmany lua_chansend lua_lpopmany _register_scripts",
        "use flush()": "delprefix lua_delprefix",
        _COUNTERS: "incrstatcounters lua_incrstatcounters _count_channel_stats _count_global_stats "
        "_incr_statistics_counter",
        _HOSTS: "_generate_connections _setup_hosts",
        _KEYS: "_group_key _receive_list_names",
    }.items()
    for name in names.split()
}


def base_of_asgiref_1() -> Any:
    """Return the base class of layers in asgiref 1, or ``object`` without asgiref 1."""
    found = importlib.util.find_spec("asgiref")  # without importing it: asgiref 3 would be of no use
    folders = [] if found is None else found.submodule_search_locations or []
    if not any((Path(folder) / "base_layer.py").exists() for folder in folders):
        return object
    return importlib.import_module("asgiref.base_layer").BaseChannelLayer


class ClassicNames:
    """Checks the overrides of subclasses, and knows the names that were removed."""

    sends_each = False
    """Whether a group's message goes to each member by ``send``: a subclass overrides that or ``group_channels``."""

    keeps_capacities = True
    """Whether the capacity of a channel stays the same. A subclass that overrides ``get_capacity`` may change it."""

    def __init_subclass__(cls, **arguments: Any) -> None:
        """Raise ``RemovedName`` for an override that would never be called."""
        super().__init_subclass__(**arguments)
        if _is_ours(cls):
            return
        for name in vars(cls):
            instead = NOT_CALLED.get(name) or REMOVED.get(name)
            if instead:
                raise RemovedName(f"{cls.__qualname__} overrides {name}, which is never called: {instead}")
        cls.sends_each = _is_overridden(cls, "send") or _is_overridden(cls, "group_channels")
        cls.keeps_capacities = not _is_overridden(cls, "get_capacity")
        if "blpop_timeout" in vars(cls):
            cls.block_timeout = vars(cls)["blpop_timeout"]  # type: ignore[attr-defined]  # of the layers
            del cls.blpop_timeout  # type: ignore[attr-defined]  # or it would hide the property of the layers

    if not TYPE_CHECKING:  # a type checker would take every name for known

        def __getattr__(self, name: str) -> Any:
            if name in REMOVED:
                raise RemovedName(f"{type(self).__name__} has no {name} any more: {REMOVED[name]}")
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


def _is_overridden(cls: type, name: str) -> bool:
    return not _is_ours(next(base for base in cls.__mro__ if name in vars(base)))


def _is_ours(cls: type) -> bool:
    return cls.__module__.partition(".")[0] == "asgi_redis"
