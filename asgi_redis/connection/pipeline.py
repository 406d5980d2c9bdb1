"""Many operations in one round trip, for a caller that waits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from asgi_redis.connection.round_trip import RoundTrip, as_exception, each_its_own
from asgi_redis.connection.server import Server
from asgi_redis.wire.operation import Operation


def pipeline_execute(server: Server, operations: Sequence[Operation]) -> list[Any]:
    """
    Return the result or the ``Exception`` of each operation.

    Raises nothing. Redis may or may not have carried out an operation whose result is a ``ConnectionError`` or
    ``TimeoutError``.
    """
    try:
        connection = server.checkout()
    except BaseException as error:  # noqa: BLE001  the callers get it
        return each_its_own(as_exception(error), len(operations))
    return RoundTrip(server, connection, operations).finish()
