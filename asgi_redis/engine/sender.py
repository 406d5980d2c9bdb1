"""How a layer sends: finds the queue and its shard, serialises, checks, and says what to ask of Redis."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from redis.exceptions import ResponseError

from asgi_redis.connection import Plan, Request, Shard, describe_wrong_type
from asgi_redis.engine.caches import SizedCache
from asgi_redis.engine.codec import has_only_str_keys, invalid_message
from asgi_redis.exceptions import MessageTooLarge
from asgi_redis.layers.base import BaseChannelLayer
from asgi_redis.serializers import Serializer, spliceable
from asgi_redis.wire import MOST_BYTES, GroupFrame, GroupPart, Operations, plan_group
from asgi_redis.wire.message import Message
from asgi_redis.wire.names import queue_of, shares
from asgi_redis.wire.operations import types

_QUEUE_COST = 2048  # a queue takes a script as long as so many bytes do, beside those of its entry
_REQUESTS_AT_ONCE = 16  # each on a connection of its own
_BYTES_AT_ONCE = 4 * MOST_BYTES  # in requests that were made and not answered
_MOST_NAMES = 1 << 20  # bytes of the names in one entry
_CACHE_BYTES = 32 << 20


class _Route(NamedTuple):
    """One shard that a channel's messages may go to. ``last_head`` counts a refusal, which is the last attempt's."""

    shard: Shard
    head: bytes
    last_head: bytes


class _Plan(NamedTuple):
    """
    The queues of a group send, for each shard: those that are tried nowhere else, whose refusals count, and others.

    ``longest_name`` is that of a channel, ``largest`` the part with the most names.
    """

    parts: list[tuple[Shard, list[GroupPart], bool]]
    longest_name: bytes
    largest: GroupPart


class _Frames(NamedTuple):
    """
    Requests of a group send but for the head of the message, to which some add bytes.

    ``longest``: a tail with one name, in bytes.
    """

    frames: list[tuple[Shard, GroupFrame, bytes]]
    longest: int


class Sender:
    """The writing side of one layer, as plans; ``rules`` knows its names and capacities."""

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
        remember = rules.keeps_capacities
        self._routes = functools.lru_cache(maxsize=1024 if remember else 0)(self._make_routes)
        self._most_names = min(_MOST_NAMES, max_message_bytes)
        self._plans: SizedCache[_Plan] = SizedCache(_CACHE_BYTES if remember else 0)
        self._frames: SizedCache[_Frames] = SizedCache(_CACHE_BYTES if remember else 0)

    def send(self, channel: str, message: Message) -> Plan[bool]:
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
        name = queue_of(channel)
        queue = name.encode()
        return [
            _Route(
                self._shards[shard],
                self._operations.send_head(queue, part, count_full=False),
                self._operations.send_head(queue, part, count_full=True),
            )
            for shard, part in shares(name, self._rules.get_capacity(channel), len(self._shards)).items()
        ]

    def member_for(self, channel: str, message: Message) -> bytes:
        """Returns a message as an entry of the channel's queue. Raises as ``member`` does."""
        return self.member({**message, "__asgi_channel__": channel} if "!" in channel else message)

    def member(self, message: Message) -> bytes:
        """Returns a message as a queue entry. Raises ``TypeError`` and ``MessageTooLarge``."""
        member = self._serialized(message)
        self._check(message, len(member))
        return member

    def _serialized(self, message: Message) -> bytes:
        try:
            return self._serialize(message)
        except Exception as error:
            raise invalid_message(message, self._serialize, error) from error

    def _check(self, message: Message, member_length: int) -> None:
        if not has_only_str_keys(message):
            raise invalid_message(message, self._serialize)
        if member_length > self._longest_member:
            size, limit = (length - self._random_prefix_length for length in (member_length, self._longest_member))
            raise MessageTooLarge(f"the message has {size} bytes when serialised, max_message_bytes is {limit}")

    def send_group(self, members: Sequence[bytes], message: Message) -> Plan[int]:
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
            raise (yield from self._refusal(refused))
        return dropped

    def _refusal(self, refused: Sequence[GroupPart]) -> Plan[ResponseError]:
        first, others = refused[0], f" and {len(refused) - 1} others" if len(refused) > 1 else ""
        told = f"{first.refusal}: the queue of {first.channels[0].decode()}{others}"
        key = self._operations.queue_key(first.queue)
        kinds = yield [(shard, types([key])) for shard in self._shards]
        for shard, (kind,) in zip(self._shards, kinds):
            if kind not in (b"zset", b"none"):
                told += f": {describe_wrong_type(shard.host, key, kind)}"
        return ResponseError(told)

    def _send_parts(
        self, members: tuple[bytes, ...], turn: int, last: bool, message: Message
    ) -> Plan[list[GroupPart]]:
        send = self._spliced_requests if self._spliceable else self._whole_requests
        left_out: list[GroupPart] = []
        for requests in self._rounds(send(members, turn, last, message)):
            for parts in (yield requests):
                left_out += parts
        return left_out

    def _rounds(self, requests: Iterable[Request]) -> Iterator[list[Request]]:
        """Yields requests in lists, and makes no more of them than are sent at once."""
        # Every shard is served at once: with what it counts as full, and with what is tried elsewhere, too.
        at_once = max(_REQUESTS_AT_ONCE, 2 * len(self._shards))
        some: list[Request] = []
        size = 0
        for request in requests:
            some.append(request)
            size += len(request[1].packed)
            if len(some) >= at_once or size >= _BYTES_AT_ONCE:
                yield some
                some, size = [], 0
        if some:
            yield some

    def _spliced_requests(
        self, members: tuple[bytes, ...], turn: int, last: bool, message: Message
    ) -> Iterator[Request]:
        """Checks the message, then yields requests that have its bytes once for many queues."""
        assert self._spliceable is not None
        try:
            head = self._spliceable.head(message)
        except Exception as error:
            raise invalid_message(message, self._serialize, error) from error
        key = (members, turn, last, _rounded(len(head)))
        found = self._frames.get(key)
        if found is None:
            found = self._make_frames(*key)
            size = sum(len(frame.before) + len(frame.after) + len(tail) for _, frame, tail in found.frames)
            self._frames.put(key, found, size + _size(members))
        self._check(message, len(head) + found.longest)
        for shard, frame, tail in found.frames:
            yield shard, self._operations.send_group(frame, head + tail)

    def _make_frames(self, members: tuple[bytes, ...], turn: int, last: bool, head_length: int) -> _Frames:
        assert self._spliceable is not None
        plan = self._make_plan(members, turn, last)
        frames = []
        for shard, parts, count_full in plan.parts:
            tails = ((part, self._spliceable.tail(part.channels)) for part in parts)
            for some in _chunks(tails, head_length):
                frames.append((shard, *self._frame(some, count_full)))
        return _Frames(frames, len(self._spliceable.tail([plan.longest_name])))

    def _whole_requests(
        self, members: tuple[bytes, ...], turn: int, last: bool, message: Message
    ) -> Iterator[Request]:
        """Checks the message, then yields requests that have an entry for each queue, made when it is its turn."""
        key = (members, turn, last)
        plan = self._plans.get(key)
        if plan is None:
            plan = self._make_plan(*key)
            self._plans.put(key, plan, _size(members))
        largest = self._entry(message, plan.largest.channels)
        length = len(largest)
        if length > self._longest_member:
            length = len(self._entry(message, [plan.longest_name]))
        self._check(message, length)
        for shard, parts, count_full in plan.parts:
            entries = (
                (part, largest if part is plan.largest else self._entry(message, part.channels)) for part in parts
            )
            for some in _chunks(entries):
                yield shard, self._operations.send_group(*self._frame(some, count_full))

    def _frame(self, some: Sequence[tuple[GroupPart, bytes]], count_full: bool) -> tuple[GroupFrame, bytes]:
        """Returns the frame of a request to some queues, and what its head ends with."""
        parts, tails = [part for part, _ in some], [tail for _, tail in some]
        if len(some) > 1:
            return self._operations.group_frame(parts, tails, count_full), b""
        # An entry of its own comes whole: putting together one that is large takes a script long.
        return self._operations.group_frame(parts, [b""], count_full), tails[0]

    def _entry(self, message: Message, channels: Sequence[bytes]) -> bytes:
        return self._serialized({**message, "__asgi_channel__": [name.decode() for name in channels]})

    def _make_plan(self, members: tuple[bytes, ...], turn: int, last: bool) -> _Plan:
        by_shard = plan_group(members, len(self._shards), turn, self._rules.get_capacity, self._most_names)
        plan: list[tuple[Shard, list[GroupPart], bool]] = []
        for shard, parts in zip(self._shards, by_shard):
            for count_full in (True, False):
                counted = [part for part in parts if count_full == (last or not part.elsewhere)]
                if counted:
                    plan.append((shard, counted, count_full))
        every_part = [part for _, parts, _ in plan for part in parts]
        return _Plan(plan, max(members, key=len), max(every_part, key=lambda part: len(part.channels)))


def _chunks(
    entries: Iterable[tuple[GroupPart, bytes]], head_length: int = 0
) -> Iterator[list[tuple[GroupPart, bytes]]]:
    """Yields parts with the bytes that are for them, as many at a time as one script may serve."""
    some: list[tuple[GroupPart, bytes]] = []
    size = 0
    for entry in entries:
        cost = _QUEUE_COST + head_length + len(entry[1])
        if some and size + cost > MOST_BYTES:
            yield some
            some, size = [], 0
        some.append(entry)
        size += cost
    if some:
        yield some


def _rounded(length: int) -> int:
    """Returns a length that many share, no less than ``length`` and no more than twice that: a power of two."""
    return 1 << (length - 1).bit_length()


def _size(members: Sequence[bytes]) -> int:
    """Returns about how many bytes a plan for ``members`` takes up with them."""
    return sum(map(len, members)) + 500 * len(members)
