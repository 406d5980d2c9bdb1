"""What gevent has patched, if it has, as it was: for what all native threads and their hubs share."""

from __future__ import annotations

import sys
from typing import Any


def is_patched(module: str) -> bool:
    """Whether gevent has patched that module of the standard library."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched(module))


def original(module: str, name: str) -> Any:
    """Returns what a module of the standard library has under that name without gevent's patches."""
    monkey = sys.modules.get("gevent.monkey")
    return getattr(sys.modules[module], name) if monkey is None else monkey.get_original(module, name)
