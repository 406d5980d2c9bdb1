"""
The blocking runner of plans.

A plan is a call as a generator: it yields requests and is sent their results. The asynchronous layers have a runner
for the same plans: ``asgi_redis.aio.runner``.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, TypeVar

from redis.exceptions import RedisError

from asgi_redis.connection.errors import note_partly_sent
from asgi_redis.connection.shard import Shard
from asgi_redis.exceptions import UnsupportedRedis
from asgi_redis.process import fork
from asgi_redis.wire.operation import Operation

T = TypeVar("T")
Request = tuple[Shard, Operation]
Plan = Generator[list[Request], list[Any], T]
"""
Yields requests to be made at once, is sent their results in the same order, and returns what the call returns.

A ``RedisError`` of the requests is thrown into it, which it may note, and has to raise.
"""


def run_plan(plan: Plan[T]) -> T:
    """Run a plan with blocking requests, and return its result."""
    generation = fork.check()
    executed = 0
    requests: Sequence[Request] = ()
    try:
        requests = next(plan)
        while True:
            if fork.generation != generation:
                raise fork.forked()
            try:
                results = execute_on_shards(requests)
            except RedisError as error:
                plan.throw(error)
                raise
            executed += 1
            requests = plan.send(results)
    except RedisError as error:
        if executed or len(requests) > 1:
            note_partly_sent(error)
        raise
    except StopIteration as ended:
        result: T = ended.value
        return result


def execute_on_shards(requests: Sequence[tuple[Shard, Operation]]) -> list[Any]:
    """Return the results of all, or raise the first error when all have answered."""
    if len(requests) == 1:
        shard, operation = requests[0]
        return [shard.execute(operation)]
    errors: list[BaseException] = []
    sent: list[tuple[Shard, Operation, Any]] = []
    results: list[Any] = []
    for shard, operation in requests:
        connection = None
        try:
            connection = shard.checkout()
            shard.send(connection, operation.packed)
        except (RedisError, UnsupportedRedis) as error:
            if connection is not None:
                shard.after_error(connection, error)
            errors.append(error)
        else:
            sent.append((shard, operation, connection))
    for shard, operation, connection in sent:
        try:
            results.append(operation.read(shard.read(connection, operation)))
        except (RedisError, UnsupportedRedis) as error:
            shard.after_error(connection, error)
            errors.append(shard.with_key(error, operation))
        else:
            shard.release(connection)
    if errors:
        raise errors[0]
    return results
