"""
One request and its replies as bytes: an interruption anywhere loses neither.

A signal handler's exception, or a gevent.Timeout, may come between any two instructions. redis-py's parsers lose a
reply to an exception that comes after they have read from the socket, or have taken the reply out of their buffer.
Here the bytes go from the socket into a list, and the number of bytes sent into another, each in one call into C that
no exception can divide; replies are parsed from these bytes again as often as they are needed. TLS is the exception:
its sockets are Python code, so an interruption within their ``recv`` or ``send`` may lose received bytes, or leave
unknown how many were sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redis.exceptions import ConnectionError, InvalidResponse, NoScriptError, RedisError, TimeoutError

from asgi_redis.connection.redis_py import Unsent, descriptor, parse_error, read_some, write_rest
from asgi_redis.connection.replies import hiredis
from asgi_redis.process import fork
from asgi_redis.process.wakeup import poll
from asgi_redis.wire import resp
from asgi_redis.wire.operation import Operation

if TYPE_CHECKING:
    from asgi_redis.connection.server import Server
    from asgi_redis.connection.shard import Shard

_MORE = object()
_idle_readers: list[Any] = []  # with empty buffers; a reader that was interrupted never comes back
_Pushed = getattr(hiredis, "PushNotification", None)  # of RESP 3


class NoAnswer(TimeoutError):
    """The server has not answered within the time that the caller has; it may still."""


class Exchange:
    """
    A request to one shard, which has a connection to itself, and its replies.

    Each step goes on where an interruption has ended it, and no byte is sent twice. With a ``generation``, only the
    process of that number (``fork.check``) may send it. ``server`` is the server to ask, by default that of the
    shard when the request starts.
    """

    generation: int | None = None
    server: Server
    _is_readable = False  # whether a poll has just said so

    def __init__(self, shard: Shard, operation: Operation, server: Server | None = None) -> None:
        self.shard = shard
        self.operation = operation
        self._given = server
        self._packed = operation.packed
        self._connection: Any = None
        self._sent: list[int] = []
        self._chunks: list[bytes] = []

    def run(self) -> None:
        """
        Send the request and read the replies, or do the rest of that.

        The connection may be one more than ``max_connections``. Raises ``redis.exceptions.RedisError`` and
        ``UnsupportedRedis``.
        """
        if not self._sent:
            self._chunks = []
            self.start(spare=True)
        elif self._connection is None:
            return
        try:
            self.result()
        except Exception as error:
            self.fail(error)
            raise
        self.release()

    def start(self, fail_fast: bool = False, spare: bool = False) -> None:
        """
        Check a connection out and send the request.

        A connection that was closed before a byte went out is connected anew. Raises ``redis.exceptions.RedisError``
        and ``UnsupportedRedis``.
        """
        self.server = self._given or self.shard.server
        connection = self.server.checkout(fail_fast, spare)
        try:
            if self.generation is not None and fork.generation != self.generation:
                raise fork.forked()
            self._prepare(connection, fail_fast)
            self._connection = connection
            try:
                write_rest(connection, self._packed, self._sent)
            except Unsent as error:
                self.server.renew(connection, error, fail_fast)
                self._prepare(connection, fail_fast)
                write_rest(connection, self._packed, self._sent)
        except BaseException as error:
            if self._connection is None:
                self.server.after_error(connection, error)
            elif isinstance(error, Exception):
                self.fail(error)
            raise

    def _prepare(self, connection: Any, fail_fast: bool) -> None:
        """Learn facts about a connection before the request is sent."""

    def fileno(self) -> int:
        """
        Return the descriptor to poll: it is readable when there is more of a reply.

        Raises ``redis.exceptions.ConnectionError`` when the connection is closed.
        """
        number = -1 if self._connection is None else descriptor(self._connection)
        if number < 0:
            raise ConnectionError("the connection was closed while it waited")
        return number

    def result(self, timeout: float | None = None) -> Any:
        """
        Return the meaning of the replies.

        Waits for each part of them up to ``timeout`` seconds, by default as long as the socket does. Raises
        ``NoAnswer`` after that; ``redis.exceptions.RedisError`` and ``UnsupportedRedis``.
        """
        operation = self.operation
        if not self._chunks:
            if sum(self._sent) < len(self._packed):
                self._send_rest()
            self._receive(timeout)
        while True:
            replies = self._replies()
            if len(replies) < operation.replies:
                self._receive(timeout)
            elif isinstance(replies[-1], NoScriptError) and self._packed is operation.packed:
                # Redis has run nothing: asking again cannot repeat anything.
                self._sent = []  # first: it tells whether anything may have been done
                self._chunks = []
                self._packed = operation.with_text()
                self._send_rest()
            else:
                return self._meaning(replies)

    def _send_rest(self) -> None:
        if self._connection is not None:
            write_rest(self._connection, self._packed, self._sent)

    def _receive(self, timeout: float | None) -> None:
        is_readable, self._is_readable = self._is_readable, False
        if timeout is not None and not is_readable:
            if not poll([self], timeout):
                self.server.distrust(self._connection)
                raise NoAnswer(f"{self.server.host} has not answered within {timeout:g} s")
            is_readable = True
        read_some(self._connection, self._chunks, is_readable)

    def _replies(self) -> list[Any]:
        """Return the replies that are complete, errors among them."""
        chunks = self._chunks
        if not chunks or chunks[-1][-1:] != b"\n":
            return []
        return _replies(chunks[0] if len(chunks) == 1 else b"".join(chunks))

    def _meaning(self, replies: list[Any]) -> Any:
        """Return the meaning of all the replies; raise the first that is an error."""
        for reply in replies:
            if isinstance(reply, RedisError):
                explained = self.server.explain(reply)
                if explained is reply:
                    raise reply
                raise explained from reply
        return self.operation.read(replies if self.operation.replies > 1 else replies[0])

    def release(self) -> None:
        """Give the connection back, all of whose replies were read."""
        # An interruption in here costs the connection: better than that two calls have it.
        connection, self._connection = self._connection, None
        if connection is not None:
            self.server.release(connection)

    def fail(self, error: BaseException) -> None:
        """Give the connection back, or close it, after an error."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self.server.after_error(connection, error)

    def drop(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self.server.discard(connection)


def _replies(data: bytes) -> list[Any]:
    if hiredis is None:
        try:
            return resp.replies(data, parse_error)
        except ValueError as error:
            raise InvalidResponse(str(error)) from None
    try:
        reader = _idle_readers.pop()
    except IndexError:
        reader = hiredis.Reader(protocolError=InvalidResponse, replyError=parse_error, notEnoughData=_MORE)
    reader.feed(data)
    replies: list[Any] = []
    while reader.has_data():
        reply = reader.gets()
        if reply is _MORE:
            break  # this reader is within a reply
        replies.append(reply)
    else:
        _idle_readers.append(reader)
    if _Pushed is not None and _Pushed in map(type, replies):
        return [reply for reply in replies if type(reply) is not _Pushed]
    return replies
