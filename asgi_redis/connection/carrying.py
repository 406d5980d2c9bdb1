"""
How a call is carried out: it says step by step which requests to make, and gets the results.

The same steps serve every carrier: the blocking one in this file, and the one of the asynchronous layers.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeVar

from asgi_redis.connection.shard import Shard, execute_all
from asgi_redis.wire.operation import Operation

T = TypeVar("T")
Request = tuple[Shard, Operation]
Steps = Generator[list[Request], list[Any], T]
"""Yields requests to be made at once, is sent their results in the same order, and returns what the call returns."""


def carry(steps: Steps[T]) -> T:
    """Carries out a call with blocking requests, and returns what it returns."""
    try:
        requests = next(steps)
        while True:
            requests = steps.send(execute_all(requests))
    except StopIteration as ended:
        result: T = ended.value
        return result
