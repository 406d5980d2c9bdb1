"""
Sends as requests for one key each, while a slot of a Redis Cluster moves.

Meanwhile the keys of the slot are on two nodes. A node serves a request for one key, and says where else the key is;
it refuses a request for several keys, until the slot has moved as a whole: ``TRYAGAIN``. A queue is one key, so that
capacity and order stay exact; its counters are other keys, and these sends are not counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Callable

from asgi_redis.wire import scripts
from asgi_redis.wire.operation import Operation, command, run_script

_COMMON = 6  # of a group send, for all its queues; tails and capacities follow


def one_key_each(operation: Operation) -> list[Operation]:
    """Return the same sends without counters; nothing for a request that is none."""
    if operation.script is scripts.SEND:
        keys, arguments = operation.script_arguments()
        return [_send(scripts.SEND, keys[0], arguments, arguments[0], operation.read)]
    if operation.script is scripts.SEND_GROUP:
        keys, arguments = operation.script_arguments()
        queues = (len(keys) - 1) // 2
        tails, capacities = arguments[_COMMON : _COMMON + queues], arguments[_COMMON + queues :]
        capacities += [capacities[-1]] * (queues - len(capacities))
        parts = []
        for position, own in enumerate(zip(tails, capacities)):
            read = _read_group_part(position + 1)
            parts.append(_send(scripts.SEND_GROUP, keys[position], (*arguments[:_COMMON], *own), own[1], read))
        return parts
    return []


def read_parts(operation: Operation, results: Sequence[Any]) -> Any:
    """Return the result of ``operation`` from those of its ``one_key_each``."""
    if operation.script is scripts.SEND:
        return results[0]
    return operation.read([left_out for result in results for left_out in result])


def _send(
    script: scripts.Script, queue: bytes, arguments: Sequence[bytes], capacity: bytes, read: Callable[[Any], Any]
) -> Operation:
    # In the place of the counters the script finds a key of another type, which costs no message.
    if int(capacity):
        return run_script(script, (queue, queue, queue), arguments, read)
    # It may find none, and would make the counters there; such a queue is full without any message.
    full = 0 if script is scripts.SEND else [1]
    return Operation(command(b"EXISTS", queue), lambda _: read(full))


def _read_group_part(position: int) -> Callable[[list[Any]], list[Any]]:
    def read(left_out: list[Any]) -> list[Any]:
        return [position if isinstance(one, int) else [position, one[1]] for one in left_out]

    return read
