"""
Messages on their way from a shard to the caller of a receive.

However the call is interrupted, each message is then either returned to the caller, or back in its queue.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable
from typing import Any

from redis.exceptions import RedisError, ResponseError, TimeoutError

from asgi_redis.connection.exchange import Exchange, NoAnswer
from asgi_redis.connection.redis_py import write
from asgi_redis.connection.server import Server
from asgi_redis.connection.shard import Attempt, Shard
from asgi_redis.exceptions import UnsupportedRedis
from asgi_redis.process.time_limits import HANG_TIMEOUT_SECONDS
from asgi_redis.wire.operation import Operation
from asgi_redis.wire.taking import Taken

logger = logging.getLogger("asgi_redis")

_LATE_REPLY_SECONDS = 60.0  # of each wait for a late reply, one after the other


class Requeue(Exchange):
    """A request that puts a message back, where its queue is by then."""

    def __init__(self, shard: Shard, operation: Operation) -> None:
        super().__init__(shard, operation)
        self._plain = operation

    def put_back(self, fail_fast: bool) -> None:
        """
        Make the request where the shard is by now, or do the rest of that.

        With ``fail_fast`` it does not wait for a shard that is away. Raises as ``run`` does.
        """
        attempt: Attempt | None = None
        if not self._sent:
            self._aim(self._plain, None)  # an interruption may have come in the middle of another aim
        while True:
            try:
                self.run()
                return
            except RedisError as error:
                attempt = self.shard.next_attempt(error, fail_fast, attempt)
            self._aim(self._plain.asking() if attempt.asks else self._plain, attempt.server)

    def _aim(self, operation: Operation, server: Server | None) -> None:
        self.operation, self._packed, self._given = operation, operation.packed, server

    def fail(self, error: BaseException) -> None:
        """Give the connection back; a refused request counts as not sent."""
        if isinstance(error, Exception) and self.shard.may_retry(error):
            self._sent = []
        super().fail(error)


class Take(Exchange):
    """
    A request for messages, for a call that began in the process ``generation``.

    A process that a signal handler has forked since must take nothing for the call. ``requeue`` makes the operation
    that puts a message back.
    """

    taken: list[Any] | None = None
    """The messages of the reply; None until that has come."""
    _requeues: list[Requeue] | None = None
    # A background thread and the rescue must not both read a late reply: the first to pop this item does.
    _reading: list[None] | None = None
    _is_left = False  # whether the thread has surely been started

    def __init__(
        self,
        shard: Shard,
        operation: Operation,
        requeue: Callable[[Taken], Operation],
        generation: int,
        server: Server | None = None,
    ) -> None:
        super().__init__(shard, operation, server)
        self._requeue = requeue
        self.generation = generation

    def take(self, fail_fast: bool) -> list[Any]:
        """
        Send the request and return the messages.

        With ``fail_fast`` each step takes up to ``HANG_TIMEOUT_SECONDS``; then a thread waits for the reply, and
        requeues the messages in it. Raises ``redis.exceptions.RedisError`` and ``UnsupportedRedis``.
        """
        self.start(fail_fast)
        return self.finish(HANG_TIMEOUT_SECONDS if fail_fast else None)

    def finish(self, timeout: float | None = None) -> list[Any]:
        """Return the messages in the reply. Raises as ``take`` does."""
        try:
            taken: list[Any] = self.result(timeout)
            self.taken = taken
        except NoAnswer as error:
            self._leave()
            raise TimeoutError(str(error)) from None
        except Exception as error:
            self.fail(error)
            explained = self.server.with_key(error, self.operation)
            if explained is error:
                raise
            raise explained from error
        self.release()
        return taken

    def may_have_taken(self) -> bool:
        """Return whether it may hold messages, as seen by any thread."""
        return self._connection is not None or bool(self.taken)

    def rescue(self) -> None:
        """Read the rest of the reply, after an interruption. Raises the server's errors."""
        if self._connection is None or self._is_left or not self._may_read():
            return
        if self.taken is not None:
            self.release()
        elif self._sent:
            self.finish(HANG_TIMEOUT_SECONDS)
        else:
            self.drop()

    def requeues(self) -> list[Requeue]:
        """Return the exchanges that put the messages back: always the same ones."""
        if self._requeues is None:
            self._requeues = [Requeue(self.shard, self._requeue(one)) for one in self.taken or ()]
        return self._requeues

    # A reply that does not come in time

    def _leave(self) -> None:
        """Have a thread wait for the reply, and requeue the messages in it."""
        self._reading = [None]
        self.server.background_replies.wait_for(self._read_late)
        self._is_left = True

    def _may_read(self) -> bool:
        try:
            return self._reading is None or self._reading.pop() is None
        except IndexError:
            return False

    def _read_late(self) -> None:
        if not self._may_read():
            return
        while True:
            try:
                taken = self.result(_LATE_REPLY_SECONDS)
                break
            except NoAnswer:
                continue
            except Exception as error:  # noqa: BLE001  the call has raised an error long ago
                self.fail(error)
                return
        self._requeue_here(taken)

    def _requeue_here(self, taken: Iterable[Taken]) -> None:
        """
        Put messages back on the connection that they came on.

        It leads to the same server for certain. A replica that has taken over from it has these messages, too, and
        may have handed them out.
        """
        try:
            for one in taken:
                operation = self._requeue(one)
                write(self._connection, operation.packed)
                self.server.read(self._connection, operation)
        except (RedisError, UnsupportedRedis) as error:
            logger.error(
                "Messages of a late reply of %s are lost, unless a replica has them: %s", self.server.host, error
            )
            self.fail(error)
        else:
            self.release()


def requeue_all(requeues: Iterable[Requeue]) -> None:
    """Put messages back; log a message that cannot be put back as lost."""
    interruption: BaseException | None = None
    has_failed = False  # the first to fail has waited long enough for all
    for requeue in requeues:
        for _ in range(2):
            try:
                requeue.put_back(fail_fast=has_failed)
                break
            except (RedisError, UnsupportedRedis) as error:
                logger.error("A message could not be put back at %s and is lost: %s", requeue.shard.name, error)
                has_failed = True
                break
            except BaseException as error:  # noqa: BLE001  raised when all are back
                interruption = error
    if interruption is not None:
        raise interruption


def requeue_taken(takes: Collection[Take]) -> None:
    """End the requests of an interrupted call, and put their messages back."""
    for take in takes:
        _rescue(take)
    requeue_all([requeue for take in takes for requeue in take.requeues()])


def _rescue(take: Take) -> None:
    """Rescue a request, twice where the first time is interrupted."""
    for attempt in (1, 2):
        try:
            take.rescue()
            return
        except (ResponseError, TimeoutError, UnsupportedRedis):
            return  # nothing was taken; or a thread waits for the reply, which is late
        except BaseException as error:  # noqa: BLE001  the first interruption is what the caller raises
            if attempt == 2 or isinstance(error, Exception):
                take.drop()
                # An error's text may quote a message.
                name = type(error).__name__
                logger.error("An interrupted call at %s may have lost a message: %s", take.shard.name, name)
                return
