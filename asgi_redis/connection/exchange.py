"""
One request on one connection and the bytes of its replies: an interruption anywhere loses neither.

A signal handler's exception, or a gevent.Timeout, may come between any two instructions. redis-py's parsers lose a
reply to one that comes after they have read from the socket, or have taken the reply out of their buffer. Here the
bytes go from the socket into a list, and the number of those that were sent into another, each in one call into C
that no exception can divide; replies are made of the bytes again as often as they are needed. What remains is TLS,
whose sockets are Python code: an interruption within their ``recv`` or ``send`` may cost what has come, or leave open
what was sent.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from redis.exceptions import ConnectionError, InvalidResponse, NoScriptError, RedisError, TimeoutError

from asgi_redis.connection.redis_py import Unsent, descriptor, parse_error, read_some, write_rest
from asgi_redis.process.wakeup import poll
from asgi_redis.wire import resp
from asgi_redis.wire.operation import Operation

try:
    hiredis: Any = importlib.import_module("hiredis")
except ImportError:
    hiredis = None  # redis-py does without, too

if TYPE_CHECKING:
    from asgi_redis.connection.shard import Shard

_MORE = object()
_idle_readers: list[Any] = []  # with nothing in them; one that was interrupted never comes back
_Pushed = getattr(hiredis, "PushNotification", None)  # of RESP 3


class NoAnswer(TimeoutError):
    """The server has not answered within the time that the caller has; it may still."""


class Exchange:
    """Sends ``operation`` on a connection of ``shard``, which it has to itself until ``release`` or ``fail``."""

    __slots__ = ("_chunks", "_connection", "_packed", "_sent", "operation", "shard")

    def __init__(self, shard: Shard, connection: Any, operation: Operation) -> None:
        self.shard = shard
        self.operation = operation
        self._connection = connection
        self._packed = operation.packed
        self._sent: list[int] = []
        self._chunks: list[bytes] = []

    @property
    def begun(self) -> bool:
        """Whether a byte of the request was sent."""
        return bool(self._sent)

    @property
    def answered(self) -> bool:
        """Whether a byte of a reply has come."""
        return bool(self._chunks)

    @property
    def over(self) -> bool:
        """Whether it has given up its connection."""
        return self._connection is None

    def fileno(self) -> int:
        """
        Return a descriptor to poll: it is readable when there is more of a reply.

        Raises ``redis.exceptions.ConnectionError`` when the connection is closed.
        """
        number = -1 if self._connection is None else descriptor(self._connection)
        if number < 0:
            raise ConnectionError("the connection was closed while it waited")
        return number

    def send(self) -> None:
        """
        Sends what was not sent yet.

        Raises ``Unsent`` when Redis has seen no byte; ``redis.exceptions.ConnectionError`` and ``TimeoutError``.
        """
        if self._connection is not None:
            write_rest(self._connection, self._packed, self._sent)

    def renew(self, error: Unsent, fail_fast: bool = False) -> None:
        """Connects anew, where the connection was closed before a byte went out."""
        self.shard.renew(self._connection, error, fail_fast)

    def receive(self, timeout: float | None = None) -> None:
        """
        Takes in more of the replies; waits for it, as long as the socket does or ``timeout`` seconds.

        Raises ``NoAnswer`` after that; ``redis.exceptions.ConnectionError`` and ``TimeoutError``.
        """
        if timeout is not None and not poll([self], timeout):
            self.shard.distrust(self._connection)
            raise NoAnswer(f"{self.shard.host} has not answered within {timeout:g} s")
        read_some(self._connection, self._chunks)

    def replies(self) -> list[Any]:
        """Returns the replies that are complete, errors among them."""
        chunks = self._chunks
        if not chunks or chunks[-1][-1:] != b"\n":
            return []
        return _replies(chunks[0] if len(chunks) == 1 else b"".join(chunks))

    def result(self, timeout: float | None = None) -> Any:
        """
        Sends the operation, and returns what its replies mean; goes on where it was interrupted.

        Raises ``redis.exceptions.RedisError`` and ``UnsupportedRedis``.
        """
        operation = self.operation
        if not self._chunks:
            if sum(self._sent) < len(self._packed):
                self.send()
            self.receive(timeout)
        while True:
            replies = self.replies()
            if len(replies) < operation.replies:
                self.receive(timeout)
            elif isinstance(replies[0], NoScriptError) and self._packed is operation.packed:
                # Redis has run nothing: asking again cannot repeat anything.
                self._sent = []  # first: it is what says whether anything may have been done
                self._chunks = []
                self._packed = operation.with_text()
                self.send()
            else:
                return self.meaning(replies)

    def meaning(self, replies: list[Any]) -> Any:
        """Returns what all the replies mean; raises the first that is an error."""
        for reply in replies:
            if isinstance(reply, RedisError):
                told = self.shard.explain(reply)
                if told is reply:
                    raise reply
                raise told from reply
        return self.operation.read(replies if self.operation.replies > 1 else replies[0])

    def release(self) -> None:
        """Gives the connection back, all of whose replies were read."""
        # An interruption in here costs the connection, which nobody has then, rather than that two have it.
        connection, self._connection = self._connection, None
        if connection is not None:
            self.shard.release(connection)

    def fail(self, error: BaseException) -> None:
        """Gives the connection back, or closes it, after an error."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self.shard.after_error(connection, error)

    def drop(self) -> None:
        """Closes the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self.shard.discard(connection)


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
