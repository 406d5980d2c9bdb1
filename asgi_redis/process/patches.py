"""
The standard library under the patches of gevent and eventlet.

Objects that all native threads and their hubs share need the functions that gevent has patched. eventlet is refused.
"""

from __future__ import annotations

import sys
from typing import Any

from asgi_redis.exceptions import UnsupportedPatches


def is_patched(module: str) -> bool:
    """Return whether gevent has patched that module of the standard library."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched(module))


def original(module: str, name: str) -> Any:
    """Return an attribute of a module of the standard library as it was unpatched."""
    monkey = sys.modules.get("gevent.monkey")
    return getattr(sys.modules[module], name) if monkey is None else monkey.get_original(module, name)


def refuse_eventlet() -> None:
    """Raise ``UnsupportedPatches`` under eventlet, which takes away ``select.poll``."""
    patcher = sys.modules.get("eventlet.patcher")
    if patcher is not None and patcher.is_monkey_patched("select"):
        raise UnsupportedPatches("asgi_redis does not work under eventlet.monkey_patch(); use gevent, or threads")
