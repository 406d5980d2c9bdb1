"""
Many operations in one round trip, each with its result, for many callers.

No request is ever sent twice, except a script that Redis says it has not run.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from redis.exceptions import AuthenticationError, NoScriptError, ResponseError

from asgi_redis.connection.redis_py import Unsent, read, write
from asgi_redis.connection.server import Server
from asgi_redis.exceptions import CallInterrupted
from asgi_redis.wire.operation import Operation

_EXPLAINED = (ResponseError, AuthenticationError)
_SMALL = 1 << 14  # bytes that fit into the buffer of a socket whose last request was answered


def begin(server: Server, operation: Operation) -> Any | None:
    """Send an operation if that takes no waiting; return the connection."""
    connection = server.checkout_warm() if len(operation.packed) <= _SMALL else None
    if connection is not None:
        try:
            write(connection, operation.packed)
        except Unsent as error:
            server.after_error(connection, error)
            return None  # connecting takes waiting
        except BaseException as error:
            server.after_error(connection, error)
            raise
    return connection


def pipeline_execute(server: Server, operations: Sequence[Operation], begun: Any | None = None) -> list[Any]:
    """
    Return the result or the ``Exception`` of each operation.

    ``begun`` is the connection on which the first of them was sent. Raises nothing. Redis may or may not have carried
    out an operation whose result is a ``ConnectionError`` or ``TimeoutError``.
    """
    try:
        connection = server.checkout() if begun is None else begun
    except BaseException as error:  # noqa: BLE001  the callers get it
        return each_its_own(as_exception(error), len(operations))
    outcomes: list[Any] = []
    try:
        if begun is None:
            server.send(connection, b"".join([operation.packed for operation in operations]))
        elif len(operations) > 1:
            write(connection, b"".join([operation.packed for operation in operations[1:]]))
        for operation in operations:
            outcomes.append(_read(connection, operation))
        again = [position for position, outcome in enumerate(outcomes) if isinstance(outcome, NoScriptError)]
        if again:
            _run_unknown_scripts(connection, operations, outcomes, again)
    except BaseException as interruption:  # noqa: BLE001  the callers get it
        server.after_error(connection, interruption)
        failure = as_exception(interruption)
        lost = [outcome if not isinstance(outcome, NoScriptError) else failure for outcome in outcomes]
        return _explain(server, lost + each_its_own(failure, len(operations) - len(lost)))
    explained = _explain(server, outcomes)
    refusals = list(filter(is_error, explained))
    if refusals:
        server.after_error(connection, next(filter(server.is_lost, refusals), refusals[0]))
        return [
            server.with_key(one, operation) if is_error(one) else one for one, operation in zip(explained, operations)
        ]
    server.release(connection)
    return explained


def each_its_own(error: Exception, number: int) -> list[Exception]:
    """Return copies of an error, so that each caller gets a separate traceback."""
    errors = [error]
    for _ in range(number - 1):
        try:
            own = copy.copy(error)
        except Exception:  # noqa: BLE001  its class may need anything to be made anew
            own = error
        own.__cause__ = error.__cause__
        errors.append(own)
    return errors[:number]


def as_exception(error: BaseException) -> Exception:
    """
    Return an error that can be handed to a caller in another thread.

    A future does not take StopIteration, and SystemExit would end the event loop of an innocent caller.
    """
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    interrupted = CallInterrupted(f"{type(error).__name__} was raised in a thread of the layer")
    interrupted.__cause__ = error
    return interrupted


def is_error(outcome: Any) -> bool:
    """Return whether an operation has failed: no result is an exception."""
    return isinstance(outcome, Exception)


def _read(connection: Any, operation: Operation) -> Any:
    """Return the result, or the error reply; raise when there is no reply."""
    try:
        reply = read(connection, operation.replies)
    except ResponseError as error:
        return error
    return operation.read(reply)


def _run_unknown_scripts(
    connection: Any, operations: Sequence[Operation], outcomes: list[Any], again: Sequence[int]
) -> None:
    """Ask again for the scripts that Redis has not run, with their texts."""
    write(connection, b"".join([operations[position].with_text() for position in again]))
    for position in again:
        outcomes[position] = _read(connection, operations[position])


def _explain(server: Server, outcomes: Sequence[Any]) -> list[Any]:
    return [server.explain(outcome) if isinstance(outcome, _EXPLAINED) else outcome for outcome in outcomes]
