"""What the tests of a shard ask of it, and what they look at."""

from __future__ import annotations

from asgi_redis.connection import Shard, parse_hosts
from asgi_redis.wire import Operation
from asgi_redis.wire.operation import command


def shard_at(server, **connection_kwargs):
    (host,) = parse_hosts([server.url], connection_kwargs)
    return Shard(host)


def echo(text):
    return Operation(command(b"ECHO", text), bytes)


def incr(key):
    return Operation(command(b"INCR", key), int)


def connections_are_sound(shards):
    """No connection that was given back has anything left to be read."""
    return all(not connection.can_read(0) for shard in shards for connection, _ in shard._idle)
