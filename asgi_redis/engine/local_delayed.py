"""The delayed messages of a layer whose normal channels are on this machine."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from asgi_redis.connection import Shard
from asgi_redis.engine.codec import MessageEncoder
from asgi_redis.engine.delayed import DelayedMessages, Due
from asgi_redis.engine.rules import CallRules
from asgi_redis.exceptions import ChannelFull, MessageTooLarge
from asgi_redis.layers.store import StoreChannelLayer
from asgi_redis.serializers import Serializer
from asgi_redis.wire import DelayOperations
from asgi_redis.wire.names import is_normal

logger = logging.getLogger("asgi_redis")


class LocalDelayedMessages(DelayedMessages):
    """
    Delayed messages, all of which wait in Redis. One for a normal channel goes to the machine that delivers it.

    Redis and this machine have no step in common: such a message is taken out of Redis first, so that it never comes
    twice, and whoever is killed in the moment before it is in its channel takes it with it.
    """

    def __init__(
        self,
        local: StoreChannelLayer,
        shards: Sequence[Shard],
        operations: DelayOperations,
        serializer: Serializer,
        rules: CallRules,
        encoder: MessageEncoder,
    ) -> None:
        super().__init__(shards, operations, serializer, rules, encoder)
        self._local = local

    def _pass_on(self, index: int, shard: Shard, due: Due) -> bool:
        if not is_normal(due.channel):
            return super()._pass_on(index, shard, due)
        if not shard.execute(self._operations.discard(due.kept, due.queue if due.waiting else None)):
            return True  # somebody else has it
        try:
            self._local.send(due.channel, due.message)
        except MessageTooLarge as error:
            self._decoder.drop(due.channel, error)
        except ChannelFull:
            return False
        except BaseException:
            self._wait(shard, due)
            raise
        return True

    def _is_taken_first(self, channel: str) -> bool:
        return is_normal(channel)
