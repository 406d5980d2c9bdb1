"""
The blocking runner of plans.

A plan is a call as a generator: it yields requests and is sent their results. The asynchronous layers have a runner
for the same plans: ``asgi_redis.aio.runner``.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from typing import Any, TypeVar

from redis.exceptions import RedisError

from asgi_redis.connection.errors import note_partly_sent
from asgi_redis.connection.server import Server
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


def execute_on_shards(requests: Sequence[Request]) -> list[Any]:
    """Return the results of all, or raise the first error when all have answered."""
    if len(requests) == 1:
        shard, operation = requests[0]
        return [shard.execute(operation)]
    outcomes = _execute_once(requests)
    errors: list[BaseException] = []
    for position, outcome in enumerate(outcomes):
        if isinstance(outcome, RedisError):
            shard, operation = requests[position]
            try:
                # The first to fail has waited long enough for all.
                outcomes[position] = shard.retry(operation, outcome, fail_fast=bool(errors))
            except (RedisError, UnsupportedRedis) as error:
                errors.append(error)
        elif isinstance(outcome, UnsupportedRedis):
            errors.append(outcome)
    if errors:
        raise errors[0]
    return outcomes


def _execute_once(requests: Sequence[Request]) -> list[Any]:
    """Return the result or the error of each."""
    outcomes: list[Any] = [None] * len(requests)
    sent: dict[int, tuple[Server, Any]] = {}
    for position, (shard, operation) in enumerate(requests):
        connection = None
        try:
            server = shard.server
            if server.host.limits.max_connections < math.inf:
                # Two calls that hold connections and want others would wait for each other.
                _read(requests, [held for held, (other, _) in sent.items() if other is server], sent, outcomes)
            connection = server.checkout()
            server.send(connection, operation.packed)
        except (RedisError, UnsupportedRedis) as error:
            if connection is not None:
                server.after_error(connection, error)
            outcomes[position] = error
        else:
            sent[position] = server, connection
    _read(requests, list(sent), sent, outcomes)
    return outcomes


def _read(
    requests: Sequence[Request], positions: Sequence[int], sent: dict[int, tuple[Server, Any]], outcomes: list[Any]
) -> None:
    """Read the replies to some of the requests, and take these out of ``sent``."""
    for position in positions:
        operation, (server, connection) = requests[position][1], sent.pop(position)
        try:
            outcomes[position] = operation.read(server.read(connection, operation))
        except (RedisError, UnsupportedRedis) as error:
            server.after_error(connection, error)
            outcomes[position] = server.with_key(error, operation)
        else:
            server.release(connection)
