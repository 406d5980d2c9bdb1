"""
Waiting for a message on several servers at once, so that none is lost however the wait ends.

A blocking pop is never broken off by closing its socket: Redis may just have written the message into it. It is
ended with `CLIENT UNBLOCK` (Redis 5), then its reply is read, and a message in it is kept or put back.
"""

from __future__ import annotations

import logging
import math
import os
import select
import time
from collections.abc import Callable, Sequence
from typing import Any

from redis.exceptions import ConnectionError, RedisError, TimeoutError

from asgi_redis.connection.shard import Shard, read_replies
from asgi_redis.wire.operation import Operation
from asgi_redis.wire.operations import Taken, client_id, unblock

logger = logging.getLogger("asgi_redis")

_PATIENCE = 0.02  # seconds until an unblocking that came before its pop is repeated
_GIVE_UP = 20.0  # seconds that a pop may take to end


class Waiter:
    """Somebody who waits in `pop`; `wake` ends the wait, from any thread or signal handler."""

    def __init__(self) -> None:
        self._read_end, self._write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        os.set_blocking(self._write_end, False)
        self._woken = False

    def fileno(self) -> int:
        """What can be polled: readable once woken."""
        return self._read_end

    def wake(self) -> None:
        """Ends the wait that is going on, or the next one."""
        if not self._woken:
            self._woken = True
            os.write(self._write_end, b"\0")

    def clear(self) -> None:
        """Makes ready for the next wait."""
        if self._woken:
            try:
                os.read(self._read_end, 16)
            except BlockingIOError:
                pass  # it is being woken this very moment, which the next wait will notice
            else:
                self._woken = False

    def __del__(self) -> None:
        os.close(self._read_end)
        os.close(self._write_end)


class _Blocked:
    """One connection with a pop under way."""

    def __init__(self, shard: Shard, operation: Operation) -> None:
        self.shard = shard
        self._operation = operation
        connection = shard.checkout()
        try:
            self._client = shard.client_id(connection, client_id())
            connection.send_packed_command((operation.packed,))
        except BaseException as error:
            shard.after_error(connection, error)
            raise
        self._connection = connection

    def fileno(self) -> int:
        # redis-py has no public way to the socket, and waiting on several needs it.
        descriptor: int = self._connection._sock.fileno()
        return descriptor

    def end(self) -> Taken | None:
        """Ends the pop unless its reply is there, and returns the message if it has one."""
        try:
            give_up = time.monotonic() + _GIVE_UP
            while not _poll([self], 0.0):
                # A pop that Redis has not read yet cannot be ended: then it waits on, and is asked again.
                self.shard.execute(unblock(self._client))
                if not _poll([self], _PATIENCE) and time.monotonic() > give_up:
                    raise TimeoutError(f"a blocking pop at {self.shard.host} does not end")
            taken: Taken | None = self._operation.read(read_replies(self._connection, self._operation))
        except BaseException as error:
            self.shard.after_error(self._connection, error)
            raise
        self.shard.give_back(self._connection)
        return taken


def pop(
    requests: Sequence[tuple[Shard, Operation]],
    timeout: float,
    waiter: Waiter,
    put_back: Callable[[Taken], Operation],
) -> Taken | None:
    """
    Waits on all the shards at once; returns the first message, or None after `timeout` seconds or a `wake`.

    Should two shards have one in the same moment, the second is put back in its place. Raises
    `redis.exceptions.RedisError` when a shard fails, unless another has a message.
    """
    blocked: list[_Blocked] = []
    try:
        for shard, operation in requests:
            blocked.append(_Blocked(shard, operation))
        _poll([*blocked, waiter], timeout)
    except BaseException:
        # A signal handler's SystemExit, a gevent.Timeout, or a shard that cannot be reached.
        taken, _ = _end_all(blocked)
        _put_back(taken, put_back)
        raise
    taken, errors = _end_all(blocked)
    if not taken:
        if errors:
            raise errors[0]
        return None
    for error in errors:
        logger.warning("Lost a shard while another had a message: %s", error)
    _put_back(taken[1:], put_back)
    return taken[0][1]


def _end_all(blocked: Sequence[_Blocked]) -> tuple[list[tuple[Shard, Taken]], list[RedisError]]:
    taken: list[tuple[Shard, Taken]] = []
    errors: list[RedisError] = []
    for one in blocked:
        try:
            message = one.end()
        except RedisError as error:
            errors.append(error)
        else:
            if message is not None:
                taken.append((one.shard, message))
    return taken, errors


def _put_back(taken: Sequence[tuple[Shard, Taken]], put_back: Callable[[Taken], Operation]) -> None:
    for shard, message in taken:
        try:
            shard.execute(put_back(message))
        except RedisError as error:
            logger.error("A message could not be put back at %s and is lost: %s", shard.host, error)


def _poll(readable: Sequence[Any], timeout: float) -> bool:
    """Waits up to `timeout` seconds; returns whether one of them can be read."""
    poll = select.poll()
    for one in readable:
        if one.fileno() < 0:
            raise ConnectionError("the connection was closed while it waited")
        poll.register(one, select.POLLIN)
    return bool(poll.poll(math.ceil(timeout * 1000)))
