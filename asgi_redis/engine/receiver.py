"""Receiving from Redis: looks, and waits where there is no message."""

from __future__ import annotations

import functools
import math
import time
from collections import deque
from collections.abc import Collection, Sequence
from typing import Any

from redis.exceptions import RedisError

from asgi_redis.connection import Shard, requeue_taken, wait_for_first
from asgi_redis.engine.caches import ChannelSets
from asgi_redis.engine.codec import MessageDecoder
from asgi_redis.engine.counts import Counts
from asgi_redis.engine.dropped import FLOOD_SECONDS, ExpiredMessages
from asgi_redis.engine.limits import QueueLimits
from asgi_redis.engine.receive_call import RAISE_ERRORS, FailurePolicy, ReceiveCall, Source, Turn
from asgi_redis.engine.rules import CallRules
from asgi_redis.engine.shard_source import ShardSource
from asgi_redis.engine.unpacker import Unpacker
from asgi_redis.exceptions import UnsupportedRedis
from asgi_redis.process import fork
from asgi_redis.process.wakeup import WakeupPipe
from asgi_redis.wire import ChannelSet, Keys, ReceiveOperations
from asgi_redis.wire.expiry import is_expired
from asgi_redis.wire.message import Batch, Limits

_NAMES = 4096  # the latest ones that were right
_NEARLY_SECONDS = 0.01  # that a wait may be short of a whole number
_SHORT_WAIT_SECONDS = 0.01  # no longer waits look first: their time may be over before they wait
_LONGEST_WAIT_SECONDS = 60.0  # then its connection is released: it may be to be replaced
_LATE_SECONDS = 0.5  # that Redis may end a pop too late; it looks ten times a second


class Receiver:
    """The reading side of one layer; ``sources`` are the places of its messages."""

    def __init__(
        self,
        shards: Sequence[Shard],
        keys: Sequence[Keys],
        decoder: MessageDecoder,
        rules: CallRules,
        counts: Counts,
    ) -> None:
        self._shards = [
            ShardSource(shard, ReceiveOperations(of_shard, rules.expiry), counts)
            for shard, of_shard in zip(shards, keys)
        ]
        self._counts = counts
        self.sources: list[Source] = [*self._shards]
        self._expiry = rules.expiry
        self._unpacker = Unpacker(decoder, rules.expiry, self.wake, self._add_expired)
        self._channel_sets = ChannelSets(self._make_channel_set)
        # Sets of channels change by one name at a time, where there are many.
        check = functools.partial(rules.valid_channel_name, receive=True)
        self._check_str, self._check_name = functools.lru_cache(maxsize=_NAMES)(check), check
        self.start_process()
        fork.register(self)

    def start_process(self) -> None:
        """Set up the parts that processes must not share."""
        self._expired = ExpiredMessages()
        self._waiting: set[WakeupPipe] = set()
        self._idle_pipes: deque[WakeupPipe] = deque(maxlen=100)
        self._unblocked = 0
        self._unpacker.start_process(self._idle_pipes)

    def receive(
        self,
        channels: tuple[str, ...],
        limit: int,
        timeout: float,
        policy: FailurePolicy = RAISE_ERRORS,
        limits: Limits = None,
        shared: bool = False,
    ) -> Batch:
        """
        Return up to ``limit`` messages; wait ``timeout`` seconds for one.

        ``limits`` are lower limits of single channels; 0 leaves a channel out. With ``shared``, messages for several
        channels are returned as they are buffered. Until it returns, an exception from anywhere puts the messages
        that were taken back.
        """
        fork.check()
        call = ReceiveCall(self._channel_sets(channels), limit, policy, limits, shared)
        try:
            if self._counts.waiting:
                self._counts.write_soon()
            received = self._receive(call, timeout)
            if fork.generation != call.generation:
                raise fork.forked()
            return received
        except BaseException:
            self._unpacker.order.end(call)
            self._unpacker.buffer.requeue(call.shares)
            if fork.check() == call.generation:  # else a signal handler has forked, and the parent goes on with it
                requeue_taken(call.takes)
                self._counts.write_soon()
            raise

    def _receive(self, call: ReceiveCall, timeout: float) -> Batch:
        started = time.monotonic()
        call.unblocked = self._unblocked
        call.waits_until = 0.0 if call.policy.leaves_out else started + timeout
        # Waiting takes a message that is there just as well as looking. But on several shards it would take one
        # from each, and it takes no more than one.
        call.looks = timeout <= _SHORT_WAIT_SECONDS or call.limit > 1 or call.channels.is_spread
        passed = 0.0
        while True:
            turn = call.channels.turn()
            if call.full:
                turn = self._without(turn, call.full)
            turn = call.policy.readable(turn)
            if call.looks:
                received = self._unpacker.take_buffered(call, call.limit) or self._look(call, turn)
                if received or self._is_ended(call):
                    return received
                passed = time.monotonic() - started
                if call.has_dropped and passed < max(timeout, FLOOD_SECONDS):
                    continue
                if passed >= timeout:
                    return received
                turn = call.policy.readable(turn)
            received = self._wait(call, turn, timeout - passed)
            if received:
                return received
            if not call.looks:
                passed = time.monotonic() - started
                if passed >= timeout or self._is_ended(call):
                    return received

    def _without(self, turn: Turn, full: Collection[str]) -> Turn:
        left_out = {name.encode() for name in full}
        turn = [(number, [queue for queue in queues if queue not in left_out]) for number, queues in turn]
        return [one for one in turn if one[1]]

    def _is_ended(self, call: ReceiveCall) -> bool:
        return self._unblocked != call.unblocked or call.policy.woken

    def wake(self) -> None:
        """Have all waiting calls look again whether to go on waiting."""
        fork.check()
        for pipe in list(self._waiting):
            pipe.wake()

    def unblock(self) -> None:
        """End all waits of this process, as if their time had run out."""
        fork.check()
        self._unblocked += 1
        self.wake()

    def buffer(self, channel: str, message: dict[str, Any]) -> None:
        """Buffer an unused message for the next reader of its channel."""
        fork.check()
        self._unpacker.buffer.add(channel, message, self._expiry)
        self.wake()

    def clear_buffer(self) -> None:
        """Drop the buffered messages."""
        self._unpacker.clear_buffer()

    def flush_counts(self) -> None:
        """Write the counts of messages that were found."""
        self._counts.flush()

    def _make_channel_set(self, channels: tuple[str, ...]) -> ChannelSet:
        self._check(channels)
        return ChannelSet(channels, len(self._shards))

    def _check(self, channels: tuple[str, ...]) -> None:
        for channel in channels:
            (self._check_str if isinstance(channel, str) else self._check_name)(channel)

    # Looking

    def _look(self, call: ReceiveCall, turn: Turn) -> Batch:
        """Take messages from one shard after the other until there are enough."""
        policy, room = call.policy, call.limit
        queue_limits = QueueLimits(call.limits) if call.limits else None
        limits: Sequence[int] = ()
        call.hanging = {}
        self._unpacker.order.begin(call)
        for number, queues in call.in_parts(turn):
            source = self._shards[number]
            if queue_limits is not None:
                queues = queue_limits.readable(queues)
                limits = queue_limits.of(queues, room)
            try:
                taken = source.take(call, queues, room, limits)
            except (RedisError, UnsupportedRedis) as error:
                if policy.leaves_out and isinstance(error, RedisError):
                    policy.failed(number, error, queues)
                    continue
                if room == call.limit:
                    raise
                break  # the messages that were taken must be returned; the next call meets the error again
            policy.served(number)
            for name, expired in taken.expired.items():
                self._count_expired(name.decode(), expired)
            if queue_limits is not None:
                queue_limits.count(taken, call.limit)
            room -= len(taken)
            if room <= 0:
                break
        received = self._unpacker.unpack(call) if room < call.limit else []
        self._unpacker.order.end(call)
        if not received:
            call.has_dropped = room < call.limit
            call.forget()
        return received

    def _count_expired(self, queue: str, number: int) -> None:
        self._add_expired(queue, number)
        self._counts.write_soon()  # an interruption puts messages back: all are off Redis

    def _add_expired(self, queue: str, number: int) -> None:
        self._expired.add(queue, number)
        self._counts.add(queue, "messages_expired", number)

    # Waiting

    def _wait(self, call: ReceiveCall, turn: Turn, timeout: float) -> Batch:
        """Wait for a message; return none, too, where there is a reason to look again."""
        waiting = [one for one in turn if self._shards[one[0]].can_wait()]
        if len(waiting) < len(turn):
            call.looks, timeout = True, min(timeout, call.next_pause())
        pipe = self._idle_pipe()
        self._waiting.add(pipe)
        call.policy.pipe = pipe
        try:
            # Messages that another thread has buffered before it could see this pipe have to be seen now.
            received = self._look_here(call)
            if not received and not self._is_ended(call):
                self._wait_for_first(call, waiting, timeout, pipe)
        finally:
            call.policy.pipe = None
            self._waiting.discard(pipe)
            self._idle_pipes.append(pipe)
        return received or self._take_popped(call)

    def _idle_pipe(self) -> WakeupPipe:
        try:
            return self._idle_pipes.pop()
        except IndexError:
            return WakeupPipe()

    def _look_here(self, call: ReceiveCall) -> Batch:
        """Take messages that are in this process, or on this machine."""
        return self._unpacker.take_buffered(call, call.limit)

    def _wait_for_first(self, call: ReceiveCall, turn: Turn, timeout: float, pipe: WakeupPipe) -> None:
        timeout = min(timeout, _LONGEST_WAIT_SECONDS)
        self._unpacker.order.begin(call)
        pops = [self._shards[number].pop(call, queues, timeout) for number, queues in turn]
        # Redis counts whole seconds. It ends those itself, which saves waking up to do it; others it ends too late.
        whole = math.ceil(timeout)
        if pops and whole - timeout < _NEARLY_SECONDS:
            timeout = whole + _LATE_SECONDS
        policy = call.policy
        listeners = () if call.listener is None else (call.listener,)
        failures = wait_for_first(pops, pipe, timeout, policy.leaves_out, listeners)
        for (number, queues), pop in zip(turn, pops):
            error = failures.get(pop)
            if error is not None:
                self._shards[number].shard.lost(error)
            if pop.refusal is not None:
                call.looks = True
                error = self._refused(number, pop.refusal, policy)
            if error is None:
                policy.served(number, waiting=True)
            else:
                policy.failed(number, error, queues, waiting=True)

    def _refused(self, number: int, refusal: RedisError, policy: FailurePolicy) -> RedisError | None:
        """Return the refusal of a pop, if its shard can do no better now."""
        try:
            self._shards[number].refused(refusal, policy.leaves_out)
        except RedisError as error:
            return error
        return None

    def _take_popped(self, call: ReceiveCall) -> Batch:
        """Return the message that a pop has taken, if there is one."""
        for take in call.takes:
            if take.taken:
                if is_expired(take.taken[0].age, self._expiry):
                    self._count_expired(take.taken[0].queue.decode(), 1)
                    take.taken = []
                received = self._unpacker.unpack(call)
                if received:
                    return received
                call.looks = call.has_dropped = True  # there may be more behind a dropped one
                break
        self._unpacker.order.end(call)
        call.forget()
        return []
