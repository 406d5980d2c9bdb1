"""
Messages that are sent after a while. They wait in Redis, and whoever calls ``deliver`` sends what is due.

A message is at all times either among the delayed ones or in its queue, so it is neither lost nor doubled, however
many deliver, and wherever one of them is killed. Its time is told by the Redis server's clock.
"""

from __future__ import annotations

import copy
import logging
import math
import random
from collections.abc import Sequence
from typing import Any, NamedTuple

from redis.exceptions import RedisError, ResponseError

from asgi_redis.awaiting import refuse_await
from asgi_redis.base import BaseChannelLayer, Message
from asgi_redis.connection import Shard
from asgi_redis.exceptions import UndecodableMessage
from asgi_redis.sender import Sender
from asgi_redis.serializers import Serializer
from asgi_redis.wire import DelayOperations, shard_of, share

logger = logging.getLogger("asgi_redis")

RETRY_SECONDS = 1.0  # after which a message for a full channel, or one that was refused, is tried again
_AT_ONCE = 100


class Due(NamedTuple):
    """A delayed message whose time has come."""

    kept: bytes
    """What it is in the delayed set."""
    channel: str
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
        rules: BaseChannelLayer,
        sender: Sender,
    ) -> None:
        self.undecodable_count = 0
        self._shards = shards
        self._operations = operations
        self._serializer = serializer
        self._deserialize = _ageless(serializer).deserialize
        self._rules = rules
        self._sender = sender
        self._refused: set[str] = set()

    def send(self, channel: str, message: Message, seconds: float) -> None:
        """
        Sends ``message`` to ``channel`` in ``seconds``, a fraction perhaps, if somebody calls ``deliver`` then.

        Raises what ``send`` of the layer does, except ``ChannelFull``: a full channel is tried again until it has
        room. ``ValueError`` for seconds that are negative or not finite.
        """
        refuse_await()
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 <= seconds < math.inf:
            raise ValueError(f"a delay is a number of seconds, not {seconds!r}")
        self._rules.valid_channel_name(channel)
        self._rules.check_message(message)
        self._sender.member_for(channel, message)  # the errors of a send belong here, where they can be seen
        member = self._serializer.serialize({"channel": channel, "message": message})
        shard = random.choice([index for index, capacity in enumerate(self._capacities(channel)) if capacity])
        self._shards[shard].execute(self._operations.store(member, float(seconds)))

    def deliver(self) -> float | None:
        """
        Sends what is due, and returns the seconds until the next message is: 0 when there is more, None for none.

        Raises ``redis.exceptions.RedisError`` when a shard fails, after all the others; what was not delivered by
        then is still there. A message that is refused, such as by a key of another type in the place of its queue,
        is no such failure: it is put off, and the log says so once for each channel.
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
        kept_members, wait = shard.execute(self._operations.due(_AT_ONCE))
        for kept in kept_members:
            try:
                channel, message = self._read(kept)
                member = self._sender.member_for(channel, message)
            except Exception as error:  # noqa: BLE001  a custom format may raise anything
                shard.execute(self._operations.discard(kept))
                self.undecodable_count += 1
                logger.error("Dropped a delayed message that cannot be read or sent: %s", error)
                continue
            try:
                waits = not self._pass_on(index, shard, Due(kept, channel, message, member))
            except ResponseError as error:
                if shard.is_lost(error):
                    raise
                waits = shard.execute(self._operations.put_off(kept, RETRY_SECONDS))
                self._log_refusal(channel, error)
            else:
                self._refused.discard(channel)
                if waits:
                    logger.info("A delayed message waits: channel %s is full", channel)
            if waits:
                wait = RETRY_SECONDS if wait is None else min(wait, RETRY_SECONDS)
        return wait  # type: ignore[no-any-return]  # what an operation reads as is known by its docstring

    def _log_refusal(self, channel: str, error: ResponseError) -> None:
        if channel not in self._refused:
            self._refused.add(channel)
            logger.error("Redis refuses the delayed messages for channel %s: %s", channel, error)

    def _pass_on(self, index: int, shard: Shard, due: Due) -> bool:
        """Puts a message into its queue, or puts it off; returns whether it no longer waits."""
        queue = self._rules.non_local_name(due.channel).encode()
        capacity = self._capacities(due.channel)[index]
        operation = self._operations.deliver(due.kept, queue, capacity, due.member, RETRY_SECONDS)
        return shard.execute(operation) != 0  # type: ignore[no-any-return]

    def _read(self, kept: bytes) -> tuple[str, Message]:
        found = self._deserialize(kept)
        if not (isinstance(found, dict) and isinstance(found.get("message"), dict)):
            raise UndecodableMessage("not a delayed message")
        self._rules.valid_channel_name(found.get("channel"))
        return found["channel"], found["message"]

    def _capacities(self, channel: str) -> list[int]:
        """Returns how many messages of a channel each shard holds; 0 where they do not go."""
        shards, capacity = len(self._shards), self._rules.get_capacity(channel)
        if "!" in channel or "?" in channel:
            home = shard_of(self._rules.non_local_name(channel).encode(), shards)
            return [capacity if index == home else 0 for index in range(shards)]
        return [share(capacity, index, shards) for index in range(shards)]


def _ageless(serializer: Any) -> Any:
    """Returns a serialiser that also decrypts what is older than ``expiry``, as a delayed message may be."""
    reading = copy.copy(serializer)
    reading.expiry = None
    return reading
