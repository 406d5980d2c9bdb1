"""
Counters of events that are rare, such as a message that cannot be decoded.

They are apart from the states of queues, which are written with each message.
"""

from __future__ import annotations

from asgi_redis.engine.stores.lmdb.environment import Environment
from asgi_redis.engine.stores.lmdb.records import EVENTS, FIRST_EVENTS, Txn
from asgi_redis.engine.stores.store import KEPT_SECONDS, TOTAL_KEPT_SECONDS, Counters
from asgi_redis.wire.message import COUNTERS, Counter


def add(environment: Environment, txn: Txn, at: float, queue: str, counter: Counter, number: int) -> None:
    """Add to a counter of a queue and of all, as ``Store.count`` says."""
    environment.data.keep_spare()
    place = COUNTERS.index(counter)
    for name in ("", queue) if queue and "?" not in queue else ("",):
        counts = [*counted(txn, name, at)]
        counts[place] += number
        txn.put(_key(name), EVENTS.pack(*counts, at))


def counted(txn: Txn, queue: str, at: float) -> Counters:
    """Return the events of a queue; of all queues where it is empty."""
    key = _key(queue)
    value = txn.get(key)
    return Counters() if value is None or is_old(key, value, at) else Counters(*EVENTS.unpack(value)[:-1])


def is_old(key: bytes, value: bytes, at: float) -> bool:
    """Return whether a record of events is no longer kept."""
    return bool(at - EVENTS.unpack(value)[-1] > (TOTAL_KEPT_SECONDS if key == FIRST_EVENTS else KEPT_SECONDS))


def _key(queue: str) -> bytes:
    return FIRST_EVENTS + queue.encode()
