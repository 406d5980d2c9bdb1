"""The operations that take messages off queues, wait for them, and requeue them."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from asgi_redis.wire import scripts
from asgi_redis.wire.expiry import is_expired
from asgi_redis.wire.keys import Keys
from asgi_redis.wire.operation import Operation, command, milliseconds, number, run_script

_FEW_KEYS = 16  # requests for so many queues are cached: readers have the same ones again and again
_CACHED = 256  # requests
_WAKE_MILLISECONDS = b"9000"  # how long an entry that ends a wait outlives that


class Taken(NamedTuple):
    """A message that was taken off its queue, which has a name. ``age`` is in seconds."""

    queue: bytes
    member: bytes
    age: float
    score: bytes


class TakenMessages(list[Taken]):
    """The messages of one receive, and how many it has dropped, by their queues."""

    expired: Mapping[bytes, int] = {}


class ReceiveOperations:
    """Makes the operations of one layer or shard, whose ``expiry`` is in seconds."""

    def __init__(self, keys: Keys, expiry: float) -> None:
        self._keys = keys
        self._expiry = expiry
        self._expiry_argument = number(expiry)
        self._ttl = milliseconds(expiry)
        self._receive_of_few = functools.lru_cache(maxsize=_CACHED)(self._make_receive)
        self.take_one: Callable[[bytes], Operation] = functools.lru_cache(maxsize=_CACHED)(self._make_take_one)
        """
        Makes a request for the oldest message of a queue; others may wait behind an expired one.

        A user must be known to be allowed ``receive``: were ``TIME`` forbidden alone, it would take a message and
        then fail. It reads as ``TakenMessages``, and costs Redis a half to a third of that: scripts copy messages.
        """
        self._pop_of_few = functools.lru_cache(maxsize=_CACHED)(self._make_pop)

    def key(self, queue: bytes) -> bytes:
        """Return the key of a queue."""
        return self._keys.queue(queue)

    def receive(self, queues: Sequence[bytes], limit: int, limits: Sequence[int] = ()) -> Operation:
        """
        Take up to ``limit`` messages, and no more than ``limits`` (from 1 on) of each.

        A single number in ``limits`` is for all. Takes one message at least, but stops at ``MAX_SCRIPT_BYTES``,
        however much waits behind them. Reads as ``TakenMessages``.
        """
        if limits or len(queues) > _FEW_KEYS:
            return self._make_receive(queues, limit, limits)
        return self._receive_of_few(tuple(queues), limit)

    def _make_receive(self, queues: Sequence[bytes], limit: int, limits: Sequence[int] = ()) -> Operation:
        arguments = [self._expiry_argument, b"%d" % limit]
        arguments += [b"%d" % number for number in limits]
        return run_script(scripts.RECEIVE, map(self._keys.queue, queues), arguments, self._read_receive)

    def _read_receive(self, reply: list[Any]) -> TakenMessages:
        end, skip = 1 + 4 * reply[0], self._keys.prefix_length
        taken = TakenMessages(
            [Taken(reply[i][skip:], reply[i + 1], reply[i + 2] / 1000000, reply[i + 3]) for i in range(1, end, 4)]
        )
        if len(reply) > end:
            taken.expired = dict(zip(map(self._keys.queue_name, reply[end::2]), reply[end + 1 :: 2]))
        return taken

    def _make_take_one(self, queue: bytes) -> Operation:
        packed = command(b"ZPOPMIN", self._keys.queue(queue)) + command(b"TIME")
        return Operation(packed, functools.partial(self._read_take_one, queue), 2)

    def _read_take_one(self, queue: bytes, replies: list[Any]) -> TakenMessages:
        popped, time = replies
        if not popped:
            return TakenMessages()
        taken = _taken(queue, *popped, *time)
        if not is_expired(taken.age, self._expiry):
            return TakenMessages((taken,))
        none = TakenMessages()
        none.expired = {queue: 1}
        return none

    def probe(self) -> Operation:
        """Fails where messages cannot be taken. No channel has the name of its queue."""
        return Operation(command(b"ZPOPMIN", self._keys.queue(b":probe")), bool)

    def pop(self, queues: Sequence[bytes], timeout: float, wake: bytes = b"") -> Operation:
        """
        Wait ``timeout`` seconds or a little longer. Reads as a ``Taken`` or None.

        The ``TIME`` behind it tells the server's clock when the message was taken. The timeout is rounded up to a
        whole number, which is all that Redis 5 takes; 0 would be none at all.

        With ``wake``, a name that is in no other use, it also waits for an entry of a queue with that name, by which
        it can be ended: for users who may not use ``unblock``.
        """
        seconds = max(1, math.ceil(timeout))
        if wake or len(queues) > _FEW_KEYS:
            return self._make_pop(queues, seconds, wake)
        return self._pop_of_few(tuple(queues), seconds)

    def _make_pop(self, queues: Sequence[bytes], seconds: int, wake: bytes = b"") -> Operation:
        keys = [*map(self._keys.queue, queues)]
        if wake:
            keys.append(self._keys.wake(wake))
        packed = command(b"BZPOPMIN", *keys, b"%d" % seconds) + command(b"TIME")
        if not wake:
            return Operation(packed, functools.partial(_read_pop, self._keys), 2)
        read = functools.partial(_read_wakeable_pop, self._keys, keys[-1])
        return Operation(packed, read, 2, None, _requeue(keys[-1], b"", b"0", _WAKE_MILLISECONDS))

    def pop_nothing(self, wake: bytes = b"") -> Operation:
        """Waits in vain: no channel has the name of its queue."""
        return self.pop([b":probe"], 1, wake)

    def parts_of_pop(self) -> list[Operation]:
        """
        Return the commands of ``pop``, without its waiting, to test permissions with.

        Were the second forbidden alone, ``pop`` would take a message and then fail.
        """
        return [
            Operation(command(b"BZPOPMIN", self._keys.queue(b":probe"), b"-"), bool),
            Operation(command(b"TIME"), tuple),
        ]

    def is_expired(self, taken: Taken) -> bool:
        """Return whether a message of ``pop`` had expired when it was taken."""
        return is_expired(taken.age, self._expiry)

    def requeue(self, taken: Taken) -> Operation:
        """Put a message that was taken back in its place."""
        return _requeue(self._keys.queue(taken.queue), taken.member, taken.score, self._ttl)


def _requeue(key: bytes, member: bytes, score: bytes, ttl: bytes) -> Operation:
    return run_script(scripts.REQUEUE, (key,), (member, score, ttl))


def _read_pop(keys: Keys, replies: list[Any]) -> Taken | None:
    popped, time = replies
    if popped is None:
        return None
    key, member, score = popped
    return _taken(keys.queue_name(key), member, score, *time)


def _taken(queue: bytes, member: bytes, score: bytes | float, seconds: bytes, microseconds: bytes) -> Taken:
    now = int(seconds) + int(microseconds) / 1000000
    # RESP 3 has numbers for scores.
    return Taken(queue, member, now - float(score), score if isinstance(score, bytes) else number(score))


def _read_wakeable_pop(keys: Keys, wake: bytes, replies: list[Any]) -> Taken | None:
    popped = replies[0]
    return None if popped is not None and popped[0] == wake else _read_pop(keys, replies)
