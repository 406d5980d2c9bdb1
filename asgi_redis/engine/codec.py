"""Which values a message may hold, and where the one is that it may not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asgi_redis.exceptions import InvalidMessage


def has_only_str_keys(value: Any) -> bool:
    """Returns whether all the keys of ``value`` are str, however deep: other keys do not survive the trip."""
    try:
        return _has_only_str_keys(value)
    except RecursionError:
        return False  # JSON goes deeper on Python 3.12 and newer; not every reader does


def _has_only_str_keys(value: Any) -> bool:
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                return False
        value = value.values()
    for item in value:
        if isinstance(item, (dict, list, tuple)) and not _has_only_str_keys(item):
            return False
    return True


def invalid_message(
    message: Any, serialize: Callable[[Any], bytes], error: Exception | None = None
) -> InvalidMessage:
    """Returns the error for a message that cannot be serialised, with the path to the value at fault."""
    try:
        found = _find(message, "message", serialize)
    except RecursionError:
        found = "message is nested too deeply, or in itself"
    return InvalidMessage(found or f"the message cannot be serialised: {error}")


def _find(value: Any, path: str, serialize: Callable[[Any], bytes]) -> str | None:
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                return f"{path} has the key {key!r}: keys must be str, not {type(key).__name__}"
            found = _find(item, f"{path}[{key!r}]", serialize)
            if found:
                return found
        return None
    if isinstance(value, (list, tuple)):
        for position, item in enumerate(value):
            found = _find(item, f"{path}[{position}]", serialize)
            if found:
                return found
        return None
    try:
        serialize({"value": value})
    except Exception as error:  # noqa: BLE001  whatever the format raises, it is this value that it cannot hold
        return f"{path} ({type(value).__name__}) cannot be serialised: {error}"
    return None
