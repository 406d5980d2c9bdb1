"""The inspectors of the layers over Redis: they read, and take nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from asgi_redis.connection import Shard, execute_on_shards
from asgi_redis.engine.codec import MessageDecoder
from asgi_redis.engine.facts import SERVERS_SECONDS, DelayedFacts, Found, Inspector, PeekedMessage, ServerFacts
from asgi_redis.engine.rules import CallRules
from asgi_redis.engine.server_facts import server_facts
from asgi_redis.engine.sweep import KEYS_AT_ONCE, ShardSweep
from asgi_redis.engine.unpacker import decode_entry
from asgi_redis.wire import Keys, Operation, Taken
from asgi_redis.wire.inspection import DelayedTotals, InspectionOperations, ScoredEntry, clock, sizes
from asgi_redis.wire.message import TRACE_KEY
from asgi_redis.wire.names import is_normal, place

_AT_ONCE_BYTES = 1 << 18  # of messages in one reply, as far as those before tell their size


def every_queue(queue: str) -> bool:
    """Return True: the choice of an inspector that leaves no queue out."""
    return True


class RedisInspector:
    """
    The inspector of queues, groups and delayed messages in Redis.

    ``wanted`` tells of a queue whether it belongs to the layer.
    """

    def __init__(
        self,
        shards: Sequence[Shard],
        keys: Sequence[Keys],
        decoder: MessageDecoder,
        rules: CallRules,
        prefix_length: int,
        wanted: Callable[[str], bool] = every_queue,
    ) -> None:
        self._shards = shards
        self._read_only = [shard.for_reading() for shard in shards]
        self._keys = keys
        self._decoder = decoder
        self._rules = rules
        self._prefix_length = prefix_length  # bytes before each message that are not part of it
        self._wanted = wanted
        self._operations = [InspectionOperations(of_shard) for of_shard in keys]

    def servers(self, timeout: float = SERVERS_SECONDS) -> list[ServerFacts]:
        return server_facts(self._read_only, timeout)

    def sweep(self) -> Iterator[Found]:
        return ShardSweep(self._read_only, self._keys, self._wanted).steps()

    # Delayed messages

    def delayed(self, limit: int = 0) -> DelayedFacts:
        messages = waiting = 0
        first: list[tuple[float, str]] = []
        next_due: list[float] = []
        for number, operations in enumerate(self._operations):
            totals: DelayedTotals = self._read(number, operations.delayed_totals())
            messages += totals.messages
            waiting += self._waiting_for_room(number)
            if totals.first is not None:
                next_due.append(totals.first.score - totals.now)
            for entry in self._first(limit, number, operations.delayed):
                first.append((entry.score - totals.now, self._channel_of_delayed(entry.member)))
        nearest = [(channel, due) for due, channel in sorted(first)[:limit]]
        return DelayedFacts(messages, waiting, min(next_due, default=None), nearest)

    def _waiting_for_room(self, number: int) -> int:
        waiting = position = 0
        while True:
            keys = self._read(number, self._operations[number].waiting_queues(position, KEYS_AT_ONCE))
            waiting += sum(self._read(number, sizes(keys))) if keys else 0
            position += KEYS_AT_ONCE
            if len(keys) < KEYS_AT_ONCE:
                return waiting

    def _channel_of_delayed(self, member: bytes) -> str:
        try:
            channel = self._decoder.decode(self._decoder.payload(member)).get("channel")
        except Exception:  # noqa: BLE001  a serialiser may raise anything, and the message has only no name
            return ""
        return channel if isinstance(channel, str) else ""

    # The messages of a channel

    def peek(self, channel: str, limit: int, content: bool = False) -> list[PeekedMessage]:
        self._rules.valid_channel_name(channel, receive=True)
        found: list[PeekedMessage] = []
        for number in place(channel, len(self._shards))[1]:
            now: float = self._read(number, clock())
            sent = now - self._rules.expiry

            def messages(position: int, some: int, number: int = number, sent: float = sent) -> Operation:
                return self._operations[number].messages(channel, sent, position, some)

            found += [self._peeked(channel, entry, now, content) for entry in self._first(limit, number, messages)]
        return sorted(found, key=lambda message: -message.age)[:limit]

    def _peeked(self, queue: str, entry: ScoredEntry, now: float, content: bool) -> PeekedMessage:
        age = max(0.0, now - entry.score)
        size = len(entry.member) - self._prefix_length
        if content:
            taken = Taken(queue.encode(), entry.member, age, b"")
            try:
                _, channels, message, _ = decode_entry(self._decoder, taken)
            except Exception:  # noqa: BLE001  a serialiser may raise anything; the reader of the queue will log it
                return PeekedMessage(queue, age, size, None)
            message.pop(TRACE_KEY, None)  # consumers do not see it either
            # A message to a group may be for many channels of the process.
            return PeekedMessage(channels[0] if len(channels) == 1 else queue, age, size, message)
        return PeekedMessage(queue, age, size, None)

    def purge(self, channel: str) -> int:
        self._rules.valid_channel_name(channel, receive=True)
        numbers = place(channel, len(self._shards))[1]
        expiry = self._rules.expiry
        requests = [(self._shards[number], self._operations[number].purge(channel, expiry)) for number in numbers]
        return sum(execute_on_shards(requests))

    # Reading

    def _read(self, number: int, operation: Operation) -> Any:
        return self._read_only[number].execute(operation, fail_fast=True)

    def _first(self, limit: int, number: int, make: Callable[[int, int], Operation]) -> list[ScoredEntry]:
        """
        Return the first entries of a sorted set, a few with each request.

        ``make`` returns the operation that reads some entries from a position on. Messages that are taken meanwhile
        move the others, so some may be left out.
        """
        found: dict[ScoredEntry, None] = {}
        position, some = 0, 1
        while len(found) < limit:
            some = min(some, limit - len(found))
            entries: list[ScoredEntry] = self._read(number, make(position, some))
            found.update(dict.fromkeys(entries))
            if len(entries) < some:
                break
            position += some
            largest = max(len(entry.member) for entry in entries)
            some = max(1, min(4 * some, _AT_ONCE_BYTES // max(1, largest)))
        return list(found)


class LocalInspector:
    """The inspector of normal channels on this machine, and of all else in Redis."""

    def __init__(self, remote: Inspector, local: Inspector) -> None:
        self._remote = remote
        self._local = local

    def servers(self, timeout: float = SERVERS_SECONDS) -> list[ServerFacts]:
        return [*self._remote.servers(timeout), *self._local.servers(timeout)]

    def sweep(self) -> Iterator[Found]:
        for found in self._local.sweep():
            yield Found({queue: size for queue, size in found.queues.items() if is_normal(queue)}, {})
        yield from self._remote.sweep()

    def delayed(self, limit: int = 0) -> DelayedFacts:
        return self._remote.delayed(limit)

    def peek(self, channel: str, limit: int, content: bool = False) -> list[PeekedMessage]:
        return self._side(channel).peek(channel, limit, content)

    def purge(self, channel: str) -> int:
        return self._side(channel).purge(channel)

    def _side(self, channel: str) -> Inspector:
        return self._local if isinstance(channel, str) and is_normal(channel) else self._remote


class ServerInspector:
    """The inspector of a layer over pub/sub, which stores nothing on its servers."""

    def __init__(self, shards: Sequence[Shard], rules: CallRules) -> None:
        self._shards = shards
        self._rules = rules

    def servers(self, timeout: float = SERVERS_SECONDS) -> list[ServerFacts]:
        return server_facts(self._shards, timeout)

    def sweep(self) -> Iterator[Found]:
        return iter(())

    def delayed(self, limit: int = 0) -> DelayedFacts:
        return DelayedFacts(0, 0, None, [])

    def peek(self, channel: str, limit: int, content: bool = False) -> list[PeekedMessage]:
        self._rules.valid_channel_name(channel)
        return []

    def purge(self, channel: str) -> int:
        self._rules.valid_channel_name(channel)
        return 0
