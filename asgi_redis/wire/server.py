"""Operations on a server as a whole, and on keys of any kind."""

from __future__ import annotations

from collections.abc import Sequence

from asgi_redis.wire.operation import Operation, command


def scan(cursor: bytes, pattern: bytes, number: int = 1000) -> Operation:
    """
    Look at about ``number`` keys, and find the ones that match a glob.

    Reads as the next cursor, ``b"0"`` at the end, and a list of keys.
    """
    return Operation(command(b"SCAN", cursor, b"MATCH", pattern, b"COUNT", b"%d" % number), tuple)


def unlink(keys: Sequence[bytes]) -> Operation:
    """Reads as how many keys there were."""
    return Operation(command(b"UNLINK", *keys), int)


def types(keys: Sequence[bytes]) -> Operation:
    """Reads as the types of some keys, such as ``b"zset"``; ``b"none"`` for no value."""
    packed = b"".join(command(b"TYPE", key) for key in keys)
    return Operation(packed, list if len(keys) > 1 else lambda reply: [reply], len(keys))


def exists(key: bytes) -> Operation:
    """Reads as whether there is a key."""
    return Operation(command(b"EXISTS", key), bool)


def ping() -> Operation:
    """Make a round trip. Reads as nothing."""
    return Operation(command(b"PING"), lambda _: None)


def info() -> Operation:
    """Reads as the facts that the server tells of itself, by their names."""
    return Operation(command(b"INFO"), _read_info)


def _read_info(reply: bytes) -> dict[str, str]:
    lines = reply.decode(errors="replace").splitlines()
    return {name: value for name, _, value in (line.partition(":") for line in lines)}


def client_id() -> Operation:
    """Reads as the number that ``unblock`` takes, of the connection that asks."""
    return Operation(command(b"CLIENT", b"ID"), int)


def set_client_name(name: str) -> Operation:
    """Give a connection a name without spaces. Reads as nothing."""
    return Operation(command(b"CLIENT", b"SETNAME", name.encode()), lambda _: None)


def unblock(client: int) -> Operation:
    """
    End the blocking command of a connection. Reads as whether it waited.

    Not as if its time had run out: that brings down a Redis up to 8.0 that has put the command off in a
    ``CLIENT PAUSE`` or ``FAILOVER`` (https://github.com/redis/redis/issues/14164).
    """
    return Operation(command(b"CLIENT", b"UNBLOCK", b"%d" % client, b"ERROR"), bool)


def unblock_all(clients: Sequence[int]) -> Operation:
    """End the blocking commands of some connections. Reads as nothing."""
    packed = b"".join(unblock(client).packed for client in clients)
    return Operation(packed, lambda _: None, len(clients))
