"""Publishing, as plans."""

from __future__ import annotations

import functools
from collections.abc import Collection

from asgi_redis.connection import Plan, Shard
from asgi_redis.engine.codec import MessageEncoder
from asgi_redis.engine.pubsub.placement import Placement
from asgi_redis.engine.rules import CallRules
from asgi_redis.wire.message import Message
from asgi_redis.wire.pubsub import EXCLUDE_KEY, group_name


class Publisher:
    """The sending side of a layer."""

    def __init__(self, placement: Placement, prefix: str, encoder: MessageEncoder, rules: CallRules) -> None:
        self._placement = placement
        self._publish = placement.commands.publish
        self._prefix = prefix
        self._encode = encoder.encode
        self._rules = rules
        self._route = functools.lru_cache(maxsize=1024)(self._make_route)
        self._group_route = functools.lru_cache(maxsize=1024)(self._make_group_route)

    def send(self, channel: str, message: Message) -> Plan[None]:
        """Publish to a channel."""
        if not isinstance(channel, str):
            self._rules.valid_channel_name(channel)
        self._rules.check_message(message)
        shard, name = self._route(channel)
        yield [(shard, self._publish(name, self._encode(message)))]

    def group_send(self, group: str, message: Message, exclude: Collection[str] = ()) -> Plan[int]:
        """Publish to a group; return 0."""
        if not isinstance(group, str):
            self._rules.valid_group_name(group)
        self._rules.check_message(message)
        excluded = self._rules.check_exclude(exclude)
        if excluded:
            message = {**message, EXCLUDE_KEY: sorted(excluded)}
        shard, name = self._group_route(group)
        yield [(shard, self._publish(name, self._encode(message)))]
        return 0

    def _make_route(self, channel: str) -> tuple[Shard, bytes]:
        self._rules.valid_channel_name(channel)
        return self._place(channel)

    def _make_group_route(self, group: str) -> tuple[Shard, bytes]:
        self._rules.valid_group_name(group)
        return self._place(group_name(self._prefix, group))

    def _place(self, name: str) -> tuple[Shard, bytes]:
        encoded = name.encode()
        return self._placement.shard_of(encoded), encoded
