"""
Waiting for a message on several servers at once, so that none is lost however the wait ends.

A blocking pop is never broken off by closing its socket: Redis may just have written the message into it. It is
ended with ``CLIENT UNBLOCK`` (Redis 5), then its reply is read, and a message in it is kept or put back.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from redis.exceptions import RedisError, ResponseError, TimeoutError

from asgi_redis.connection.exchange import Exchange
from asgi_redis.connection.redis_py import is_unblocked
from asgi_redis.connection.shard import Shard
from asgi_redis.connection.take import Hand, RequeueOperation, Taking, requeue_all
from asgi_redis.exceptions import UnsupportedRedis
from asgi_redis.process.time_limits import HANG_TIMEOUT_SECONDS
from asgi_redis.process.wakeup import WakeupPipe, poll
from asgi_redis.wire.operation import Operation
from asgi_redis.wire.server import client_id, unblock
from asgi_redis.wire.taking import Taken

logger = logging.getLogger("asgi_redis")

_CLIENT_ID = client_id()
_PATIENCE = 0.02  # seconds until an unblocking that came before its pop is repeated
_GIVE_UP = 20.0  # seconds that a pop may take to end

Report = Callable[[Shard, RedisError], None]


class Readable(Protocol):
    """What can be polled."""

    def fileno(self) -> int:
        """Returns its file descriptor."""


class _Blocked(Taking):
    """A pop under way."""

    def __init__(self, shard: Shard, operation: Operation, requeue: RequeueOperation) -> None:
        super().__init__(shard, operation, requeue)
        self._patience = HANG_TIMEOUT_SECONDS
        self.ends = False
        """Whether the wait is over, and the reply is about to be read."""

    def start(self, fail_fast: bool) -> None:
        """Sends it. Raises ``redis.exceptions.RedisError``."""
        self._begin(fail_fast)

    def _prepare(self, connection: Any, fail_fast: bool) -> None:
        try:
            if self.operation.end is None:
                self._client = self.shard.client_id(connection, _CLIENT_ID, fail_fast)
        except BaseException as error:
            self.shard.after_error(connection, error)
            raise

    def may_have_taken(self) -> bool:
        """Whether it has come to its end: while it waits it has taken nothing."""
        exchange = self.exchange
        if exchange is None:
            return False
        try:
            readable = bool(poll([exchange], 0))
        except RedisError:
            return True  # it ends in this moment
        return readable or self.ends  # in this order: it is told first, then the reply is read

    def fileno(self) -> int:
        """What can be polled: readable when the reply is there."""
        assert self.exchange is not None
        return self.exchange.fileno()

    def end(self, ready: bool, timeout: float) -> None:
        """
        Ends the pop unless its reply is ``ready``, and takes the message if it has one.

        Raises ``redis.exceptions.RedisError``: ``TimeoutError`` when it has not ended after ``timeout`` seconds;
        then a thread waits for it, and puts back the message that it may take.
        """
        exchange = self.exchange
        assert exchange is not None
        self._patience = timeout
        if not (ready or exchange.answered or self._unblock(timeout)):
            self._leave(exchange)
            raise TimeoutError(f"a blocking pop at {self.shard.host} does not end")
        self._finish(exchange)

    def rescue(self) -> None:
        """Ends the pop, and finds out, after an interruption, what was taken. Raises the server's errors."""
        exchange = self.exchange
        if exchange is not None and exchange.begun and not (self._left or exchange.over or exchange.answered):
            exchange.send()
            if not self._unblock(HANG_TIMEOUT_SECONDS):
                self._leave(exchange)
                return
        super().rescue()

    def _read(self, exchange: Exchange, timeout: float | None) -> list[Taken]:
        while True:
            replies = exchange.replies()
            put_off = bool(replies) and is_unblocked(replies[0])
            if put_off:
                # A server that has put the pop off, in a CLIENT PAUSE or FAILOVER, does it when it goes on, all the
                # same: its reply comes then, and after it that to the TIME.
                del replies[0]
                if replies and isinstance(replies[0], list) and len(replies[0]) == 2:
                    replies.insert(0, None)
            if len(replies) >= 2:
                taken = exchange.meaning(replies[:2])
                return [] if taken is None else [taken]
            exchange.receive(self._patience if put_off and timeout is None else timeout)

    def _unblock(self, timeout: float) -> bool:
        started = time.monotonic()
        # CLIENT UNBLOCK, or what the pop brings with it where that is forbidden.
        end = self.operation.end or unblock(self._client)
        while not poll([self], 0.0):
            try:
                self.shard.execute(end, fail_fast=True, spare=True)
            except ResponseError:
                timeout = _GIVE_UP  # the server is there, and forbids it: the pop ends by itself
            except TimeoutError:
                return bool(poll([self], max(0.0, started + timeout - time.monotonic())))
            except RedisError:
                pass  # the pop's own connection shows what is wrong
            # A pop that Redis has not read yet cannot be ended: then it waits on, and is asked again.
            if not poll([self], _PATIENCE) and time.monotonic() > started + timeout:
                return False
        return True


def pop(
    requests: Sequence[tuple[Shard, Operation]],
    timeout: float,
    waiter: WakeupPipe,
    requeue: RequeueOperation,
    hand: Hand,
    report: Report | None = None,
    beside: Sequence[Readable] = (),
) -> Taken | None:
    """
    Waits on all the shards at once; returns the first message, or None after ``timeout`` seconds or a ``wake``.

    What is ``beside`` them ends the wait, too, once it is readable. What is asked for is in ``hand``, which is to put
    it back when an exception comes out.

    Should two shards have one in the same moment, the second is put back in its place. When a shard fails, the
    wait ends; its ``redis.exceptions.RedisError`` is given to ``report``, or without one raised, unless another
    shard has a message.
    """
    unreachable = False
    blocked: list[_Blocked] = []
    for shard, operation in requests:
        one = _Blocked(shard, operation, requeue)
        hand.add(one)
        try:
            one.start(fail_fast=report is not None)
        except RedisError as error:
            if report is None:
                raise
            report(shard, error)
            unreachable = True
        else:
            blocked.append(one)
    ready = poll([*blocked, waiter, *beside], 0 if unreachable else timeout)
    for one in blocked:
        one.ends = True
    if waiter in ready:
        waiter.clear()
    # Somebody else waits: for a message that another shard has given, or, behind a report, to go on without this one.
    hurried = report is not None or any(one in ready for one in blocked)
    failures = _end_all(blocked, ready, HANG_TIMEOUT_SECONDS if hurried else _GIVE_UP)
    served = [one for one in blocked if one.taken]
    for shard, failure in failures:
        if report is not None and isinstance(failure, RedisError):
            report(shard, failure)
        elif not served:
            raise failure
        else:
            logger.warning("Lost a shard while another had a message: %s", failure)
    if not served:
        return None
    for one in served[1:]:
        requeue_all(one.returns())
        one.taken = []
    first: Taken = served[0].taken[0]  # type: ignore[index]  # it has one
    return first


def _end_all(blocked: Sequence[_Blocked], ready: Sequence[Any], timeout: float) -> list[tuple[Shard, Exception]]:
    """Ends all the pops: one that is left behind would take a message that nobody reads. Returns the errors."""
    failures: list[tuple[Shard, Exception]] = []
    for one in blocked:
        try:
            one.end(one in ready, timeout)
        except (RedisError, UnsupportedRedis) as error:
            failures.append((one.shard, error))
    return failures
