"""What is done on one connection of redis-py beyond what that has calls for."""

from __future__ import annotations

import socket
from typing import Any

from redis.connection import SSLConnection
from redis.exceptions import ConnectionError, RedisError, ResponseError, TimeoutError

from asgi_redis.wire.operation import command

_PING = command(b"PING")


class Unsent(ConnectionError):
    """The connection was closed, and Redis has seen no byte of what was to be sent."""


def write(connection: Any, packed: bytes) -> None:
    """
    Writes a request. Raises ``Unsent`` when Redis has certainly seen nothing of it.

    redis-py does not tell how much was written, and closes the connection where an interruption comes in between.
    """
    sock = connection._sock
    if sock is None:
        raise Unsent("the connection was closed")
    try:
        written = sock.send(packed)
    except OSError as error:
        # The kernel has taken nothing. What TLS has taken is not known.
        closed = isinstance(error, (BrokenPipeError, ConnectionResetError)) and not isinstance(
            connection, SSLConnection
        )
        raise (Unsent(f"the connection was closed: {error}") if closed else _failed(error)) from error
    if written < len(packed):
        try:
            sock.sendall(memoryview(packed)[written:])
        except OSError as error:
            raise _failed(error) from error


def _failed(error: OSError) -> RedisError:
    if isinstance(error, socket.timeout):
        return TimeoutError("Timeout writing to socket")
    return ConnectionError(f"Error while writing to socket: {error}")


def is_dead(connection: Any) -> bool:
    """An idle connection has nothing to read: what can be read is its end, or something out of step."""
    try:
        return bool(connection.can_read(0))
    except (ConnectionError, OSError):
        return True


def answers(connection: Any, patience: float) -> bool:
    """Whether Redis answers: what lies between may have forgotten a connection, and tell nobody."""
    try:
        write(connection, _PING)
        if not connection.can_read(patience):
            return False
        connection.read_response(disable_decoding=True, disconnect_on_error=False)
    except ResponseError:
        return True  # a user who may not ask
    except (RedisError, OSError):
        return False
    return True


def is_connected(connection: Any) -> bool:
    """Whether it is open, as far as this end knows."""
    return connection._sock is not None
