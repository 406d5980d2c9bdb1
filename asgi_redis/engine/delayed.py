"""
Delayed messages: they wait in Redis until a process calls ``deliver``.

A message is at all times in one of three places: the delayed set, the set of messages that wait for room in its
queue, or the queue. So it is neither lost nor doubled, however many processes deliver, and wherever one of them is
killed. The clock is that of the Redis server. Of the messages that wait for room in a queue the first is tried again,
once in ``RETRY_SECONDS``: however many wait for a full channel, they hold up no other.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Sequence
from typing import NamedTuple, Optional

from redis.exceptions import RedisError, ResponseError

from asgi_redis.connection import Shard, is_refusal
from asgi_redis.engine.codec import MessageDecoder, MessageEncoder
from asgi_redis.engine.rules import CallRules
from asgi_redis.exceptions import ChannelFull, MessageTooLarge, UndecodableMessage
from asgi_redis.integrations.traced_calls import TracedCalls
from asgi_redis.process.awaiting import refuse_await
from asgi_redis.serializers import Serializer
from asgi_redis.wire import Keys
from asgi_redis.wire.delayed import DelayedEntry, DelayOperations, DueNow
from asgi_redis.wire.expiry import MAX_EXPIRY_SECONDS
from asgi_redis.wire.message import Message
from asgi_redis.wire.names import is_normal, queue_of, shares

logger = logging.getLogger("asgi_redis")

RETRY_SECONDS = 1.0  # until a message for a full channel, or a refused message, is tried again
_AT_ONCE = 100

SendLocally = Optional[Callable[[str, Message], None]]


class Due(NamedTuple):
    """A delayed message whose time has come; ``waiting`` for room in its queue."""

    entry: DelayedEntry
    waiting: bool
    channel: str
    queue: bytes
    message: Message
    member: bytes
    """The entry of its queue that it becomes."""


class DelayedMessages(TracedCalls):
    """
    The delayed messages of one layer: ``layer.delayed``.

    ``send_locally`` sends the messages of normal channels, where these are on the machine that delivers them. Redis
    and that machine have no step in common: such a message is taken out of Redis first, so that it never comes twice.
    A process that is killed in the moment before it is in its channel loses it.
    """

    def __init__(
        self,
        shards: Sequence[Shard],
        keys: Sequence[Keys],
        serializer: Serializer,
        rules: CallRules,
        encoder: MessageEncoder,
        send_locally: SendLocally = None,
    ) -> None:
        self._decoder = MessageDecoder(serializer, "that cannot be read or sent", "delayed message")
        self._shards = shards
        self._operations = [DelayOperations(of_shard, rules.expiry) for of_shard in keys]
        self._serialize = serializer.serialize
        self._rules = rules
        self._encode = encoder.encode_for
        self._send_locally = send_locally
        self._refused: set[str] = set()

    @property
    def undecodable_count(self) -> int:
        """How many messages this process has dropped: it could not read or send them."""
        return self._decoder.undecodable_count

    def send(self, channel: str, message: Message, seconds: float) -> None:
        """
        Send a message in ``seconds``, if a process calls ``deliver`` then.

        Raises what ``send`` of the layer does, except ``ChannelFull``: a full channel is tried again until it has
        room. ``ValueError`` for seconds that are negative, or more than ``MAX_EXPIRY_SECONDS``.
        """
        refuse_await()
        is_number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
        if not is_number or not 0 <= seconds <= MAX_EXPIRY_SECONDS:
            raise ValueError(f"a delay is a number of seconds from 0 to {MAX_EXPIRY_SECONDS}, not {seconds!r}")
        self._rules.valid_channel_name(channel)
        self._rules.check_message(message)
        self._encode(channel, message)  # the errors of a send belong here, where they can be seen
        member = self._serialize({"channel": channel, "message": message})
        index = random.choice([index for index, capacity in self._shares(channel).items() if capacity])
        self._shards[index].execute(self._operations[index].store(member, float(seconds)))

    def deliver(self) -> float | None:
        """
        Send the messages that are due; return the seconds until the next is, if any.

        Raises ``redis.exceptions.RedisError`` when a shard fails, after all the others; messages that were not
        delivered by then are still there. A message that is refused, such as by a key of another type in the place of
        its queue, is no such failure: it waits, as for a full channel, and the log says so once for each channel.
        """
        waits: list[float | None] = []
        failure: RedisError | None = None
        for index in range(len(self._shards)):
            try:
                waits.append(self._deliver(index))
            except RedisError as error:
                failure = error
        if failure is not None:
            raise failure
        return _shortest(waits)

    def _deliver(self, index: int) -> float | None:
        shard, operations = self._shards[index], self._operations[index]
        due: DueNow = shard.execute(operations.due(_AT_ONCE, RETRY_SECONDS))
        waits = [due.wait, *[self._try_queue(index, queue) for queue in due.queues]]
        full: dict[bytes, list[DelayedEntry]] = {}
        for entry in due.messages:
            message = self._read(index, entry)
            if message is None:
                continue
            if message.queue in full:
                full[message.queue].append(entry)  # it waits with the first that found the queue full
            elif not self._try(index, message):
                full[message.queue] = []
                waits.append(RETRY_SECONDS)
        for queue, entries in full.items():
            if entries:
                shard.execute(operations.wait(entries, queue, RETRY_SECONDS))
        return _shortest(waits)

    def _try_queue(self, index: int, queue: bytes) -> float | None:
        """Deliver messages while there is room in a queue; return when to try again."""
        shard, operations = self._shards[index], self._operations[index]
        waiting: list[DelayedEntry] = shard.execute(operations.waiting(queue, _AT_ONCE))
        for entry in waiting:
            message = self._read(index, entry, queue)
            if message is not None and not self._try(index, message):
                return RETRY_SECONDS
        if not waiting:
            return None
        shard.execute(operations.try_again(queue))  # after others
        return 0.0

    def _read(self, index: int, entry: DelayedEntry, queue: bytes | None = None) -> Due | None:
        """Return a message, which may wait for room in ``queue``; None: it was dropped."""
        try:
            found = self._decoder.decode(self._decoder.payload(entry.member))
            if not isinstance(found.get("message"), dict):
                raise UndecodableMessage("not a delayed message")
            self._rules.valid_channel_name(found.get("channel"))
            channel, message = found["channel"], found["message"]
            own_queue = queue_of(channel).encode()
            if queue not in (None, own_queue):
                raise UndecodableMessage("it waits for room in another queue than its own")
            return Due(entry, queue is not None, channel, own_queue, message, self._encode(channel, message))
        except Exception as error:  # noqa: BLE001  a custom format may raise anything
            self._shards[index].execute(self._operations[index].discard(entry, queue))
            self._decoder.drop(None, error)
            return None

    def _try(self, index: int, due: Due) -> bool:
        """Return whether a message was delivered; otherwise it waits for room."""
        try:
            delivered = self._put(index, due)
        except ResponseError as error:
            if is_refusal(error):
                raise
            self._wait(index, due)
            if due.channel not in self._refused:
                self._refused.add(due.channel)
                logger.error("Redis refuses the delayed messages for channel %r: %s", due.channel, error)
            return False
        # A message that waits behind others is not tried, and proves nothing.
        if delivered:
            self._refused.discard(due.channel)
        elif self._wait(index, due):
            logger.info("Delayed messages wait for room: channel %r is full", due.channel)
        return delivered

    def _put(self, index: int, due: Due) -> bool:
        """Put a message into its queue; return whether it no longer waits."""
        if self._is_local(due.channel):
            return self._put_locally(index, due)
        capacity = self._shares(due.channel).get(index, 0)
        operation = self._operations[index].deliver(due.entry, due.queue, capacity, due.member, due.waiting)
        return self._shards[index].execute(operation) != 0  # type: ignore[no-any-return]

    def _put_locally(self, index: int, due: Due) -> bool:
        assert self._send_locally is not None
        taking = self._operations[index].discard(due.entry, due.queue if due.waiting else None)
        if not self._shards[index].execute(taking):
            return True  # another process has it
        try:
            self._send_locally(due.channel, due.message)
        except MessageTooLarge as error:
            self._decoder.drop(due.channel, error)
        except ChannelFull:
            return False
        except BaseException:
            self._wait(index, due)
            raise
        return True

    def _wait(self, index: int, due: Due) -> bool:
        """Let a message wait for room in its queue; return whether it is the first."""
        was_taken = self._is_local(due.channel)
        if due.waiting and not was_taken:
            return False  # it still does
        waiting = self._operations[index].wait([due.entry], due.queue, RETRY_SECONDS, was_taken)
        is_first: bool = self._shards[index].execute(waiting)
        return is_first

    def _is_local(self, channel: str) -> bool:
        return self._send_locally is not None and is_normal(channel)

    def _shares(self, channel: str) -> dict[int, int]:
        return shares(queue_of(channel), self._rules.get_capacity(channel), len(self._shards))


def _shortest(waits: Sequence[float | None]) -> float | None:
    return min((wait for wait in waits if wait is not None), default=None)
