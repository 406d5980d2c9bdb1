"""Names of consumers, layers and other objects for people."""

from __future__ import annotations

import functools
from typing import Any


def name_that_thing(thing: Any) -> str:
    """Return the dotted path of a function or class, or that of an object's class."""
    if isinstance(thing, functools.partial):
        thing = thing.func
    named = thing if getattr(thing, "__qualname__", None) else type(thing)
    return f"{named.__module__}.{named.__qualname__}"
