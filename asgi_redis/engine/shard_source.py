"""One Redis server as a source of messages."""

from __future__ import annotations

from collections.abc import Sequence

from asgi_redis.connection import BlockingPop, Shard, Take, wait_for_first
from asgi_redis.engine.receive_call import ReceiveCall
from asgi_redis.process import fork
from asgi_redis.process.wakeup import WakeupPipe
from asgi_redis.wire import ReceiveOperations, TakenMessages
from asgi_redis.wire.server import types

_QUEUE_TYPES = (b"zset", b"none")


class ShardSource:
    """The messages of one shard."""

    def __init__(self, shard: Shard, operations: ReceiveOperations) -> None:
        self.shard = shard
        self.name = shard.host
        self._operations = operations
        self._parts_of_pop = operations.parts_of_pop()
        self._probe = operations.probe()

    def take(self, call: ReceiveCall, keys: Sequence[bytes], limit: int, limits: Sequence[int]) -> TakenMessages:
        """Take up to ``limit`` messages, of each queue no more than its limit."""
        operations = self._operations
        take = Take(self.shard, operations.receive(keys, limit, limits), operations.requeue, call.generation)
        call.takes.append(take)
        taken = take.take(call.policy.leaves_out)
        assert isinstance(taken, TakenMessages)
        return taken

    def pop(self, call: ReceiveCall, keys: Sequence[bytes], timeout: float) -> BlockingPop:
        """Return a blocking pop, which is not started yet."""
        operations = self._operations
        operation = operations.pop(keys, timeout, self.shard.permissions.wake())
        pop = BlockingPop(self.shard, operation, operations.requeue, call.generation)
        call.takes.append(pop)
        return pop

    def can_wait(self) -> bool:
        """Return whether the user may wait here, and not only look."""
        permissions = self.shard.permissions
        if not permissions.are_full:
            self.shard.learn_permissions(self._parts_of_pop)
        return permissions.may_pop

    def probe(self) -> object:
        """Raise an error unless messages can be taken."""
        return self.shard.execute(self._probe)

    def try_to_wait(self) -> None:
        """Begin and end a wait. Raises ``redis.exceptions.RedisError`` where that fails."""
        operation = self._operations.pop_nothing(self.shard.permissions.wake())
        pop = BlockingPop(self.shard, operation, self._operations.requeue, fork.generation)
        for error in wait_for_first([pop], WakeupPipe(), 0, fail_fast=True).values():
            raise error

    def wrong_types(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the keys that are no queues, with their types. Raises ``RedisError``."""
        found = zip(keys, self.shard.execute(types(keys), fail_fast=True))
        return {key: kind for key, kind in found if kind not in _QUEUE_TYPES}

    def settle(self, deadline: float) -> bool:
        """Wait for late replies; return whether all are there by ``deadline``."""
        return self.shard.background_replies.settle(deadline)
