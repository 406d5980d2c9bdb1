"""How a layer receives: looks, waits, unpacks, and keeps what is for several readers of this process."""

from __future__ import annotations

import functools
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

from redis.exceptions import RedisError

from asgi_redis import process
from asgi_redis.base import BaseChannelLayer
from asgi_redis.connection import Shard, Waiter, pop, put_back_all
from asgi_redis.connection.blocking import Readable
from asgi_redis.exceptions import InvalidName, UnsupportedRedis
from asgi_redis.kept import KeptMessages
from asgi_redis.serializers import Serializer
from asgi_redis.wire import Keys, Operations, Reading, Taken, Unpacker

logger = logging.getLogger("asgi_redis")

_NEARLY = 0.01  # seconds that a wait may be short of a whole number
_LONGEST_WAIT = 60.0  # seconds, for a connection to be given back: it may be to be replaced
_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 0.25  # seconds between two looks at a server where one may not wait
_LATE = 0.5  # seconds that Redis may be late; it looks ten times a second

Batch = list[tuple[str, dict[str, Any]]]
Turn = list[tuple[int, list[bytes]]]


class Attendant(Protocol):
    """Somebody who receives from the shards that serve messages, and sees after those that fail."""

    @property
    def absent(self) -> Collection[int]:
        """The shards, and what is beside them, to leave out."""

    def readable(self, turn: Turn) -> Turn:
        """Returns what of the shards and their keys can be read at present."""

    @property
    def woken(self) -> bool:
        """Whether to return at once, with what is there."""

    waiter: Waiter | None
    """What ends the wait that is going on."""

    def failed(self, shard: int, error: Exception, keys: Sequence[bytes] = (), waiting: bool = False) -> None:
        """Reading ``keys``, or waiting for them, has failed: from now on a shard, or some of them, cannot be read."""

    def served(self, shard: int, waiting: bool = False) -> None:
        """A shard has answered; ``waiting``: to a wait."""


class Companion(Protocol):
    """Another place with messages, which is looked into and waited for together with the shards."""

    def take(self, limit: int) -> Batch:
        """Returns up to ``limit`` of the messages that are there."""

    def listen(self) -> Sequence[Readable]:
        """Returns what becomes readable when there may be more; to be called before looking a last time."""


class Receiver:
    """The reading side of one layer; ``rules`` knows its names."""

    def __init__(
        self,
        shards: Sequence[Shard],
        keys: Keys,
        operations: Operations,
        serializer: Serializer,
        rules: BaseChannelLayer,
    ) -> None:
        self._shards = shards
        self._keys = keys
        self._operations = operations
        self._unpack = Unpacker(keys, serializer.deserialize)
        self._rules = rules
        self._expiry = rules.expiry
        self._pop_is_allowed = operations.pop_is_allowed()
        self._reading = functools.lru_cache(maxsize=1024)(self._make_reading)
        self.start_process()
        process.register(self)

    def start_process(self) -> None:
        """Sets up what a process must not share with the one that it was forked from."""
        self._kept = KeptMessages()
        self._waiters: set[Waiter] = set()
        self._idle_waiters: deque[Waiter] = deque(maxlen=100)
        self._unblocked = 0
        self._count_lock = threading.Lock()
        self.undecodable_count = 0

    def receive(
        self,
        channels: tuple[str, ...],
        limit: int,
        timeout: float,
        most: Mapping[str, int] | None = None,
        attendant: Attendant | None = None,
        companion: Companion | None = None,
    ) -> Batch:
        """
        Returns up to ``limit`` (channel, message) tuples of ``channels``; waits ``timeout`` seconds for one.

        ``most`` are lower limits of single channels, at least 1. With an ``attendant``, the errors of a shard are
        its business. With a ``companion``, returns what that has when there is nothing in ``channels``, which then
        may be none at all.
        """
        process.check()
        try:
            reading = self._reading(channels)
        except InvalidName:
            raise
        except TypeError:
            reading = self._make_reading(channels)  # a name that cannot even be looked up is shown, too
        deadline = time.monotonic() + timeout
        unblocked = self._unblocked
        # Waiting takes a message that is there just as well as looking. But on several shards it would take one
        # from each, and it takes no more than one.
        look = timeout <= 0 or limit > 1 or reading.shards > 1 or companion is not None
        pause = _FIRST_PAUSE
        while True:
            turn = list(reading.turn()) if channels else []
            if attendant is not None:
                turn = attendant.readable(turn)
            received = self._kept.take(reading.names, limit)
            if not received and look:
                try:
                    taken = self._take(turn, limit, most, attendant)
                except RedisError:
                    received = companion.take(limit) if companion is not None else []
                    if not received:
                        raise
                    return received
                received = self._unpack_all(taken, limit)
                if taken and not received:
                    continue
                if companion is not None and not received:
                    received = companion.take(limit)
            remaining = deadline - time.monotonic()
            if received or remaining <= 0 or self._is_ended(unblocked, attendant):
                return received
            waiting = self._can_wait(turn)
            if len(waiting) < len(turn):
                look, remaining, pause = True, min(remaining, pause), min(pause * 2, _LONGEST_PAUSE)
            waiter = self._waiter()
            self._waiters.add(waiter)
            if attendant is not None:
                attendant.waiter = waiter
            try:
                # What another thread did before it could see this waiter has to be seen now.
                received = self._kept.take(reading.names, limit)
                beside: Sequence[Readable] = ()
                if companion is not None and not received:
                    beside = companion.listen()
                    received = companion.take(limit)
                stop = received or self._is_ended(unblocked, attendant)
                one = None if stop else self._wait(waiting, remaining, waiter, attendant, beside)
            finally:
                if attendant is not None:
                    attendant.waiter = None
                self._waiters.discard(waiter)
                self._idle_waiters.append(waiter)
            if one is not None and self._operations.is_expired(one):
                look = True  # there may be more of them
            elif one is not None:
                received = self._unpack_all([one], limit)
            elif companion is not None and not received:
                received = companion.take(limit)
            if received:
                return received

    def _is_ended(self, unblocked: int, attendant: Attendant | None) -> bool:
        return self._unblocked != unblocked or (attendant is not None and attendant.woken)

    def wake(self) -> None:
        """Lets all that wait look again whether they are to go on waiting."""
        process.check()
        for waiter in list(self._waiters):
            waiter.wake()

    def unblock(self) -> None:
        """Ends what this process waits for, as if the time had run out."""
        process.check()
        self._unblocked += 1
        self.wake()

    def keep(self, channel: str, message: dict[str, Any]) -> None:
        """Keeps a message that nobody took for the next reader of its channel."""
        process.check()
        before, mark, _ = channel.partition("!")
        self._kept.put(before + mark, [channel], message, self._expiry)
        self.wake()

    def forget_kept(self) -> None:
        """Drops what was kept."""
        self._kept = KeptMessages()

    def _make_reading(self, channels: tuple[str, ...]) -> Reading:
        for channel in channels:
            self._rules.valid_channel_name(channel, receive=True)
        return Reading(channels, self._keys, len(self._shards))

    def _take(
        self, turn: Turn, limit: int, most: Mapping[str, int] | None, attendant: Attendant | None
    ) -> list[Taken]:
        taken: list[Taken] = []
        try:
            self._take_into(taken, turn, limit, most, attendant)
        except BaseException:
            for channel, message in self._unpack_all(taken, limit):
                self.keep(channel, message)
            raise
        return taken

    def _take_into(
        self,
        taken: list[Taken],
        turn: Turn,
        limit: int,
        most: Mapping[str, int] | None,
        attendant: Attendant | None,
    ) -> None:
        left = {self._keys.queue(name.encode()): number for name, number in (most or {}).items()}
        for shard, keys in turn:
            room = limit - len(taken)
            limits: list[int] = []
            if left:
                keys = [key for key in keys if left.get(key, 1) > 0]
                limits = [left.get(key, room) for key in keys]
            operation = self._operations.receive(keys, room, limits)
            try:
                late = None if attendant is None else functools.partial(self._put_back, shard)
                latest = self._shards[shard].execute(operation, rescue=taken.extend, late=late)
            except (RedisError, UnsupportedRedis) as error:
                if attendant is not None and isinstance(error, RedisError):
                    attendant.failed(shard, error, keys)
                    continue
                if not taken:
                    raise
                break  # what was taken must be handed out; the next call comes upon the error again
            taken += latest
            for one in latest if left else ():
                if one.key in left:
                    left[one.key] -= 1
            if attendant is not None:
                attendant.served(shard)
            if len(taken) >= limit:
                break

    def _can_wait(self, turn: Turn) -> Turn:
        """Returns the shards of ``turn`` where the user may wait; others have to be looked at again and again."""
        for shard, _ in turn:
            self._shards[shard].permissions.learn(self._shards[shard], self._pop_is_allowed)
        return [one for one in turn if self._shards[one[0]].permissions.may_pop]

    def _wait(
        self,
        turn: Turn,
        timeout: float,
        waiter: Waiter,
        attendant: Attendant | None,
        beside: Sequence[Readable],
    ) -> Taken | None:
        timeout = min(timeout, _LONGEST_WAIT)
        requests = [
            (self._shards[shard], self._operations.pop(keys, timeout, self._shards[shard].permissions.wake()))
            for shard, keys in turn
        ]
        # Redis counts whole seconds. It ends those itself, which saves waking up to do it; others it ends too late.
        whole = math.ceil(timeout)
        patience = whole + _LATE if requests and whole - timeout < _NEARLY else timeout
        if attendant is None:
            return pop(requests, patience, waiter, self._operations.give_back, None, beside)
        failed: set[int] = set()
        report = functools.partial(self._report, attendant, turn, failed)
        taken = pop(requests, patience, waiter, self._operations.give_back, report, beside)
        for shard, _ in turn:
            if shard not in failed:
                attendant.served(shard, waiting=True)
        return taken

    def try_to_wait(self, shard: int) -> None:
        """Begins and ends a wait for what never comes. Raises ``redis.exceptions.RedisError`` where that fails."""
        errors: list[RedisError] = []
        one = self._shards[shard]
        operation = self._operations.pop_nothing(one.permissions.wake())
        pop([(one, operation)], 0, Waiter(), self._operations.give_back, lambda _, error: errors.append(error))
        if errors:
            raise errors[0]

    def _report(self, attendant: Attendant, turn: Turn, failed: set[int], shard: Shard, error: RedisError) -> None:
        number = self._shards.index(shard)
        failed.add(number)
        attendant.failed(number, error, dict(turn)[number], waiting=True)

    def _put_back(self, shard: int, taken: Sequence[Taken]) -> None:
        put_back_all([(self._shards[shard], one) for one in taken], self._operations.give_back)

    def _waiter(self) -> Waiter:
        try:
            return self._idle_waiters.pop()
        except IndexError:
            return Waiter()

    def _unpack_all(self, taken: Sequence[Taken], limit: int) -> Batch:
        received: Batch = []
        shared = False
        for position, one in enumerate(taken, 1):
            try:
                queue, channels, message = self._unpack(one)
            except Exception as error:  # noqa: BLE001  a serialiser may raise anything; no reader may die of it
                self._drop(one, error)
                continue
            received.append((channels[0], message))
            if len(channels) > 1:
                shared = True
                self._kept.put(queue, channels[1:], message, self._expiry - one.age)
                received += self._kept.take([queue], limit - len(received) - len(taken[position:]))
        if shared and self._kept:
            self.wake()  # another thread may be waiting for it
        return received

    def _drop(self, taken: Taken, error: Exception) -> None:
        with self._count_lock:
            self.undecodable_count += 1
        # An error's text may repeat the content, which stays out of the log.
        logger.warning(
            "Dropped a message on channel %s that cannot be decoded: %s",
            self._keys.queue_name(taken.key),
            type(error).__name__,
        )
