"""
The only file that uses the private parts and error texts of redis-py.

``tests/unit/asgi_redis/connection/test_redis_py.py`` fails where a new version of redis-py has changed them.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
from typing import Any

from redis.connection import Connection, DefaultParser, SSLConnection
from redis.exceptions import (
    AskError,
    AuthenticationError,
    ClusterCrossSlotError,
    ClusterDownError,
    ConnectionError,
    MasterDownError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TimeoutError,
)

from asgi_redis.connection import socket_io
from asgi_redis.process.wakeup import poll
from asgi_redis.wire.operation import command

_PING = command(b"PING")
_CHUNK = 1 << 16  # bytes read at once: for 128 KB and more the C library maps new memory, which takes 20 µs


class Unsent(ConnectionError):
    """The connection was closed, and Redis has seen no byte of the request."""


# Connecting


def connect(connection: Any) -> None:
    """Connect, with the TLS handshake within the connect timeout, not the socket's."""
    timeout, connect_timeout = connection.socket_timeout, getattr(connection, "socket_connect_timeout", None)
    custom = connection.redis_connect_func

    def connected(connection: Any) -> None:
        connection.socket_timeout, connection.redis_connect_func = timeout, custom
        connection._sock.settimeout(timeout)
        (custom or type(connection).on_connect)(connection)

    connection.socket_timeout = timeout if connect_timeout is None else connect_timeout
    connection.redis_connect_func = connected
    try:
        connection.connect()
    finally:
        connection.socket_timeout, connection.redis_connect_func = timeout, custom


def is_named(connection: Any) -> bool:
    """Return whether a user has chosen its name, or how it connects."""
    return bool(connection.client_name or connection.redis_connect_func)


def leave_to_parent(connection: Any) -> None:
    """Close a connection in a forked process for good; the parent's stays open."""
    connection.disconnect()
    connection.connect = _refuse


def _refuse(*_: object, **__: object) -> None:
    raise ConnectionError("the call was begun by the process that this one was forked from, which goes on with it")


def is_connected(connection: Any) -> bool:
    """Return whether a connection is open, as far as this end knows."""
    return connection._sock is not None


def descriptor(connection: Any) -> int:
    """Return the file descriptor, -1 when the connection is closed."""
    sock = connection._sock
    return -1 if sock is None else int(sock.fileno())


# Writing


def write(connection: Any, packed: bytes) -> None:
    """Write a request. Raises ``Unsent`` when Redis has certainly seen no byte of it."""
    write_rest(connection, packed, [])


def write_rest(connection: Any, packed: bytes, written: list[int]) -> None:
    """Write the rest of a request; add the numbers of bytes to ``written``."""
    sock = connection._sock
    if sock is None:
        raise _closed(written, "")
    rest: Any = packed if not written else memoryview(packed)[sum(written) :]
    try:
        while rest:
            socket_io.send(sock, rest, written)
            if written[-1] == len(rest):  # nearly always
                return
            rest = memoryview(rest)[written[-1] :]
    except OSError as error:
        # The kernel has taken nothing. How much TLS has taken is not known.
        closed = isinstance(error, (BrokenPipeError, ConnectionResetError))
        if closed and not written and not isinstance(connection, SSLConnection):
            raise _closed(written, f": {error}") from error
        raise _failed(error, "writing to") from error


def _closed(written: list[int], why: str) -> ConnectionError:
    return (ConnectionError if written else Unsent)(f"the connection was closed{why}")


def _failed(error: OSError, doing: str) -> RedisError:
    if isinstance(error, socket.timeout):
        return TimeoutError(f"Timeout {doing} socket")
    return ConnectionError(f"Error while {doing} socket: {error}")


# Reading


def has_reply(connection: Any, timeout: float) -> bool:
    """Return whether the first bytes of a reply come within ``timeout`` seconds."""
    return bool(poll([connection._sock], timeout))


def read(connection: Any) -> Any:
    """Return a reply, or raise the error reply."""
    return connection.read_response(disable_decoding=True, disconnect_on_error=False)


def read_available(connection: Any) -> bytes:
    """Return the bytes that are there; never block, given ``limit_writes``."""
    sock = connection._sock
    if sock is None:
        raise ConnectionError("the connection was closed")
    try:
        data = (
            socket_io.receive_tls(sock, _CHUNK)
            if isinstance(connection, SSLConnection)
            else os.read(sock.fileno(), _CHUNK)
        )
    except (BlockingIOError, ssl.SSLWantReadError):
        return b""
    except OSError as error:
        raise _failed(error, "reading from") from error
    if not data:
        raise ConnectionError("Connection closed by server.")
    return data


def limit_writes(connection: Any, seconds: float) -> None:
    """Limit how long a write may take. This makes the descriptor non-blocking."""
    connection._sock.settimeout(seconds)


def read_at_once(connection: Any, chunks: list[bytes]) -> bool:
    """Append bytes that are there to ``chunks``; return whether there were any."""
    sock = connection._sock
    return sock is not None and socket_io.receive_at_once(sock, _CHUNK, chunks)


def receive(connection: Any) -> bytes:
    """Wait for bytes, and return them, past redis-py's parser."""
    sock = connection._sock
    if sock is None:
        raise ConnectionError("the connection was closed")
    try:
        data: bytes = sock.recv(_CHUNK)
    except OSError as error:
        raise _failed(error, "reading from") from error
    if not data:
        raise ConnectionError("Connection closed by server.")
    return data


def read_some(connection: Any, chunks: list[bytes], is_readable: bool = False) -> None:
    """
    Wait for bytes, and append them to ``chunks``, past redis-py's parser.

    ``is_readable``: a poll has just said so.
    """
    sock = connection._sock
    if sock is None:
        raise ConnectionError("the connection was closed")
    try:
        socket_io.receive(sock, _CHUNK, chunks, is_readable)
    except OSError as error:
        raise _failed(error, "reading from") from error
    if not chunks[-1]:
        raise ConnectionError("Connection closed by server.")


# Whether a connection is alive


def is_dead(connection: Any) -> bool:
    """Return whether an idle connection can be read: its end, or stray bytes."""
    try:
        return bool(connection.can_read(0))
    except (ConnectionError, OSError):
        return True


def answers(connection: Any, timeout: float) -> bool:
    """Return whether Redis answers: the network may have forgotten the connection."""
    try:
        write(connection, _PING)
        if not has_reply(connection, timeout):
            return False
        read(connection)
    except ResponseError:
        return True  # a user who may not ask
    except (RedisError, OSError):
        return False
    return True


# Errors by their texts

parse_error = DefaultParser.parse_error
"""``parse_error(text)`` returns the text of an error reply as one of redis-py's exceptions."""

# Scripts pass errors on in other texts before Redis 7; redis-py before 5.1 does not know all of these.
# UNBLOCKED ends a blocking pop on a master that becomes a replica.
_REPLICA = {"READONLY": ReadOnlyError, "MASTERDOWN": MasterDownError, "UNBLOCKED": ReadOnlyError}
_BY_REPLICA = r"(?:^|-)(READONLY|MASTERDOWN|UNBLOCKED(?= force)) "
_CLUSTER = (AskError, ClusterCrossSlotError, ClusterDownError)  # MovedError is an AskError
_BY_CLUSTER = r"non local key in a cluster|CROSSSLOT|CLUSTERDOWN|^(?:MOVED|ASK|TRYAGAIN) "


def refuses_user(error: Exception) -> bool:
    """Return whether the server does not know the user or password, or wants one."""
    return isinstance(error, AuthenticationError) or "unauthenticated" in str(error)


def wants_password(error: Exception) -> bool:
    """Return whether a server that refuses the user wants a password."""
    return "equired" in str(error) or "unauthenticated" in str(error)


def lacks_command(error: Exception) -> bool:
    """Return whether the server does not know a command."""
    text = str(error).lower()
    return isinstance(error, ResponseError) and "unknown" in text and "command" in text


def is_wrong_type(error: Exception) -> bool:
    """Return whether a key is of another type than the command is for."""
    return isinstance(error, ResponseError) and "WRONGTYPE" in str(error)


def is_unblocked(error: object) -> bool:
    """Return whether a blocking command was ended by ``CLIENT UNBLOCK``."""
    return isinstance(error, ResponseError) and "via CLIENT UNBLOCK" in str(error)


def replica_error(error: Exception) -> Exception | None:
    """Return the error of a replica as redis-py's own; None for any other error."""
    found = re.search(_BY_REPLICA, str(error))
    return None if found is None else _REPLICA[found[1]](str(error))


def is_cluster_error(error: Exception) -> bool:
    """Return whether the server has only some of the keys."""
    is_partial = isinstance(error, _CLUSTER) and not isinstance(error, MasterDownError)
    return is_partial or re.search(_BY_CLUSTER, str(error)) is not None


def closes_connection(error: BaseException) -> bool:
    """Return whether Redis closes the connection after this reply."""
    return isinstance(error, RedisError) and "Protocol error" in str(error)


def is_failed_handshake(connection: Any, error: Exception) -> bool:
    """Return whether the TLS handshake has failed, but not because of a certificate."""
    cause = error.__context__
    failed = isinstance(error, TimeoutError) or isinstance(cause, ConnectionResetError) or "_ssl" in str(cause)
    return failed and isinstance(connection, SSLConnection) and "certificate" not in str(error)


def is_closed_by_server(connection: Any, error: Exception) -> bool:
    """Return whether the server has closed a plain TCP connection while connecting."""
    closed = isinstance(error.__context__, ConnectionResetError) or "closed by server" in str(error)
    return closed and isinstance(connection, Connection) and not isinstance(connection, SSLConnection)


def describe_option_error(error: Exception) -> str:
    """Return why redis-py does not take an option: its name, or what it may be."""
    return str(error).rpartition("() ")[2]
