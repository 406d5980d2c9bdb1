"""
What one call takes off Redis, from before it asks until the caller has the messages.

However the call is interrupted, each message is then either in the hands of the caller, or back in its queue.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

from redis.exceptions import RedisError, ResponseError, TimeoutError

from asgi_redis.connection.exchange import Exchange, NoAnswer
from asgi_redis.connection.redis_py import Unsent
from asgi_redis.connection.shard import Shard
from asgi_redis.exceptions import UnsupportedRedis
from asgi_redis.process import fork
from asgi_redis.process.time_limits import HANG_TIMEOUT_SECONDS
from asgi_redis.wire.operation import Operation
from asgi_redis.wire.taking import Taken, TakenMessages

logger = logging.getLogger("asgi_redis")

_LATE_LOOK = 60.0  # seconds of a wait for a late reply, which begins again

RequeueOperation = Callable[[Taken], Operation]
"""Returns the operation that puts a message back into its queue."""


class Taking:
    """
    Asks one shard for messages. ``taken`` are those that it has given, None until that is known.

    Once its connection is in ``exchange``, ``rescue`` can go on from wherever an interruption has come.
    """

    exchange: Exchange | None = None
    generation: int | None = None  # of the call, see ``Hand.add``
    taken: list[Any] | None = None
    _returns: list[Return] | None = None
    _left = False  # whether a thread may be waiting for the reply
    _settled = False  # whether it surely is
    _claims: list[None]  # who takes it out owns the exchange: that thread, or the rescue

    def __init__(self, shard: Shard, operation: Operation, requeue: RequeueOperation) -> None:
        self.shard = shard
        self.operation = operation
        self._requeue = requeue

    def _begin(self, fail_fast: bool) -> Exchange:
        connection = self.shard.checkout(fail_fast)
        if fork.generation != self.generation:
            self.shard.release(connection)
            raise fork.forked()
        self._prepare(connection, fail_fast)
        exchange = self.exchange = Exchange(self.shard, connection, self.operation)
        try:
            try:
                exchange.send()
            except Unsent as error:
                exchange.renew(error, fail_fast)
                self._prepare(connection, fail_fast)
                exchange.send()
        except Exception as error:
            exchange.fail(error)
            raise
        return exchange

    def _prepare(self, connection: Any, fail_fast: bool) -> None:
        """Finds out what has to be known of a connection before the request is sent."""

    def _read(self, exchange: Exchange, timeout: float | None) -> list[Taken]:
        """Returns the messages; goes on where it was interrupted."""
        raise NotImplementedError

    def _finish(self, exchange: Exchange, timeout: float | None = None) -> list[Taken]:
        try:
            taken = self.taken = self._read(exchange, timeout)
        except NoAnswer as error:
            self._leave(exchange)
            raise TimeoutError(str(error)) from None
        except Exception as error:
            exchange.fail(error)
            told = self.shard.with_key(error, self.operation)
            if told is error:
                raise
            raise told from error
        exchange.release()
        return taken

    def may_have_taken(self) -> bool:
        """Whether messages may have been taken, also as another thread sees it."""
        return self.exchange is not None  # which is known only later to have sent something

    def rescue(self) -> None:
        """Finds out, after an interruption, what was taken. Raises the server's errors."""
        exchange = self.exchange
        if exchange is None or exchange.over or self._settled or (self._left and not self._claim()):
            return
        if self.taken is not None:
            exchange.release()
        elif exchange.begun:
            self._finish(exchange, HANG_TIMEOUT_SECONDS)
        else:
            exchange.drop()

    def drop(self) -> None:
        """Closes the connection, whatever its state is."""
        if self.exchange is not None:
            self.exchange.drop()

    def returns(self) -> list[Return]:
        """Returns the ways back of the messages that were taken, always the same."""
        if self._returns is None:
            self._returns = [Return(self.shard, self._requeue(one)) for one in self.taken or ()]
        return self._returns

    # A reply that does not come in time

    def _leave(self, exchange: Exchange) -> None:
        """Has a thread wait for the reply, and put back what was taken."""
        self._claims = [None]
        self._left = True
        self.shard.background_replies.wait_for(self._read_late)
        self._settled = True

    def _claim(self) -> bool:
        try:
            self._claims.pop()
        except IndexError:
            return False
        return True

    def _read_late(self) -> None:
        exchange = self.exchange
        assert exchange is not None
        if not self._claim():
            return
        try:
            while True:
                try:
                    taken = self._read(exchange, _LATE_LOOK)
                    break
                except NoAnswer:
                    continue
        except Exception as error:  # noqa: BLE001  whoever has asked was given an error
            exchange.fail(error)
        else:
            exchange.release()
            requeue_all(Return(self.shard, self._requeue(one)) for one in taken)


class Look(Taking):
    """Takes what is there, by a script."""

    def run(self, fail_fast: bool) -> TakenMessages:
        """
        Return the messages. With ``fail_fast`` it waits up to ``HANG_TIMEOUT_SECONDS``; then a thread waits for the
        reply, and requeues the messages in it.

        Raises ``redis.exceptions.RedisError`` and ``UnsupportedRedis``.
        """
        exchange = self._begin(fail_fast)
        taken = self._finish(exchange, HANG_TIMEOUT_SECONDS if fail_fast else None)
        assert isinstance(taken, TakenMessages)
        return taken

    def _read(self, exchange: Exchange, timeout: float | None) -> list[Taken]:
        taken: list[Taken] = exchange.result(timeout)
        return taken


class Return:
    """The way of a message back into its queue; goes on where it was interrupted, and never goes twice."""

    def __init__(self, shard: Shard, operation: Operation) -> None:
        self.shard = shard
        self._operation = operation
        self._exchange: Exchange | None = None
        self._done = False

    def make(self) -> None:
        """Puts it back, unless that is done. Raises ``redis.exceptions.RedisError`` and ``UnsupportedRedis``."""
        if self._done:
            return
        exchange = self._exchange
        if exchange is None or not exchange.begun:
            exchange = self._exchange = Exchange(self.shard, self.shard.checkout(spare=True), self._operation)
        try:
            try:
                exchange.send()
            except Unsent as error:
                exchange.renew(error)
            exchange.result()
        except Exception as error:
            self._done = True
            exchange.fail(error)
            raise
        self._done = True
        exchange.release()


def requeue_all(returns: Iterable[Return]) -> None:
    """Puts messages back where they were taken; one that cannot be is logged as lost."""
    interruption: BaseException | None = None
    for one in returns:
        for _ in range(2):
            try:
                one.make()
                break
            except (RedisError, UnsupportedRedis) as error:
                logger.error("A message could not be put back at %s and is lost: %s", one.shard.host, error)
                break
            except BaseException as error:  # noqa: BLE001  raised when all are back
                interruption = error
    if interruption is not None:
        raise interruption


class Hand:
    """The requests of one call. What they have taken is put back where the call ends by an exception."""

    __slots__ = ("_generation", "requests")

    def __init__(self) -> None:
        self._generation = fork.generation
        self.requests: list[Taking] = []

    def add(self, request: Taking) -> None:
        """Takes charge of a request, which begins only in the process that the call has begun in."""
        request.generation = self._generation
        self.requests.append(request)

    def check(self) -> None:
        """Raises ``ForkedDuringCall`` in a process that was forked since: what was taken is the parent's."""
        if fork.generation != self._generation:
            raise fork.forked()

    def requeue(self) -> None:
        """Ends all the requests, and puts back what they have taken, whatever comes between."""
        fork.check()
        if fork.generation != self._generation:
            return  # a signal handler has forked, and the other process goes on with the call
        for request in self.requests:
            _rescue(request)
        requeue_all([one for request in self.requests for one in request.returns()])


def _rescue(request: Taking) -> None:
    """Rescues a request, once more where that is interrupted. What may be lost is logged."""
    for attempt in (1, 2):
        try:
            request.rescue()
            return
        except (ResponseError, TimeoutError, UnsupportedRedis):
            return  # nothing was taken; or a thread waits for the reply, which is late
        except BaseException as error:  # noqa: BLE001  the first interruption is what the caller raises
            if attempt == 2 or isinstance(error, Exception):
                request.drop()
                # An error's text may quote a message.
                name = type(error).__name__
                logger.error("An interrupted call at %s may have lost a message: %s", request.shard.host, name)
                return
