"""
Messages that are sent after a while. They wait in Redis, and whoever calls ``deliver`` sends what is due.

A message is at all times among the delayed ones, among those that wait for room in their queue, or in its queue: so
it is neither lost nor doubled, however many deliver, and wherever one of them is killed. Its time is told by the
Redis server's clock. Of those that wait for room the first is tried again, once in ``RETRY_SECONDS``: however many
wait for a full channel, they hold up no other.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from typing import NamedTuple

from redis.exceptions import RedisError, ResponseError

from asgi_redis.connection import Shard
from asgi_redis.engine.codec import MessageDecoder, MessageEncoder
from asgi_redis.engine.rules import CallRules
from asgi_redis.exceptions import UndecodableMessage
from asgi_redis.process.awaiting import refuse_await
from asgi_redis.serializers import Serializer
from asgi_redis.wire import DelayOperations, DueNow, Kept
from asgi_redis.wire.expiry import MAX_EXPIRY_SECONDS
from asgi_redis.wire.message import Message
from asgi_redis.wire.names import queue_of, shares

logger = logging.getLogger("asgi_redis")

RETRY_SECONDS = 1.0  # after which a message for a full channel, or one that was refused, is tried again
_AT_ONCE = 100


class Due(NamedTuple):
    """A delayed message whose time has come. ``waiting``: it waits for room in its queue."""

    kept: Kept
    waiting: bool
    channel: str
    queue: bytes
    message: Message
    member: bytes
    """What it will be in its queue."""


class DelayedMessages:
    """
    The delayed messages of one layer: ``layer.delayed``.

    ``undecodable_count`` counts those that this process has dropped because it could not read them.
    """

    def __init__(
        self,
        shards: Sequence[Shard],
        operations: DelayOperations,
        serializer: Serializer,
        rules: CallRules,
        encoder: MessageEncoder,
    ) -> None:
        self._decoder = MessageDecoder(serializer, "that cannot be read or sent", "delayed message")
        self._shards = shards
        self._operations = operations
        self._serialize = serializer.serialize
        self._rules = rules
        self._encode = encoder.encode_for
        self._refused: set[str] = set()

    @property
    def undecodable_count(self) -> int:
        """How many this process has dropped because it could not read or send them."""
        return self._decoder.undecodable_count

    def send(self, channel: str, message: Message, seconds: float) -> None:
        """
        Sends ``message`` to ``channel`` in ``seconds``, a fraction perhaps, if somebody calls ``deliver`` then.

        Raises what ``send`` of the layer does, except ``ChannelFull``: a full channel is tried again until it has
        room. ``ValueError`` for seconds that are negative, or more than ``MAX_EXPIRY_SECONDS``.
        """
        refuse_await()
        if (
            isinstance(seconds, bool)
            or not isinstance(seconds, (int, float))
            or not 0 <= seconds <= MAX_EXPIRY_SECONDS
        ):
            raise ValueError(f"a delay is a number of seconds from 0 to {MAX_EXPIRY_SECONDS}, not {seconds!r}")
        self._rules.valid_channel_name(channel)
        self._rules.check_message(message)
        self._encode(channel, message)  # the errors of a send belong here, where they can be seen
        member = self._serialize({"channel": channel, "message": message})
        shard = random.choice([index for index, capacity in self._shares(channel).items() if capacity])
        self._shards[shard].execute(self._operations.store(member, float(seconds)))

    def deliver(self) -> float | None:
        """
        Sends what is due, and returns the seconds until the next message is: 0 when there is more, None for none.

        Raises ``redis.exceptions.RedisError`` when a shard fails, after all the others; what was not delivered by
        then is still there. A message that is refused, such as by a key of another type in the place of its queue,
        is no such failure: it waits, as for a full channel, and the log says so once for each channel.
        """
        waits: list[float | None] = []
        failure: RedisError | None = None
        for index, shard in enumerate(self._shards):
            try:
                waits.append(self._deliver(index, shard))
            except RedisError as error:
                failure = error
        if failure is not None:
            raise failure
        return min((wait for wait in waits if wait is not None), default=None)

    def _deliver(self, index: int, shard: Shard) -> float | None:
        due: DueNow = shard.execute(self._operations.due(_AT_ONCE, RETRY_SECONDS))
        waits = [due.wait, *[self._try_queue(index, shard, queue) for queue in due.queues]]
        behind: dict[bytes, list[Kept]] = {}
        for kept in due.messages:
            if not self._try(index, shard, kept, behind=behind):
                waits.append(RETRY_SECONDS)
        for queue, others in behind.items():
            if others:
                shard.execute(self._operations.wait(others, queue, RETRY_SECONDS))
        return min((wait for wait in waits if wait is not None), default=None)

    def _try_queue(self, index: int, shard: Shard, queue: bytes) -> float | None:
        """Delivers what waits for room in a queue, while there is some; returns the seconds until the next try."""
        waiting: list[Kept] = shard.execute(self._operations.waiting(queue, _AT_ONCE))
        for kept in waiting:
            if not self._try(index, shard, kept, queue):
                return RETRY_SECONDS
        if not waiting:
            return None
        shard.execute(self._operations.try_again(queue))  # after others
        return 0.0

    def _try(
        self,
        index: int,
        shard: Shard,
        kept: Kept,
        queue: bytes | None = None,
        behind: dict[bytes, list[Kept]] | None = None,
    ) -> bool:
        """
        Delivers or drops a message, one that waits for room in ``queue`` perhaps; False: it has to wait.

        ``behind``: the queues that were found full in this round, with the messages that are to wait with the first.
        """
        try:
            due = self._read(kept, queue)
        except Exception as error:  # noqa: BLE001  a custom format may raise anything
            shard.execute(self._operations.discard(kept, queue))
            self._decoder.drop(None, error)
            return True
        if behind and due.queue in behind:
            behind[due.queue].append(kept)
            return False
        try:
            delivered = self._pass_on(index, shard, due)
        except ResponseError as error:
            if shard.is_lost(error):
                raise
            self._wait(shard, due)
            self._log_refusal(due.channel, error)
            delivered = False
        else:
            # What waits behind others is not looked at, and shows nothing.
            if delivered:
                self._refused.discard(due.channel)
            elif self._wait(shard, due):
                logger.info("Delayed messages wait for room: channel %r is full", due.channel)
        if not delivered and behind is not None:
            behind.setdefault(due.queue, [])
        return delivered

    def _wait(self, shard: Shard, due: Due) -> bool:
        """Lets a message wait for room in its queue; returns whether it is the first that does."""
        taken = self._is_taken_first(due.channel)
        if due.waiting and not taken:
            return False  # it still does
        is_first: bool = shard.execute(self._operations.wait([due.kept], due.queue, RETRY_SECONDS, taken))
        return is_first

    def _is_taken_first(self, channel: str) -> bool:
        """Whether ``_pass_on`` takes a message out of Redis before it puts it into its channel."""
        return False

    def _log_refusal(self, channel: str, error: ResponseError) -> None:
        if channel not in self._refused:
            self._refused.add(channel)
            logger.error("Redis refuses the delayed messages for channel %r: %s", channel, error)

    def _pass_on(self, index: int, shard: Shard, due: Due) -> bool:
        """Puts a message into its queue; returns whether it no longer waits."""
        capacity = self._shares(due.channel).get(index, 0)
        operation = self._operations.deliver(due.kept, due.queue, capacity, due.member, due.waiting)
        return shard.execute(operation) != 0  # type: ignore[no-any-return]

    def _read(self, kept: Kept, queue: bytes | None) -> Due:
        found = self._decoder.decode(self._decoder.payload(kept.member))
        if not isinstance(found.get("message"), dict):
            raise UndecodableMessage("not a delayed message")
        self._rules.valid_channel_name(found.get("channel"))
        channel, message = found["channel"], found["message"]
        own_queue = queue_of(channel).encode()
        if queue not in (None, own_queue):
            raise UndecodableMessage("it waits for room in another queue than its own")
        member = self._encode(channel, message)
        return Due(kept, queue is not None, channel, own_queue, message, member)

    def _shares(self, channel: str) -> dict[int, int]:
        return shares(queue_of(channel), self._rules.get_capacity(channel), len(self._shards))
