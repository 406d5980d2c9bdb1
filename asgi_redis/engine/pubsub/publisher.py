"""Publishing as plans, and the messages of pub/sub as bytes and back."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from asgi_redis.connection import Plan, Shard
from asgi_redis.engine.codec import has_only_str_keys, invalid_message
from asgi_redis.engine.dropped import DroppedMessages
from asgi_redis.engine.pubsub.subscriptions import Taken
from asgi_redis.exceptions import MessageTooLarge, UndecodableMessage
from asgi_redis.layers.base import BaseChannelLayer
from asgi_redis.serializers import Serializer
from asgi_redis.wire.message import Batch, Message
from asgi_redis.wire.names import shard_of
from asgi_redis.wire.pubsub import group_name, publish


class Publisher:
    """The writing side of one layer; ``rules`` knows its names."""

    def __init__(
        self,
        shards: Sequence[Shard],
        prefix: str,
        serializer: Serializer,
        rules: BaseChannelLayer,
        max_message_bytes: int,
    ) -> None:
        self.shards = shards
        self._prefix = prefix
        self._serialize = serializer.serialize
        self._rules = rules
        self._max_message_bytes = max_message_bytes
        self._route = functools.lru_cache(maxsize=1024)(self._make_route)
        self._group_route = functools.lru_cache(maxsize=1024)(self._make_group_route)

    def send(self, channel: str, message: Message) -> Plan[None]:
        """Sends to a channel."""
        if not isinstance(channel, str):
            self._rules.valid_channel_name(channel)
        self._rules.check_message(message)
        shard, name = self._route(channel)
        yield [(shard, publish(name, self._member(message)))]

    def group_send(self, group: str, message: Message) -> Plan[int]:
        """Sends to a group; returns 0, in the end."""
        if not isinstance(group, str):
            self._rules.valid_group_name(group)
        self._rules.check_message(message)
        shard, name = self._group_route(group)
        yield [(shard, publish(name, self._member(message)))]
        return 0

    def _make_route(self, channel: str) -> tuple[Shard, bytes]:
        self._rules.valid_channel_name(channel)
        return self._place(channel)

    def _make_group_route(self, group: str) -> tuple[Shard, bytes]:
        self._rules.valid_group_name(group)
        return self._place(group_name(self._prefix, group))

    def _place(self, name: str) -> tuple[Shard, bytes]:
        encoded = name.encode()
        return self.shards[shard_of(encoded, len(self.shards))], encoded

    def _member(self, message: Message) -> bytes:
        try:
            member = self._serialize(message)
        except Exception as error:
            raise invalid_message(message, self._serialize, error) from error
        if not has_only_str_keys(message):
            raise invalid_message(message, self._serialize)
        if len(member) > self._max_message_bytes:
            raise MessageTooLarge(
                f"the message has {len(member)} bytes when serialised, max_message_bytes is {self._max_message_bytes}"
            )
        return member


class Decoder:
    """Makes messages of what was published, and counts what is none."""

    def __init__(self, serializer: Serializer) -> None:
        self._deserialize = serializer.deserialize  # it knows of no expiry
        self._undecodable = DroppedMessages("that cannot be decoded")

    @property
    def undecodable_count(self) -> int:
        """How many messages were dropped because they could not be decoded or decrypted."""
        return self._undecodable.count

    def decode(self, taken: Taken) -> Batch:
        """Returns the messages; those that cannot be decoded are left out."""
        decoded = [(channel, self.decode_one(channel, member)) for channel, member in taken]
        return [(channel, message) for channel, message in decoded if message is not None]

    def decode_one(self, channel: str, member: bytes) -> Message | None:
        """Returns the message, or None if it cannot be decoded."""
        try:
            message = self._deserialize(member)
            if not isinstance(message, dict):
                raise UndecodableMessage(f"a {type(message).__name__} is no message")
        except Exception as error:  # noqa: BLE001  a serialiser may raise anything; no reader may die of it
            # An error's text may repeat the content, which stays out of the log.
            self._undecodable.add(channel, type(error).__name__)
            return None
        return message
