"""One shard as a source of messages."""

from __future__ import annotations

import time
from collections.abc import Sequence

from redis.exceptions import RedisError

from asgi_redis.connection import (
    Attempt,
    BlockingPop,
    Server,
    Shard,
    Take,
    has_partly_moved,
    is_of_server,
    wait_for_first,
)
from asgi_redis.engine.counts import Counts
from asgi_redis.engine.receive_call import ReceiveCall
from asgi_redis.process import fork
from asgi_redis.process.wakeup import WakeupPipe
from asgi_redis.wire import Operation, ReceiveOperations, Taken, TakenMessages
from asgi_redis.wire.server import types

_QUEUE_TYPES = (b"zset", b"none")
_MOVING_SECONDS = 0.5  # that a shard is looked at, and not waited for, when it has shown to be on the move


class ShardSource:
    """The messages of one shard."""

    def __init__(self, shard: Shard, operations: ReceiveOperations, counts: Counts) -> None:
        self.shard = shard
        self.name = shard.name
        self.place = shard.place
        self._operations = operations
        self._counts = counts
        self._parts_of_pop = operations.parts_of_pop()
        self._probe = operations.probe()
        self._moves_until = 0.0

    def take(self, call: ReceiveCall, queues: Sequence[bytes], limit: int, limits: Sequence[int]) -> TakenMessages:
        """Take up to ``limit`` messages, of each queue no more than its limit."""
        one = limit == 1 and len(queues) == 1
        taken = self._take(call, queues, limit, limits, one)
        if one and taken.expired and not taken:
            # The script finds the first message behind all that have expired.
            behind = self._take(call, queues, limit, limits)
            queue = queues[0]
            behind.expired = {queue: taken.expired[queue] + behind.expired.get(queue, 0)}
            return behind
        return taken

    def _take(
        self, call: ReceiveCall, queues: Sequence[bytes], limit: int, limits: Sequence[int], one: bool = False
    ) -> TakenMessages:
        """Take messages where the shard is by now; ``one``: from a single queue."""
        attempt: Attempt | None = None
        while True:
            try:
                server = self._locate(call) if attempt is None else attempt.server
                if one and server.permissions.may_take:
                    operation = self._operations.take_one(queues[0])
                else:
                    operation = self._operations.receive(queues, limit, limits)
                return self._take_from(server, call, operation.asking() if attempt and attempt.asks else operation)
            except RedisError as error:
                if has_partly_moved(error) and len(queues) > 1:
                    return self._take_one_by_one(call, queues, limit, limits)
                is_over = time.monotonic() >= call.waits_until
                attempt = self.shard.next_attempt(error, is_over, attempt)
                attempt = attempt._replace(deadline=min(attempt.deadline, call.waits_until))

    def _locate(self, call: ReceiveCall) -> Server:
        """Return the server; at its first use a shard asks something there."""
        likely = self.shard.likely_server if call.policy.leaves_out else None
        if likely is None:
            return self.shard.server
        if likely in call.hanging:
            raise call.hanging[likely]
        try:
            return self.shard.server
        except RedisError as error:
            if is_of_server(error):
                call.hanging = {**call.hanging, likely: error}
            raise

    def _take_from(self, server: Server, call: ReceiveCall, operation: Operation) -> TakenMessages:
        if call.hanging and server in call.hanging:
            raise call.hanging[server]
        take = Take(self.shard, operation, self._requeue, call.generation, server)
        call.takes.append(take)
        try:
            taken = take.take(call.policy.leaves_out)
        except RedisError as error:
            if call.policy.leaves_out and is_of_server(error):
                call.hanging = {**call.hanging, server: error}
            raise
        assert isinstance(taken, TakenMessages)
        if operation.script is not None:
            server.permissions.may_take = True
        return taken

    def _take_one_by_one(
        self, call: ReceiveCall, queues: Sequence[bytes], limit: int, limits: Sequence[int]
    ) -> TakenMessages:
        """Take from one queue after the other, which are not all on one node."""
        taken, expired = TakenMessages(), dict[bytes, int]()
        quotas = limits if len(limits) == len(queues) else [*limits, limit][:1] * len(queues)
        for position, (queue, quota) in enumerate(zip(queues, quotas)):
            fair_share = -(-(limit - len(taken)) // (len(queues) - position))
            if fair_share <= 0:
                break
            try:
                some = self.take(call, [queue], min(quota, fair_share), ())
            except RedisError:
                if not taken:
                    raise
                break  # the messages that were taken must be returned; the next call meets the error again
            taken += some
            expired.update(some.expired)
        taken.expired = expired
        return taken

    def pop(self, call: ReceiveCall, queues: Sequence[bytes], timeout: float) -> BlockingPop:
        """Return a blocking pop, which is not started yet."""
        server = self.shard.known_server
        wake = b"" if server is None else server.permissions.wake()
        pop = BlockingPop(self.shard, self._operations.pop(queues, timeout, wake), self._requeue, call.generation)
        pop.is_ordered = bool(call.channels.process_local)
        call.takes.append(pop)
        return pop

    def _requeue(self, taken: Taken) -> Operation:
        """Return the request that puts a message back, and count it."""
        self._counts.add(taken.queue.decode(), "messages_requeued")
        return self._operations.requeue(taken)

    def can_wait(self) -> bool:
        """Return whether the user may wait here at present, and not only look."""
        server = self.shard.known_server
        if server is None:
            return True  # the wait shows why
        if not server.permissions.are_full:
            server.learn_permissions(self._parts_of_pop)
        return server.permissions.may_pop and (not self._moves_until or time.monotonic() >= self._moves_until)

    def refused(self, error: RedisError, fail_fast: bool) -> None:
        """
        Take note that a pop was refused. Raises ``error`` where another would be, too.

        A slot that moves has to be looked at: its messages come to the one node and to the other.
        """
        if has_partly_moved(error):
            self._moves_until = time.monotonic() + _MOVING_SECONDS
        else:
            self.shard.next_attempt(error, fail_fast)

    def probe(self) -> object:
        """Raise an error unless messages can be taken."""
        # A server that hangs is not waited for, where another may have taken over.
        return self.shard.execute(self._probe, fail_fast=self.shard.moves)

    def try_to_wait(self) -> None:
        """Begin and end a wait. Raises ``redis.exceptions.RedisError`` where that fails."""
        operation = self._operations.pop_nothing(self.shard.server.permissions.wake())
        pop = BlockingPop(self.shard, operation, self._requeue, fork.generation)
        for error in wait_for_first([pop], WakeupPipe(), 0, fail_fast=True).values():
            raise error

    def key(self, queue: bytes) -> bytes:
        return self._operations.key(queue)

    def wrong_types(self, queues: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the queues whose keys are none, with their types. Raises ``RedisError``."""
        found = zip(queues, self.shard.execute(types([*map(self.key, queues)]), fail_fast=True))
        return {queue: kind for queue, kind in found if kind not in _QUEUE_TYPES}

    def settle(self, deadline: float) -> bool:
        """Wait for late replies; return whether all are there by ``deadline``."""
        return self.shard.settle(deadline)
