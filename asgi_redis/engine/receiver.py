"""How a layer receives: looks, waits, unpacks, and keeps what is for several readers of this process."""

from __future__ import annotations

import functools
import logging
import math
import time
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from redis.exceptions import RedisError

from asgi_redis.connection import Hand, Look, Shard, pop
from asgi_redis.connection.blocking_pop import Readable
from asgi_redis.engine.caches import ChannelSets
from asgi_redis.engine.codec import MessageDecoder
from asgi_redis.engine.dropped import FLOOD_SECONDS, DroppedMessages, ExpiredMessages
from asgi_redis.engine.fanout import FanOutBuffer, SharedMessage
from asgi_redis.engine.limits import ReceiveLimits
from asgi_redis.engine.receive_order import Asks
from asgi_redis.engine.receive_request import Batch, FailurePolicy, ReceiveCall, Source, Turn
from asgi_redis.exceptions import UnsupportedRedis
from asgi_redis.layers.base import BaseChannelLayer
from asgi_redis.process import fork
from asgi_redis.process.wakeup import WakeupPipe
from asgi_redis.wire import ChannelSet, Keys, ReceiveOperations, Taken, Unpacker
from asgi_redis.wire.server import ping

logger = logging.getLogger("asgi_redis")

_NAMES = 4096  # the latest ones that were right
_NEARLY = 0.01  # seconds that a wait may be short of a whole number
_LONGEST_WAIT = 60.0  # seconds, for a connection to be given back: it may be to be replaced
_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 0.25  # seconds between two looks at a server where one may not wait
_LATE = 0.5  # seconds that Redis may be late; it looks ten times a second
_PING = ping()


class Receiver:
    """The reading side of one layer; ``rules`` knows its names."""

    def __init__(
        self,
        shards: Sequence[Shard],
        keys: Keys,
        operations: ReceiveOperations,
        decoder: MessageDecoder,
        rules: BaseChannelLayer,
    ) -> None:
        self._shards = shards
        self._keys = keys
        self._operations = operations
        self._decoder = decoder
        self._unpack = Unpacker(keys, decoder.payload, decoder.decode, decoder.encode)
        self._rules = rules
        self._expiry = rules.expiry
        self._parts_of_pop = operations.parts_of_pop()
        self._reading = ChannelSets(self._make_reading)
        # Sets of channels change by one name at a time, where there are many.
        self._check_name = functools.lru_cache(maxsize=_NAMES)(
            functools.partial(rules.valid_channel_name, receive=True)
        )
        self._crowded_out = DroppedMessages("that its group's members have not received in time")
        self.start_process()
        fork.register(self)

    def start_process(self) -> None:
        """Sets up what a process must not share with the one that it was forked from."""
        self._expired = ExpiredMessages()
        self.clear_buffer()
        self._waiters: set[WakeupPipe] = set()
        self._idle_waiters: deque[WakeupPipe] = deque(maxlen=100)
        self._unblocked = 0
        self._asks = Asks(self._idle_waiters)

    def receive(
        self,
        channels: tuple[str, ...],
        limit: int,
        timeout: float,
        limits: Mapping[str, int] | None = None,
        policy: FailurePolicy | None = None,
        source: Source | None = None,
        shared: bool = False,
    ) -> Batch:
        """
        Returns up to ``limit`` (channel, message) tuples of ``channels``; waits ``timeout`` seconds for one.

        ``limits`` are lower limits of single channels; 0 leaves one out. With a ``policy``, errors of a shard are
        its business. With a ``source``, returns what that has when there is nothing in ``channels``, which then
        may be none at all. With ``shared``, messages that are for several channels come as they are kept.

        Until it returns, an exception from anywhere puts back what it has taken.
        """
        fork.check()
        call = ReceiveCall(self._reading(channels), limit, limits, policy, source, shared)
        try:
            received = self._receive(call, timeout)
            call.check()
            return received
        except BaseException:
            self._asks.end(call)
            self._buffer.requeue(call.shares)
            call.requeue()
            raise

    def _receive(self, call: ReceiveCall, timeout: float) -> Batch:
        started = time.monotonic()
        deadline = started + timeout
        unblocked = self._unblocked
        reading, source = call.reading, call.source
        # Waiting takes a message that is there just as well as looking. But on several shards it would take one
        # from each, and it takes no more than one.
        look = timeout <= 0 or call.limit > 1 or reading.shards > 1 or source is not None
        pause = _FIRST_PAUSE
        while True:
            turn = reading.turn() if reading.names else []
            if call.full:
                turn = self._without(turn, call.full)
            if call.policy is not None:
                turn = call.policy.readable(turn)
            received = self._take_buffered(call, call.limit)
            if not received and look:
                received, dropped = self._look(call, turn)
                if (
                    dropped
                    and time.monotonic() < max(deadline, started + FLOOD_SECONDS)
                    and not self._is_ended(unblocked, call)
                ):
                    call.let_go()
                    continue
            remaining = deadline - time.monotonic()
            if received or remaining <= 0 or self._is_ended(unblocked, call):
                return received
            waiting = self._can_wait(turn)
            if len(waiting) < len(turn):
                look, remaining, pause = True, min(remaining, pause), min(pause * 2, _LONGEST_PAUSE)
            waiter = self._waiter()
            self._waiters.add(waiter)
            if call.policy is not None:
                call.policy.waiter = waiter
            try:
                # What another thread did before it could see this waiter has to be seen now.
                received = self._take_buffered(call, call.limit)
                beside: Sequence[Readable] = ()
                if source is not None and not received:
                    beside = source.listen()
                    received = source.take(call.limit)
                stop = received or self._is_ended(unblocked, call)
                if not stop:
                    self._asks.begin(call)
                one = None if stop else self._wait(call, waiting, remaining, waiter, beside)
            finally:
                if call.policy is not None:
                    call.policy.waiter = None
                self._waiters.discard(waiter)
                self._idle_waiters.append(waiter)
            if one is None:
                self._asks.end(call)
            if one is not None and self._operations.is_expired(one):
                look = True  # there may be more of them
                for request in call.requests:
                    if request.taken:
                        self._count_expired(request.shard, {one.key: 1})
            elif one is not None:
                received = self._unpack_all(call)
            elif source is not None and not received:
                received = source.take(call.limit)
            if received:
                return received
            self._asks.end(call)
            call.let_go()

    def _without(self, turn: Turn, full: Collection[str]) -> Turn:
        left_out = {self._keys.queue(name.encode()) for name in full}
        turn = [(shard, [key for key in keys if key not in left_out]) for shard, keys in turn]
        return [one for one in turn if one[1]]

    def _is_ended(self, unblocked: int, call: ReceiveCall) -> bool:
        return self._unblocked != unblocked or (call.policy is not None and call.policy.woken)

    def wake(self) -> None:
        """Lets all that wait look again whether they are to go on waiting."""
        fork.check()
        for waiter in list(self._waiters):
            waiter.wake()

    def unblock(self) -> None:
        """Ends what this process waits for, as if the time had run out."""
        fork.check()
        self._unblocked += 1
        self.wake()

    def buffer(self, channel: str, message: dict[str, Any]) -> None:
        """Keeps a message that nobody took for the next reader of its channel."""
        fork.check()
        queue = self._rules.non_local_name(channel)
        self._buffer.put(queue, [channel], message, self._expiry)
        self.wake()

    def clear_buffer(self) -> None:
        """Drops what was kept."""
        why = "more than the process holds"
        self._buffer = FanOutBuffer(lambda queue, number: self._crowded_out.add(queue, why, number))

    def _make_reading(self, channels: tuple[str, ...]) -> ChannelSet:
        for channel in channels:
            if isinstance(channel, str):
                self._check_name(channel)
            else:
                self._rules.valid_channel_name(channel, receive=True)
        return ChannelSet(channels, self._keys, len(self._shards))

    def _look(self, call: ReceiveCall, turn: Turn) -> tuple[Batch, bool]:
        """Returns what is there, and whether messages were dropped in its place."""
        self._asks.begin(call)
        try:
            taken = self._take(call, turn)
        except RedisError:
            received = [] if call.source is None else call.source.take(call.limit)
            if not received:
                raise
            return received, False
        received = self._unpack_all(call) if taken else []
        self._asks.end(call)
        if taken and not received:
            return [], True
        if call.source is not None and not received:
            received = call.source.take(call.limit)
        return received, False

    def _take(self, call: ReceiveCall, turn: Turn) -> int:
        """Takes what is there into the hand of the call; returns how many messages that are."""
        each, left = self._quota(call.limits) if call.limits else (None, {})
        policy, number = call.policy, 0
        for shard, keys in turn:
            room = call.limit - number
            if number and call.limits:
                keys = [key for key in keys if left.get(key, 1) > 0]
            limits = _limits(keys, room, each, left) if call.limits else []
            request = Look(
                self._shards[shard], self._operations.receive(keys, room, limits), self._operations.requeue
            )
            call.add(request)
            try:
                taken = request.run(fail_fast=policy is not None)
            except (RedisError, UnsupportedRedis) as error:
                if policy is not None and isinstance(error, RedisError):
                    policy.failed(shard, error, keys)
                    continue
                if not number:
                    raise
                break  # what was taken must be handed out; the next call comes upon the error again
            if taken.expired:
                self._count_expired(self._shards[shard], taken.expired)
            number += len(taken)
            for one in taken if call.limits else ():
                left[one.key] = left.get(one.key, call.limit if each is None else each) - 1
            if policy is not None:
                policy.served(shard)
            if number >= call.limit:
                break
        return number

    def _quota(self, limits: Mapping[str, int]) -> tuple[int | None, dict[bytes, int]]:
        """Returns how many messages each queue may give, None for any number, and others for some, by their keys."""
        each, some = (limits.each, limits.some) if isinstance(limits, ReceiveLimits) else (None, limits)
        return each, {self._keys.queue(name.encode()): number for name, number in some.items()}

    def _count_expired(self, shard: Shard, expired: Mapping[bytes, int]) -> None:
        for key, number in expired.items():
            self._expired.add(self._keys.queue_name(key), number)
        try:
            shard.execute(self._operations.count_expired(expired), fail_fast=True)
        except (RedisError, UnsupportedRedis) as error:
            # Counters cost no message: those that were taken with these are handed out.
            logger.debug("Expired messages are not counted at %s: %s", shard.host, error)

    def _can_wait(self, turn: Turn) -> Turn:
        """Returns the shards of ``turn`` where the user may wait; others have to be looked at again and again."""
        shards = self._shards
        for shard, _ in turn:
            if not shards[shard].permissions.are_full:
                break
        else:
            return turn
        for shard, _ in turn:
            shards[shard].learn_permissions(self._parts_of_pop)
        return [one for one in turn if shards[one[0]].permissions.may_pop]

    def _wait(
        self, call: ReceiveCall, turn: Turn, timeout: float, waiter: WakeupPipe, beside: Sequence[Readable]
    ) -> Taken | None:
        timeout = min(timeout, _LONGEST_WAIT)
        requests = [
            (self._shards[shard], self._operations.pop(keys, timeout, self._shards[shard].permissions.wake()))
            for shard, keys in turn
        ]
        # Redis counts whole seconds. It ends those itself, which saves waking up to do it; others it ends too late.
        whole = math.ceil(timeout)
        patience = whole + _LATE if requests and whole - timeout < _NEARLY else timeout
        requeue, policy = self._operations.requeue, call.policy
        if policy is None:
            return pop(requests, patience, waiter, requeue, call, None, beside)
        failed: set[int] = set()
        report = functools.partial(self._report, policy, turn, failed)
        taken = pop(requests, patience, waiter, requeue, call, report, beside)
        for shard, _ in turn:
            if shard not in failed:
                policy.served(shard, waiting=True)
        return taken

    def try_to_wait(self, shard: int) -> None:
        """Begins and ends a wait for what never comes. Raises ``redis.exceptions.RedisError`` where that fails."""
        errors: list[RedisError] = []
        one = self._shards[shard]
        requests = [(one, self._operations.pop_nothing(one.permissions.wake()))]
        pop(requests, 0, WakeupPipe(), self._operations.requeue, Hand(), lambda _, error: errors.append(error))
        if errors:
            raise errors[0]

    def _report(self, policy: FailurePolicy, turn: Turn, failed: set[int], shard: Shard, error: RedisError) -> None:
        number = self._shards.index(shard)
        failed.add(number)
        policy.failed(number, error, dict(turn)[number], waiting=True)

    def _waiter(self) -> WakeupPipe:
        try:
            return self._idle_waiters.pop()
        except IndexError:
            return WakeupPipe()

    def _unpack_all(self, call: ReceiveCall) -> Batch:
        """Returns the messages in the hand of the call; those that are for several channels are kept."""
        received: Batch = []
        unpacked: dict[SharedMessage, dict[str, Any]] = {}
        alone = call.ask is None or self._asks.alone()
        if not alone:
            if self._asks.have_waiting(call):
                self._let_replies_come(call)
            alone = not self._asks.others(call)
        for request in call.requests:
            entries: list[Any] = request.taken or []
            position = 0
            while position < len(entries):
                one: Taken = entries[position]
                try:
                    queue, channels, message, payload = self._unpack(one)
                except Exception as error:  # noqa: BLE001  a serialiser may raise anything; no reader may die of it
                    self._decoder.drop(self._keys.queue_name(one.key), error)
                    position += 1
                    continue
                if len(channels) == 1 and queue not in self._buffer and (alone or queue not in call.reading.local):
                    received.append((channels[0], message))
                    position += 1
                    continue
                left = self._expiry - one.age
                shared = self._buffer.put(
                    queue, channels, payload, left, self._unpack.message, entries, position, float(one.score)
                )
                unpacked[shared] = message
        self._asks.end(call)
        if unpacked:
            received += self._take_buffered(call, call.limit - len(received), unpacked)
            if self._buffer:
                self.wake()  # another thread may be waiting for the rest
        return received

    def _let_replies_come(self, call: ReceiveCall) -> None:
        """Makes a round trip: the replies to those that Redis has served before have come then, too."""
        for request in call.requests:
            if request.taken:
                try:
                    request.shard.execute(_PING, fail_fast=True)
                except RedisError as error:
                    logger.debug("The order of what was received is not sure: %s", error)

    def _take_buffered(
        self, call: ReceiveCall, limit: int, unpacked: dict[SharedMessage, dict[str, Any]] | None = None
    ) -> Batch:
        """Returns up to ``limit`` of what is kept; ``unpacked`` are messages that nobody has yet."""
        received: Batch = []
        if not self._buffer:
            return received
        newest = self._buffer.newest()
        self._asks.wait(call)
        first = len(call.shares)
        names: Collection[str] = call.reading.names
        if call.full:
            names = [name for name in names if name not in call.full]
        self._buffer.take(names, limit, call.shares, newest)
        for shared, channel in call.shares[first:]:
            message: Any = unpacked.pop(shared, None) if unpacked else None
            if call.shared and "!" in channel:
                message = shared
            if message is None:
                try:
                    message = shared.message()
                except Exception as error:  # noqa: BLE001  as in unpacking
                    self._decoder.drop(channel, error)
                    continue
            received.append((channel, message))
        return received


def _limits(keys: Sequence[bytes], room: int, each: int | None, left: Mapping[bytes, int]) -> list[int]:
    """Returns how many messages each of ``keys`` may give, where ``room`` are wanted; a single number is for all."""
    if room == 1:
        return []  # which all of them may
    if all(number <= 0 for number in left.values()):  # those are not among them any more
        return [] if each is None else [each]
    return [left.get(key, room if each is None else each) for key in keys]
