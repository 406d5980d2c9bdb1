"""What the tests of a server and a shard ask of it, and what they look at."""

from __future__ import annotations

from asgi_redis.connection import Server, Shard, parse_hosts
from asgi_redis.wire import Operation
from asgi_redis.wire.operation import command


def server_at(server, **connection_kwargs):
    (host,) = parse_hosts([server.url], connection_kwargs)
    return Server(host)


def shard_at(server, **connection_kwargs):
    return Shard(server_at(server, **connection_kwargs))


def echo(text):
    return Operation(command(b"ECHO", text), bytes)


def incr(key):
    return Operation(command(b"INCR", key), int)


def connections_are_sound(servers):
    """No connection that was given back has anything left to be read."""
    servers = [getattr(one, "server", one) for one in servers]
    return all(not connection.can_read(0) for server in servers for connection, _ in server._idle)
