"""
One round trip of several operations, for many callers.

The replies may be awaited by a poll of the caller's, or by ``finish``. No request is ever sent twice, except a script
that Redis says it has not run.
"""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Sequence
from typing import Any

from redis.exceptions import AuthenticationError, ConnectionError, NoScriptError, RedisError, ResponseError

from asgi_redis.connection.redis_py import Unsent, descriptor, read_available, read_some, write_rest
from asgi_redis.connection.replies import ReplyReader
from asgi_redis.connection.server import Server
from asgi_redis.exceptions import CallInterrupted
from asgi_redis.wire.operation import Operation

_EXPLAINED = (ResponseError, AuthenticationError)


class RoundTrip:
    """
    Operations on a connection that has been checked out for them.

    ``outcomes`` are the result or the ``Exception`` of each operation, None before it is known. ``connection`` has no
    other user until ``finish`` has returned. Where all operations were served, the caller may do without ``finish``
    and keep it.
    """

    def __init__(
        self, server: Server, connection: Any, operations: Sequence[Operation], reader: ReplyReader | None = None
    ) -> None:
        self.outcomes: list[Any] = [None] * len(operations)
        self.connection = connection
        self._server = server
        self._operations = operations
        self._reader = reader or ReplyReader(pushed=False)
        self._packed = b"".join([operation.packed for operation in operations])
        self._written: list[int] = []
        self._replies: list[Any] = []
        self._expected = list(range(len(operations)))  # the positions whose replies come next
        self._unknown: list[int] = []  # the positions of scripts that Redis has not run
        self._repeated = False
        self._refused = False
        self._error: BaseException | None = None
        self.active_at = time.monotonic()
        """When bytes last went or came, by ``write`` and ``receive``."""

    @property
    def is_served(self) -> bool:
        """Whether no operation has failed so far."""
        return self._error is None and not self._refused

    def write(self) -> bool:
        """
        Write as much as the socket takes without waiting; return whether that is all.

        Raises ``Unsent`` when Redis has certainly seen no byte, and ``redis.exceptions.RedisError``.
        """
        parts = len(self._written)
        is_all = self._is_written() or _write_now(descriptor(self.connection), self._packed, self._written)
        if len(self._written) > parts:
            self.active_at = time.monotonic()
        return is_all

    def _is_written(self) -> bool:
        return sum(self._written) == len(self._packed)

    def receive(self) -> bool:
        """
        Read the bytes that are there, without waiting.

        Return whether no more are to come; that is so after an error, too.
        """
        try:
            data = read_available(self.connection)
            if data:
                self.active_at = time.monotonic()
            self._take(self._reader.read(data))
        except BaseException as error:
            self.fail(error)
            if not isinstance(error, Exception):
                raise
        return self._error is not None or not self._expected

    def fail(self, error: BaseException) -> None:
        """Give up, with an error for all operations that were not answered."""
        self._error = error

    def finish(self) -> list[Any]:
        """
        Wait for the other replies, release the connection, and return the outcomes.

        Raises nothing. Redis may or may not have carried out an operation whose result is a ``ConnectionError`` or
        ``TimeoutError``.
        """
        try:
            while self._error is None and self._expected:
                if not self._written:
                    self._server.send(self.connection, self._packed)
                    self._written.append(len(self._packed))
                elif not self._is_written():
                    write_rest(self.connection, self._packed, self._written)
                chunks: list[bytes] = []
                read_some(self.connection, chunks)
                self._take(self._reader.read(chunks[0]))
        except BaseException as error:  # noqa: BLE001  the callers get it
            self.fail(error)
        return self._conclude()

    def _take(self, replies: list[Any]) -> None:
        """Give operations their replies; ask again for unknown scripts."""
        if self._replies:
            replies = self._replies + replies
        operations, outcomes, at, answered = self._operations, self.outcomes, 0, 0
        for position in self._expected:
            operation = operations[position]
            number = operation.replies
            if at + number > len(replies):
                break
            reply = replies[at] if number == 1 else replies[at : at + number]
            at += number
            answered += 1
            error = _first_error(reply, number)
            if error is None:
                outcomes[position] = operation.read(reply)
            elif isinstance(error, NoScriptError) and not self._repeated:
                self._unknown.append(position)
            else:
                outcomes[position] = error
                self._refused = True
        del self._expected[:answered]
        self._replies = replies[at:]
        if self._unknown and not self._expected:
            self._repeat()

    def _repeat(self) -> None:
        # Redis has run nothing of these: asking again cannot repeat anything.
        self._repeated = True
        self._expected, self._unknown = self._unknown, []
        self._packed = b"".join([self._operations[position].with_text() for position in self._expected])
        self._written = []

    def _conclude(self) -> list[Any]:
        server, outcomes = self._server, self.outcomes
        if self._error is not None:
            server.after_error(self.connection, self._error)
            left = [*self._unknown, *self._expected]
            for position, error in zip(left, each_its_own(as_exception(self._error), len(left))):
                outcomes[position] = error
        explained = [server.explain(one) if isinstance(one, _EXPLAINED) else one for one in outcomes]
        if self._error is not None:
            return explained
        refusals = list(filter(is_error, explained))
        if not refusals:
            server.release(self.connection)
            return explained
        server.after_error(self.connection, next(filter(server.is_lost, refusals), refusals[0]))
        return [
            server.with_key(one, operation) if is_error(one) else one
            for one, operation in zip(explained, self._operations)
        ]


def _write_now(number: int, packed: bytes, written: list[int]) -> bool:
    """Write as much as a descriptor takes; return whether that is all the rest."""
    rest = packed if not written else memoryview(packed)[sum(written) :]
    try:
        written.append(os.write(number, rest))
    except BlockingIOError:
        return False
    except OSError as error:
        if written or not isinstance(error, (BrokenPipeError, ConnectionResetError)):
            raise ConnectionError(f"Error while writing to socket: {error}") from error
        raise Unsent(f"the connection was closed: {error}") from error
    return written[-1] == len(rest)


def _first_error(reply: Any, number: int) -> RedisError | None:
    if number == 1:
        return reply if isinstance(reply, RedisError) else None
    return next((one for one in reply if isinstance(one, RedisError)), None)


def each_its_own(error: Exception, number: int) -> list[Exception]:
    """Return copies of an error, so that each caller gets a separate traceback."""
    errors = [error]
    for _ in range(number - 1):
        try:
            own = copy.copy(error)
        except Exception:  # noqa: BLE001  its class may need anything to be made anew
            own = error
        own.__cause__ = error.__cause__
        errors.append(own)
    return errors[:number]


def as_exception(error: BaseException) -> Exception:
    """
    Return an error that can be handed to a caller in another thread.

    A future does not take StopIteration, and SystemExit would end the event loop of an innocent caller.
    """
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    interrupted = CallInterrupted(f"{type(error).__name__} was raised in a thread of the layer")
    interrupted.__cause__ = error
    return interrupted


def is_error(outcome: Any) -> bool:
    """Return whether an operation has failed: no result is an exception."""
    return isinstance(outcome, Exception)
