"""How a layer sends: finds the queue and its shard, serialises, checks, and says what to ask of Redis."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from typing import NamedTuple

from redis.exceptions import ResponseError

from asgi_redis.base import BaseChannelLayer, Message
from asgi_redis.classic import may_remember_capacity
from asgi_redis.connection import Shard, Steps
from asgi_redis.exceptions import MessageTooLarge
from asgi_redis.messages import has_only_str_keys, invalid_message
from asgi_redis.serializers import Serializer, spliceable
from asgi_redis.wire import GroupFrame, GroupPart, Operations, plan_group, shard_of, share

_QUEUES_PER_SCRIPT = 1000  # a script holds up every other client of its Redis, some 3 µs for each queue
_REQUESTS_AT_ONCE = 16  # each on a connection of its own


class _Route(NamedTuple):
    """One shard that a channel's messages may go to. ``last_head`` counts a refusal, which is the last attempt's."""

    shard: Shard
    head: bytes
    last_head: bytes


class _Chunk(NamedTuple):
    """The queues of one request of a group send. ``count_full``: they are tried nowhere else."""

    shard: Shard
    parts: list[GroupPart]
    count_full: bool


class Sender:
    """The writing side of one layer, as steps that a carrier takes; ``rules`` knows its names and capacities."""

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
        self._spliceable = spliceable(serializer)
        self._rules = rules
        self._longest_member = max_message_bytes + random_prefix_length
        self._random_prefix_length = random_prefix_length
        self._turns = itertools.count()
        remember = may_remember_capacity(rules)
        self._routes = functools.lru_cache(maxsize=1024 if remember else 0)(self._make_routes)
        self._plan = functools.lru_cache(maxsize=16 if remember else 0)(self._make_plan)
        self._frames = functools.lru_cache(maxsize=16 if remember else 0)(self._make_frames)

    def send(self, channel: str, message: Message) -> Steps[bool]:
        """Returns, in the end, whether the message was sent; False: the channel is full, on all of its shards."""
        routes = self._routes(channel)
        member = self.member_for(channel, message)
        turn = next(self._turns) if len(routes) > 1 else 0
        for attempt in range(len(routes)):
            route = routes[(turn + attempt) % len(routes)]
            head = route.head if attempt < len(routes) - 1 else route.last_head
            sent = yield [(route.shard, self._operations.send(head, member))]
            if sent[0]:
                return True
        return False

    def _make_routes(self, channel: str) -> list[_Route]:
        self._rules.valid_channel_name(channel)
        queue = self._rules.non_local_name(channel).encode()
        capacity = self._rules.get_capacity(channel)
        shards = len(self._shards)
        if "!" in channel or "?" in channel:
            places = [(shard_of(queue, shards), capacity)]
        else:
            places = [(shard, share(capacity, shard, shards)) for shard in range(shards)]
        return [
            _Route(
                self._shards[shard],
                self._operations.send_head(queue, part, count_full=False),
                self._operations.send_head(queue, part, count_full=True),
            )
            for shard, part in places
        ]

    def member_for(self, channel: str, message: Message) -> bytes:
        """Returns a message as an entry of the channel's queue. Raises as ``member`` does."""
        return self.member({**message, "__asgi_channel__": channel} if "!" in channel else message)

    def member(self, message: Message) -> bytes:
        """Returns a message as a queue entry. Raises ``TypeError`` and ``MessageTooLarge``."""
        try:
            member = self._serialize(message)
        except Exception as error:
            raise invalid_message(message, self._serialize, error) from error
        self._check(message, len(member))
        return member

    def _check(self, message: Message, member_length: int) -> None:
        if not has_only_str_keys(message):
            raise invalid_message(message, self._serialize)
        if member_length > self._longest_member:
            size, limit = (length - self._random_prefix_length for length in (member_length, self._longest_member))
            raise MessageTooLarge(f"the message has {size} bytes when serialised, max_message_bytes is {limit}")

    def send_group(self, members: Sequence[bytes], message: Message) -> Steps[int]:
        """
        Sends to all of ``members``, on all shards at once; returns, in the end, how many of them were full.

        Takes more than one round trip where a channel's share of one shard is used up, and another is tried.

        Raises ``redis.exceptions.ResponseError`` when all others were served, if a queue is a key of another type.
        """
        if not members:
            self.member(message)  # what cannot be sent is an error, also where nobody would get it
            return 0
        turn, dropped, left = next(self._turns), 0, tuple(members)
        refused: list[GroupPart] = []
        for attempt in range(len(self._shards)):
            last = attempt == len(self._shards) - 1
            left_out = yield from self._send_parts(left, (turn + attempt) % len(self._shards), last, message)
            full = [part for part in left_out if not part.refusal]
            refused += [part for part in left_out if part.refusal]
            dropped += sum(len(part.channels) for part in full if last or not part.elsewhere)
            left = tuple(name for part in full if part.elsewhere for name in part.channels)
            if not left:
                break
        if refused:
            others = f" and {len(refused) - 1} others" if len(refused) > 1 else ""
            raise ResponseError(f"{refused[0].refusal}: the queue of {refused[0].channels[0].decode()}{others}")
        return dropped

    def _send_parts(
        self, members: tuple[bytes, ...], turn: int, last: bool, message: Message
    ) -> Steps[list[GroupPart]]:
        if self._spliceable:
            try:
                head = self._spliceable.head(message)
            except Exception as error:
                raise invalid_message(message, self._serialize, error) from error
            longest, frames = self._frames(members, turn, last)
            self._check(message, len(head) + longest)
        else:
            head, frames = b"", self._whole_frames(self._plan(members, turn, last), message)
        requests = [(shard, self._operations.send_group(frame, head)) for shard, frame in frames]
        left_out: list[GroupPart] = []
        # Every shard is served at once: with what it counts as full, and with what is tried elsewhere, too.
        at_once = max(_REQUESTS_AT_ONCE, 2 * len(self._shards))
        for start in range(0, len(requests), at_once):
            for parts in (yield requests[start : start + at_once]):
                left_out += parts
        return left_out

    def _make_plan(self, members: tuple[bytes, ...], turn: int, last: bool) -> list[_Chunk]:
        chunks = []
        for shard, parts in zip(self._shards, plan_group(members, len(self._shards), turn, self._rules.get_capacity)):
            for count_full in (True, False):
                counted = [part for part in parts if count_full == (last or not part.elsewhere)]
                for start in range(0, len(counted), _QUEUES_PER_SCRIPT):
                    chunks.append(_Chunk(shard, counted[start : start + _QUEUES_PER_SCRIPT], count_full))
        return chunks

    def _make_frames(
        self, members: tuple[bytes, ...], turn: int, last: bool
    ) -> tuple[int, list[tuple[Shard, GroupFrame]]]:
        assert self._spliceable is not None
        longest, frames = 0, []
        for shard, parts, count_full in self._make_plan(members, turn, last):
            tails = [self._spliceable.tail(part.channels) for part in parts]
            longest = max(longest, *map(len, tails))
            frames.append((shard, self._operations.group_frame(parts, tails, count_full)))
        return longest, frames

    def _whole_frames(self, plan: Sequence[_Chunk], message: Message) -> list[tuple[Shard, GroupFrame]]:
        frames = []
        for shard, parts, count_full in plan:
            members = [
                self.member({**message, "__asgi_channel__": [name.decode() for name in part.channels]})
                for part in parts
            ]
            frames.append((shard, self._operations.group_frame(parts, members, count_full)))
        return frames
