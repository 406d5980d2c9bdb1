"""
Waiting for a message on several servers at once, so that none is lost however the wait ends.

A blocking pop is never broken off by closing its socket: Redis may just have written the message into it. It is
ended with ``CLIENT UNBLOCK`` (Redis 5), then its reply is read, and a message in it is kept or put back.
"""

from __future__ import annotations

import functools
import logging
import math
import select
import time
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, Protocol

from redis.exceptions import ConnectionError, RedisError, ResponseError, TimeoutError

from asgi_redis.connection.late import PROMPT
from asgi_redis.connection.pipeline import is_error
from asgi_redis.connection.redis_py import Unsent, write
from asgi_redis.connection.shard import Shard
from asgi_redis.connection.waiter import Waiter
from asgi_redis.exceptions import UnsupportedRedis
from asgi_redis.wire.operation import Operation
from asgi_redis.wire.operations import Taken, client_id, is_unblocked, reply, unblock

logger = logging.getLogger("asgi_redis")

_CLIENT_ID = client_id()
_REPLY = reply()
_PATIENCE = 0.02  # seconds until an unblocking that came before its pop is repeated
_GIVE_UP = 20.0  # seconds that a pop may take to end

Report = Callable[[Shard, RedisError], None]


class Readable(Protocol):
    """What can be polled."""

    def fileno(self) -> int:
        """Returns its file descriptor."""


class _PutOff(Exception):
    """The server has not yet done what it was told to end."""


class _Blocked:
    """One connection with a pop under way."""

    def __init__(self, shard: Shard, operation: Operation, prompt: bool) -> None:
        self.shard = shard
        self._operation = operation
        self._reading = False  # whether its reply has begun to come
        self._unblocked = False  # whether the error that tells so was read
        self._replies: list[Any] = []  # to the pop, then to the TIME behind it; errors among them
        self._given_back = False
        try:
            self._connection = self._send(prompt)
        except Unsent:
            self._connection = self._send(prompt)  # on a new connection, as the idle ones were closed

    def _send(self, prompt: bool) -> Any:
        connection = self.shard.checkout(prompt)
        try:
            # What ends it: CLIENT UNBLOCK, or what it brings with it where that is forbidden.
            end = self._operation.end
            self._ender = end or unblock(self.shard.client_id(connection, _CLIENT_ID, prompt))
            write(connection, self._operation.packed)
        except BaseException as error:
            self.shard.after_error(connection, error)
            raise
        return connection

    def fileno(self) -> int:
        """What can be polled: readable when the reply is there."""
        # redis-py has no public way to the socket, and waiting on several needs it.
        sock = self._connection._sock
        return -1 if sock is None else sock.fileno()

    def end(self, ready: bool, patience: float, late: Callable[[Taken | None], object]) -> Taken | None:
        """
        Ends the pop unless its reply is ``ready``, and returns the message if it has one.

        Raises ``TimeoutError`` when it has not ended after ``patience`` seconds: then ``late`` gets the message,
        if any. Can be called again after what is not an error of Redis's, such as a KeyboardInterrupt: it reads on.
        """
        if not (ready or self._reading or self._end(patience)):
            self._leave(late)
        # redis-py's parsers lose nothing where their wait for more was interrupted, but between two of their steps.
        sock = self._connection._sock if self._reading else None
        if sock is not None:
            sock.settimeout(PROMPT)
        self._reading = True
        try:
            taken = self._read(patience)
        except _PutOff:
            self._leave(late)
        except (RedisError, UnsupportedRedis) as error:
            self.shard.after_error(self._connection, error)
            raise self.shard.with_key(error, self._operation) from error
        if not self._given_back:
            self._given_back = True
            if sock is not None:
                sock.settimeout(self._connection.socket_timeout)
            self.shard.give_back(self._connection)
        return taken

    def _leave(self, late: Callable[[Taken | None], object]) -> NoReturn:
        self.shard.read_late(self._connection, self._read, late)
        raise TimeoutError(f"a blocking pop at {self.shard.host} does not end")

    def _read(self, patience: float | None = None) -> Taken | None:
        replies = self._replies
        while len(replies) < 2:
            # A server that has put the pop off, in a CLIENT PAUSE or FAILOVER, does it when it goes on, all the same.
            may_be_put_off = self._unblocked and not replies
            if may_be_put_off and patience is not None and not self._connection.can_read(patience):
                raise _PutOff
            try:
                reply = self.shard.read(self._connection, _REPLY)
            except (ResponseError, UnsupportedRedis) as error:
                if not replies and is_unblocked(error):
                    self._unblocked = True
                else:
                    replies.append(error)
            else:
                is_time = isinstance(reply, list) and len(reply) == 2
                replies += (None, reply) if may_be_put_off and is_time else (reply,)
        for refusal in filter(is_error, replies):
            raise refusal
        return self._operation.read(replies)  # type: ignore[no-any-return]  # what it reads as, its docstring says

    def _end(self, patience: float) -> bool:
        started = time.monotonic()
        while not _poll([self], 0.0):
            try:
                self.shard.execute(self._ender, prompt=True, spare=True)
            except ResponseError:
                patience = _GIVE_UP  # the server is there, and forbids it: the pop ends by itself
            except TimeoutError:
                return bool(_poll([self], max(0.0, started + patience - time.monotonic())))
            except RedisError:
                pass  # the pop's own connection shows what is wrong
            # A pop that Redis has not read yet cannot be ended: then it waits on, and is asked again.
            if not _poll([self], _PATIENCE) and time.monotonic() > started + patience:
                return False
        return True

    def drop(self) -> None:
        """Gives up a connection whose pop has not ended."""
        self._connection.disconnect()


def pop(
    requests: Sequence[tuple[Shard, Operation]],
    timeout: float,
    waiter: Waiter,
    put_back: Callable[[Taken], Operation],
    report: Report | None = None,
    beside: Sequence[Readable] = (),
) -> Taken | None:
    """
    Waits on all the shards at once; returns the first message, or None after ``timeout`` seconds or a ``wake``.

    What is ``beside`` them ends the wait, too, once it is readable.

    Should two shards have one in the same moment, the second is put back in its place. When a shard fails, the
    wait ends; its ``redis.exceptions.RedisError`` is given to ``report``, or without one raised, unless another
    shard has a message.
    """
    blocked: list[_Blocked] = []
    unreachable = False
    try:
        for shard, operation in requests:
            try:
                blocked.append(_Blocked(shard, operation, prompt=report is not None))
            except RedisError as error:
                if report is None:
                    raise
                report(shard, error)
                unreachable = True
        ready = _poll([*blocked, waiter, *beside], 0 if unreachable else timeout)
    except BaseException:
        # A signal handler's SystemExit, a gevent.Timeout, or a shard that cannot be reached.
        put_back_all(_end_all(blocked, [], PROMPT, put_back)[0], put_back)
        raise
    if waiter in ready:
        waiter.clear()
    # Somebody else waits: for a message that another shard has given, or, behind a report, to go on without this one.
    hurried = report is not None or any(one in ready for one in blocked)
    taken, errors = _end_all(blocked, ready, PROMPT if hurried else _GIVE_UP, put_back)
    interruption = next((error for _, error in errors if not isinstance(error, RedisError)), None)
    if interruption is not None:
        put_back_all(taken, put_back)
        raise interruption
    for shard, failure in errors:
        if report is not None and isinstance(failure, RedisError):
            report(shard, failure)
        elif not taken:
            raise failure
        else:
            logger.warning("Lost a shard while another had a message: %s", failure)
    if not taken:
        return None
    try:
        put_back_all(taken[1:], put_back)
    except BaseException:
        put_back_all(taken[:1], put_back)
        raise
    return taken[0][1]


def _end_all(
    blocked: Sequence[_Blocked], ready: Sequence[Any], patience: float, put_back: Callable[[Taken], Operation]
) -> tuple[list[tuple[Shard, Taken]], list[tuple[Shard, BaseException]]]:
    """Ends all the pops, whatever comes between: one that is left behind would take a message that nobody reads."""
    taken: list[tuple[Shard, Taken]] = []
    errors: list[tuple[Shard, BaseException]] = []
    for one in blocked:
        late = functools.partial(_put_back_late, one.shard, put_back)
        for last in (False, True):
            try:
                message = one.end(one in ready and not last, patience, late)
            except (RedisError, UnsupportedRedis) as error:
                errors.append((one.shard, error))
                if last:
                    _log_loss(one.shard, error)
                break
            except BaseException as error:  # noqa: BLE001  an interruption, raised again by the caller
                errors.append((one.shard, error))
                if last:
                    one.drop()
                    _log_loss(one.shard, error)
            else:
                if message is not None:
                    taken.append((one.shard, message))
                break
    return taken, errors


def _log_loss(shard: Shard, error: BaseException) -> None:
    if not isinstance(error, (ResponseError, UnsupportedRedis)):  # no reply: its text may quote a message
        logger.error("An interrupted pop at %s may have lost a message: %s", shard.host, type(error).__name__)


def _put_back_late(shard: Shard, put_back: Callable[[Taken], Operation], taken: Taken | None) -> None:
    if taken is not None:
        put_back_all([(shard, taken)], put_back)


def put_back_all(taken: Sequence[tuple[Shard, Taken]], put_back: Callable[[Taken], Operation]) -> None:
    """Puts messages back where they were taken; one that cannot be is logged as lost."""
    interruption: BaseException | None = None
    for shard, message in taken:
        try:
            try:
                connection = shard.checkout(spare=True)
            except RedisError:
                raise
            except BaseException as error:  # noqa: BLE001  raised when all are back
                interruption = error
                connection = shard.checkout(spare=True)
            shard.execute_on(connection, put_back(message))
        except RedisError as error:
            logger.error("A message could not be put back at %s and is lost: %s", shard.host, error)
        except BaseException as error:  # noqa: BLE001  it has been sent, which is what matters
            interruption = error
    if interruption is not None:
        raise interruption


def _poll(readable: Sequence[Any], timeout: float) -> list[Any]:
    """Waits up to ``timeout`` seconds until one of them can be read; returns those that can."""
    poll = select.poll()
    by_descriptor = {}
    for one in readable:
        descriptor = one.fileno()
        if descriptor < 0:
            raise ConnectionError("the connection was closed while it waited")
        by_descriptor[descriptor] = one
        poll.register(descriptor, select.POLLIN)
    return [by_descriptor[descriptor] for descriptor, _ in poll.poll(math.ceil(timeout * 1000))]
