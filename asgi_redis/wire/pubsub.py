"""The commands of pub/sub, with the names of channels_redis 4.3."""

from __future__ import annotations

from asgi_redis.wire.operation import Operation, command

PING = command(b"PING")


def group_name(prefix: str, group: str) -> str:
    """Return the name on Redis of a group."""
    return f"{prefix}__group__{group}"


def publish(name: bytes, message: bytes) -> Operation:
    """Return the operation to publish; its result is the number of connections."""
    return Operation(command(b"PUBLISH", name, message), int)


def subscribe(name: bytes) -> bytes:
    """Return the request to listen to ``name``: one name, and so one reply."""
    return command(b"SUBSCRIBE", name)


def unsubscribe(name: bytes) -> bytes:
    """Return the request to end listening to ``name``."""
    return command(b"UNSUBSCRIBE", name)
