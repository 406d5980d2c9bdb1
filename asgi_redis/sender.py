"""How a layer sends: finds the queue and its shard, serialises, checks, and hands over to Redis."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from typing import NamedTuple

from asgi_redis.base import BaseChannelLayer, Message
from asgi_redis.connection import Shard, execute_all
from asgi_redis.exceptions import MessageTooLarge
from asgi_redis.messages import has_only_str_keys, invalid_message
from asgi_redis.serializers import Serializer, splice_whole
from asgi_redis.wire import GroupPart, Operations, plan_group, shard_of

_QUEUES_PER_SCRIPT = 1000  # a script holds up every other client of its Redis, some 3 µs for each queue


class _Route(NamedTuple):
    """Where the messages of a channel go. `shard` is None for a channel that rotates over all of them."""

    shard: int | None
    head: bytes
    local: bool


class Sender:
    """The writing side of one layer; `rules` knows its names and capacities."""

    def __init__(
        self,
        shards: Sequence[Shard],
        operations: Operations,
        serializer: Serializer,
        rules: BaseChannelLayer,
        random_prefix_length: int,
        max_message_bytes: int,
    ) -> None:
        self._shards = shards
        self._operations = operations
        self._serialize = serializer.serialize
        self._splice = getattr(serializer, "splice", functools.partial(splice_whole, serializer))
        self._rules = rules
        self._longest_member = max_message_bytes + random_prefix_length
        self._random_prefix_length = random_prefix_length
        self._turns = itertools.count()
        self._route = functools.lru_cache(maxsize=1024)(self._make_route)

    def send(self, channel: str, message: Message) -> bool:
        """Returns whether the message was sent; False: the channel is full."""
        route = self._route(channel)
        member = self._member({**message, "__asgi_channel__": channel} if route.local else message)
        shard = next(self._turns) % len(self._shards) if route.shard is None else route.shard
        sent: bool = self._shards[shard].execute(self._operations.send(route.head, member))
        return sent

    def _make_route(self, channel: str) -> _Route:
        self._rules.valid_channel_name(channel)
        queue = self._rules.non_local_name(channel).encode()
        head = self._operations.send_head(queue, self._rules.get_capacity(channel))
        local = "!" in channel
        shard = shard_of(queue, len(self._shards)) if local or "?" in channel or len(self._shards) == 1 else None
        return _Route(shard, head, local)

    def _member(self, message: Message) -> bytes:
        try:
            member = self._serialize(message)
        except Exception as error:
            raise invalid_message(message, self._serialize, error) from error
        if not has_only_str_keys(message):
            raise invalid_message(message, self._serialize)
        if len(member) > self._longest_member:
            raise self._too_large(len(member))
        return member

    def send_group(self, members: Sequence[bytes], message: Message) -> int:
        """Sends to all of `members`, on all shards at once; returns how many of them were full."""
        head, parts_by_shard = self._plan(members, message)
        requests = []
        for shard, parts in zip(self._shards, parts_by_shard):
            for start in range(0, len(parts), _QUEUES_PER_SCRIPT):
                chunk = parts[start : start + _QUEUES_PER_SCRIPT]
                requests.append((shard, self._operations.send_group(head, chunk)))
        return sum(execute_all(requests))

    def _plan(self, members: Sequence[bytes], message: Message) -> tuple[bytes, list[list[GroupPart]]]:
        try:
            head, tail = self._splice(message)
            plan = plan_group(members, len(self._shards), self._rules.get_capacity, tail)
            # What cannot be sent is an error, also where nobody would get it.
            longest = max((len(part.tail) for parts in plan for part in parts), default=0) or len(tail([]))
        except Exception as error:
            raise invalid_message(message, self._serialize, error) from error
        if not has_only_str_keys(message):
            raise invalid_message(message, self._serialize)
        if len(head) + longest > self._longest_member:
            raise self._too_large(len(head) + longest)
        return head, plan

    def _too_large(self, member_length: int) -> MessageTooLarge:
        size, limit = (length - self._random_prefix_length for length in (member_length, self._longest_member))
        return MessageTooLarge(f"the message has {size} bytes when serialised, max_message_bytes is {limit}")
