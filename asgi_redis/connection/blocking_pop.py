"""
Blocking pops on several servers at once, whose ends lose no message.

A blocking pop is never ended by closing its socket: Redis may just have written the message into it. It is ended with
``CLIENT UNBLOCK`` (Redis 5), then its reply is read, and a message in it is returned or put back.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any, Protocol

from redis.exceptions import ConnectionError, RedisError, ResponseError, TimeoutError

from asgi_redis.connection.errors import is_of_server
from asgi_redis.connection.exchange import NoAnswer
from asgi_redis.connection.redirection import is_refused_by_cluster
from asgi_redis.connection.redis_py import is_unblocked, read_at_once
from asgi_redis.connection.server import Server
from asgi_redis.connection.take import Take, requeue_all
from asgi_redis.exceptions import UnsupportedRedis
from asgi_redis.process.time_limits import HANG_TIMEOUT_SECONDS
from asgi_redis.process.wakeup import WakeupPipe, poll
from asgi_redis.wire.server import client_id, unblock, unblock_all

logger = logging.getLogger("asgi_redis")

_CLIENT_ID = client_id()
_UNBLOCK_RETRY_SECONDS = 0.02  # until an unblocking that came before its pop is repeated
_END_TIMEOUT_SECONDS = 20.0  # of a pop, where nothing else waits
_BACKLOG_SECONDS = 0.001  # that a message has waited, if its reader did not wait for it


class Readable(Protocol):
    """An object that can be polled."""

    def fileno(self) -> int:
        """Return its file descriptor."""


class BlockingPop(Take):
    """A blocking pop on one shard."""

    refusal: RedisError | None = None
    """The error by which a node of a cluster has refused the pop, which may be made elsewhere or later."""
    is_ending = False
    """Whether the wait is over, and the reply is about to be read."""
    is_ordered = False
    """Whether other calls ask ``may_have_taken``."""
    is_asked_to_end = False
    """Whether the server was asked to end the pop, together with others."""
    _is_broken = False  # whether a reply may still come
    _client = 0
    _end_timeout = HANG_TIMEOUT_SECONDS

    def _prepare(self, connection: Any, fail_fast: bool) -> None:
        if self.operation.end is None:
            self._client = self.server.client_id(connection, _CLIENT_ID, fail_fast)

    @property
    def can_be_unblocked(self) -> bool:
        """Whether ``CLIENT UNBLOCK`` of ``client`` may end it."""
        return self.operation.end is None and self._connection is not None and not self._chunks

    @property
    def client(self) -> int:
        """The number that Redis knows its connection by."""
        return self._client

    def may_have_taken(self) -> bool:
        """Return whether the pop has ended; while it waits it holds nothing."""
        if self._connection is None:
            return bool(self.taken)
        try:
            readable = bool(poll([self], 0))
        except RedisError:
            return True  # it ends in this moment
        return readable or self.is_ending  # in this order: is_ending is set first, then the reply is read

    def has_come(self) -> bool:
        """
        Return whether the reply is there, without a poll; take its bytes.

        It tries only where the last message had waited for its reader: there may be a backlog, and the reply is there
        if Redis is on the same CPU. Not where the pop ``is_ordered``: others could not tell that it holds bytes.
        """
        is_likely = self.server.has_backlog and not self.is_ordered
        return is_likely and read_at_once(self._connection, self._chunks)

    def end(self, ready: bool, timeout: float) -> None:
        """
        End the pop unless its reply is ``ready``, and read the reply.

        Raises ``redis.exceptions.RedisError``: ``TimeoutError`` when it has not ended after ``timeout`` seconds; then
        a thread waits for it, and puts back the message that it may take.
        """
        self._end_timeout = timeout
        self._is_readable = ready and not self._chunks
        if not (ready or self._chunks or self._unblock(timeout)):
            self._leave()
            raise TimeoutError(f"a blocking pop at {self.server.host} does not end")
        self.finish()

    def finish(self, timeout: float | None = None) -> list[Any]:
        """Return the messages in the reply: none where a cluster refuses the pop."""
        try:
            return super().finish(timeout)
        except RedisError as error:
            if not (self.server.host.in_cluster and is_refused_by_cluster(error)):
                raise
            self.refusal, self.taken = error, []
            return []

    def rescue(self) -> None:
        """End the pop and read its reply, after an interruption."""
        if self._connection is not None and self._sent and self._reading is None and not self._chunks:
            self._send_rest()
            if not self._unblock(HANG_TIMEOUT_SECONDS):
                self._leave()
                return
        super().rescue()

    def result(self, timeout: float | None = None) -> list[Any]:
        """Return a list of the message, or an empty list."""
        while True:
            replies = self._replies() if self._chunks else []
            postponed = bool(replies) and isinstance(replies[0], ResponseError) and is_unblocked(replies[0])
            if postponed:
                # A server that has postponed the pop, in a CLIENT PAUSE or FAILOVER, does it when it goes on, all the
                # same: its reply comes then, and after it that to the TIME.
                del replies[0]
                if replies and isinstance(replies[0], list) and len(replies[0]) == 2:
                    replies.insert(0, None)
            if len(replies) >= 2:
                break
            try:
                self._receive(self._end_timeout if postponed and timeout is None else timeout)
            except (ConnectionError, NoAnswer):
                if not (replies and isinstance(replies[0], list)):
                    raise
                # A server that is paused and then ended, for a restart, gives the message and not its time; the clock
                # of this machine has to do.
                self._is_broken = True
                replies.append((time.time(), 0))
                break
        taken = self._meaning(replies[:2])
        return [] if taken is None else [taken]

    def release(self) -> None:
        if self._is_broken:
            self.drop()
        else:
            super().release()

    def _unblock(self, timeout: float) -> bool:
        if timeout <= 0:
            return bool(poll([self], 0.0))
        started = time.monotonic()
        # CLIENT UNBLOCK, or the entry that the pop brings with it where that is forbidden.
        end = self.operation.end or unblock(self._client)
        while not poll([self], _UNBLOCK_RETRY_SECONDS if self.is_asked_to_end else 0.0):
            self.is_asked_to_end = False
            try:
                self.server.execute(end, fail_fast=True, spare=True)
            except ResponseError:
                timeout = _END_TIMEOUT_SECONDS  # the server is there, and forbids it: the pop ends by itself
            except TimeoutError:
                return bool(poll([self], max(0.0, started + timeout - time.monotonic())))
            except RedisError:
                pass  # the pop's own connection shows the error
            # A pop that Redis has not read yet cannot be ended: then it waits on, and is asked again.
            if not poll([self], _UNBLOCK_RETRY_SECONDS) and time.monotonic() > started + timeout:
                return False
        return True


def wait_for_first(
    pops: Sequence[BlockingPop], wakeup: WakeupPipe, timeout: float, fail_fast: bool, others: Sequence[Readable] = ()
) -> dict[BlockingPop, RedisError]:
    """
    Wait on all the shards at once, until one has a message; then end all the pops.

    The message is in ``taken`` of its pop. Should two shards have one in the same moment, the second is put back in
    its place. The wait ends, too, after ``timeout`` seconds, once ``wakeup`` or one of ``others`` is readable, and
    when a shard fails. With ``fail_fast`` the errors are returned; otherwise the first is raised, unless another
    shard has a message. After an exception the pops are to be given to ``requeue_taken``.
    """
    if len(pops) == 1 and not others:
        return _wait_for(pops[0], wakeup, timeout, fail_fast)
    started, failures = _start_all(pops, fail_fast)
    ready = poll([*started, wakeup, *others], 0 if failures else timeout)
    for pop in started:
        pop.is_ending = True
    if wakeup in ready:
        wakeup.clear()
    # A message that another shard has given waits meanwhile, or a caller that goes on without a failing shard.
    hurried = fail_fast or any(pop in ready for pop in started)
    errors = _end_all(started, ready, HANG_TIMEOUT_SECONDS if hurried else _END_TIMEOUT_SECONDS)
    served = [pop for pop in started if pop.taken]
    for pop, failure in errors.items():
        if fail_fast and isinstance(failure, RedisError):
            failures[pop] = failure
        elif not served:
            raise failure
        else:
            logger.warning("Lost a shard while another had a message: %s", failure)
    for pop in served[1:]:
        requeue_all(pop.requeues())
        pop.taken = []
    return failures


def _wait_for(pop: BlockingPop, wakeup: WakeupPipe, timeout: float, fail_fast: bool) -> dict[BlockingPop, RedisError]:
    """Wait on the only shard, as ``wait_for_first`` does."""
    try:
        pop.start(fail_fast)
    except RedisError as error:
        if not fail_fast:
            raise
        return {pop: error}
    ready = [pop] if pop.has_come() else poll([pop, wakeup], timeout)
    pop.is_ending = True
    if wakeup in ready:
        wakeup.clear()
    is_ready = pop in ready
    try:
        pop.end(is_ready, HANG_TIMEOUT_SECONDS if fail_fast or is_ready else _END_TIMEOUT_SECONDS)
    except RedisError as error:
        if not fail_fast:
            raise
        return {pop: error}
    taken = pop.taken
    pop.server.has_backlog = bool(taken and taken[0].age > _BACKLOG_SECONDS)
    return {}


def _start_all(
    pops: Sequence[BlockingPop], fail_fast: bool
) -> tuple[list[BlockingPop], dict[BlockingPop, RedisError]]:
    """Start the pops; return all that wait, and the errors of the others."""
    started: list[BlockingPop] = []
    failures: dict[BlockingPop, RedisError] = {}
    unreachable: dict[Server | None, RedisError] = {}  # which several shards may be on
    for pop in pops:
        server = pop.shard.likely_server
        try:
            if server in unreachable:
                raise unreachable[server]
            pop.start(fail_fast)
            started.append(pop)
        except RedisError as error:
            if not fail_fast:
                raise
            failures[pop] = error
            if is_of_server(error):
                unreachable[server] = error
    return started, failures


def _end_all(pops: Sequence[BlockingPop], ready: Sequence[Any], timeout: float) -> dict[BlockingPop, Exception]:
    """End all the pops, as one left behind would take a message; return the errors."""
    errors: dict[BlockingPop, Exception] = {}
    hanging = _ask_to_end([pop for pop in pops if pop not in ready], timeout)
    for pop in pops:
        try:
            pop.end(pop in ready, 0.0 if pop.server in hanging else timeout)
        except (RedisError, UnsupportedRedis) as error:
            errors[pop] = error
            if isinstance(error, TimeoutError):
                hanging.add(pop.server)  # several shards may be there
    return errors


def _ask_to_end(pops: Sequence[BlockingPop], timeout: float) -> set[Server]:
    """Ask servers that have several pops to end them; return the servers that hang."""
    by_server: dict[Server, list[BlockingPop]] = {}
    for pop in pops:
        if pop.can_be_unblocked:
            by_server.setdefault(pop.server, []).append(pop)
    hanging: set[Server] = set()
    for server, some in by_server.items():
        if len(some) > 1:
            try:
                server.execute(unblock_all([pop.client for pop in some]), fail_fast=True, spare=True)
            except RedisError as error:  # each pop is ended by itself, or shows its own error
                if isinstance(error, TimeoutError) and timeout <= HANG_TIMEOUT_SECONDS:
                    hanging.add(server)
            else:
                for pop in some:
                    pop.is_asked_to_end = True
    return hanging
