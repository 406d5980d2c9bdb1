"""
What code that was written for asgi_redis 1.4.3 finds in the layers: its attributes, and its methods to override.

An override that 1.4.3 called is called, too, or refused when its class is made. So no override, such as an encryption
of its own, is passed over in silence. What has gone raises ``RemovedName``, which says what to use instead.
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

# Methods of 1.4.3, and of the layers here, whose overrides would not be called.
NOT_CALLED = {
    "serialize": _FORMAT,
    "deserialize": _FORMAT,
    "non_local_name": _KEYS,
    "consistent_hash": _KEYS,
    "match_type_and_length": "override valid_channel_name and valid_group_name",
}
REMOVED = {
    "make_fernet": "give symmetric_encryption_keys, or " + _FORMAT,
    "connection": _CONNECTIONS,
    "random_index": _CONNECTIONS,
    "chansend": _SCRIPTS,
    "lpopmany": _SCRIPTS,
    "delprefix": "use flush()",
    "incrstatcounters": _COUNTERS,
    "lua_chansend": _SCRIPTS,
    "lua_lpopmany": _SCRIPTS,
    "lua_delprefix": "use flush()",
    "lua_incrstatcounters": _COUNTERS,
    "_connection_list": _CONNECTIONS,
    "_count_channel_stats": _COUNTERS,
    "_count_global_stats": _COUNTERS,
    "_generate_connections": _HOSTS,
    "_group_key": _KEYS,
    "_incr_statistics_counter": _COUNTERS,
    "_receive_list_names": _KEYS,
    "_register_scripts": _SCRIPTS,
    "_setup_encryption": "give symmetric_encryption_keys, or " + _FORMAT,
    "_setup_hosts": _HOSTS,
}


def base_of_asgiref_1() -> Any:
    """Returns the base class of channel layers in asgiref 1, or ``object`` where that is not installed."""
    found = importlib.util.find_spec("asgiref")  # imports nothing: asgiref 3 is not to be loaded for this
    folders = [] if found is None else found.submodule_search_locations or []
    if not any((Path(folder) / "base_layer.py").exists() for folder in folders):
        return object
    return importlib.import_module("asgiref.base_layer").BaseChannelLayer


class ClassicNames:
    """The base of all the layers here: it looks after what subclasses override, and after names that have gone."""

    sends_each = False
    """Whether a group's message goes to each member by ``send``: a subclass overrides that or ``group_channels``."""

    keeps_capacities = True
    """Whether the capacity of a channel stays the same. A subclass that overrides ``get_capacity`` may change it."""

    def __init_subclass__(cls, **arguments: Any) -> None:
        """Raises ``RemovedName``, a ``TypeError``, for an override that would never be called."""
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
            del cls.blpop_timeout  # type: ignore[attr-defined]  # the property of the layers is to be found

    if not TYPE_CHECKING:  # a type checker would take every name for known

        def __getattr__(self, name: str) -> Any:
            if name in REMOVED:
                raise RemovedName(f"{type(self).__name__} has no {name} any more: {REMOVED[name]}")
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


def _is_overridden(cls: type, name: str) -> bool:
    return not _is_ours(next(base for base in cls.__mro__ if name in vars(base)))


def _is_ours(cls: type) -> bool:
    return cls.__module__.partition(".")[0] == "asgi_redis"
