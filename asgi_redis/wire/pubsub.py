"""What pub/sub means on Redis: that of channels_redis 4.3, so that both can share one."""

from __future__ import annotations

from asgi_redis.wire.operation import Operation, command

PING = command(b"PING")


def group_name(prefix: str, group: str) -> str:
    """Returns the name that what is sent to ``group`` is published under."""
    return f"{prefix}__group__{group}"


def publish(name: bytes, message: bytes) -> Operation:
    """Reads as the number of connections that got it: at most one for each process that listens."""
    return Operation(command(b"PUBLISH", name, message), int)


def subscribe(name: bytes) -> bytes:
    """Returns the request that starts listening to ``name``: of one name only, so that it has one reply."""
    return command(b"SUBSCRIBE", name)


def unsubscribe(name: bytes) -> bytes:
    """Returns the request that ends listening to ``name``."""
    return command(b"UNSUBSCRIBE", name)
