"""What is done on one connection of redis-py beyond what that has calls for."""

from __future__ import annotations

import socket
from typing import Any

from redis.connection import SSLConnection
from redis.exceptions import ConnectionError, RedisError, ResponseError, TimeoutError

from asgi_redis.wire.operation import command

_PING = command(b"PING")
_FIRST_CHUNK = 1 << 12  # bytes read at first, which is all of most replies: room for more costs time
_CHUNK = 1 << 18


class Unsent(ConnectionError):
    """The connection was closed, and Redis has seen no byte of what was to be sent."""


def write(connection: Any, packed: bytes) -> None:
    """
    Writes a request. Raises ``Unsent`` when Redis has certainly seen nothing of it.

    redis-py does not tell how much was written, and closes the connection where an interruption comes in between.
    """
    write_rest(connection, packed, [])


def write_rest(connection: Any, packed: bytes, written: list[int]) -> None:
    """
    Writes what of a request was not written yet; ``written`` are the numbers of bytes that were, and goes on growing.

    Raises ``Unsent`` when Redis has certainly seen nothing of it.
    """
    sock = connection._sock
    if sock is None:
        raise _closed(written, "")
    rest: Any = packed if not written else memoryview(packed)[sum(written) :]
    try:
        while rest:
            # One call in C, which no interruption can divide: what was written is known.
            written.extend(map(sock.send, (rest,)))
            if written[-1] == len(rest):  # nearly always
                return
            rest = memoryview(rest)[written[-1] :]
    except OSError as error:
        # The kernel has taken nothing. What TLS has taken is not known.
        closed = isinstance(error, (BrokenPipeError, ConnectionResetError))
        if closed and not written and not isinstance(connection, SSLConnection):
            raise _closed(written, f": {error}") from error
        raise _failed(error, "writing to") from error


def read_some(connection: Any, chunks: list[bytes]) -> None:
    """Waits for bytes from Redis, and appends them to ``chunks``, past redis-py's parser."""
    sock = connection._sock
    if sock is None:
        raise ConnectionError("the connection was closed")
    try:
        chunks.extend(map(sock.recv, (_CHUNK if chunks else _FIRST_CHUNK,)))  # one call in C, as above
    except OSError as error:
        raise _failed(error, "reading from") from error
    if not chunks[-1]:
        raise ConnectionError("Connection closed by server.")


def descriptor(connection: Any) -> int:
    """Returns the file descriptor, -1 when it is closed."""
    sock = connection._sock
    return -1 if sock is None else int(sock.fileno())


def _closed(written: list[int], why: str) -> ConnectionError:
    return (ConnectionError if written else Unsent)(f"the connection was closed{why}")


def _failed(error: OSError, what: str) -> RedisError:
    if isinstance(error, socket.timeout):
        return TimeoutError(f"Timeout {what} socket")
    return ConnectionError(f"Error while {what} socket: {error}")


def is_dead(connection: Any) -> bool:
    """An idle connection has nothing to read: what can be read is its end, or something out of step."""
    try:
        return bool(connection.can_read(0))
    except (ConnectionError, OSError):
        return True


def answers(connection: Any, timeout: float) -> bool:
    """Whether Redis answers: what lies between may have forgotten a connection, and tell nobody."""
    try:
        write(connection, _PING)
        if not connection.can_read(timeout):
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
