"""Sending to a group: its queues on all shards, in chunks for one script each."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from redis.exceptions import ResponseError

from asgi_redis.connection import Plan, Request, Shard, describe_wrong_type
from asgi_redis.engine.caches import SizedCache
from asgi_redis.engine.codec import MessageEncoder
from asgi_redis.engine.rules import CallRules
from asgi_redis.wire import MAX_SCRIPT_BYTES, GroupFrame, GroupPart, GroupParts, GroupSendOperations, Keys, plan_group
from asgi_redis.wire.message import Message
from asgi_redis.wire.server import types

_QUEUE_COST = 2048  # a queue takes a script as long as so many bytes do, in addition to those of its entry
_REQUESTS_AT_ONCE = 16  # each on its own connection
_BYTES_AT_ONCE = 4 * MAX_SCRIPT_BYTES  # in requests that were made and not answered
_MAX_NAME_BYTES = 1 << 20  # of the names in one entry
_CACHE_BYTES = 32 << 20


class _Frames(NamedTuple):
    """Requests without their heads, with bytes that some add, and the longest tail."""

    members: tuple[bytes, ...]
    frames: list[tuple[int, GroupFrame, bytes]]
    longest: int


class GroupSender:
    """Sends the messages of one layer to members of groups."""

    def __init__(
        self,
        shards: Sequence[Shard],
        keys: Sequence[Keys],
        encoder: MessageEncoder,
        rules: CallRules,
    ) -> None:
        self._shards = shards
        self._keys = keys
        self._operations = [GroupSendOperations(of_shard, rules.expiry) for of_shard in keys]
        self._encoder = encoder
        self._spliceable = encoder.spliceable
        self._rules = rules
        self._turns = itertools.count()
        self._name_bytes = min(_MAX_NAME_BYTES, encoder.max_message_bytes)
        cache_bytes = _CACHE_BYTES if rules.keeps_capacities else 0
        self._placements: SizedCache[list[GroupParts]] = SizedCache(cache_bytes)
        self._frames: SizedCache[_Frames] = SizedCache(cache_bytes)

    def send(self, members: Sequence[bytes], message: Message) -> Plan[int]:
        """
        Send to all of ``members``, on all shards at once; return how many were full.

        Takes more than one round trip where a channel's share of one shard is used up, and another is tried.

        Raises ``redis.exceptions.ResponseError`` when all others were served, if a queue is a key of another type.
        """
        if not members:
            self._encoder.encode(message)  # a message that cannot be sent is an error, also for an empty group
            return 0
        turn, left = next(self._turns), tuple(members)
        missed: list[GroupPart] = []
        for attempt in range(len(self._shards)):
            last = attempt == len(self._shards) - 1
            left_out = yield from self._send_parts(left, (turn + attempt) % len(self._shards), last, message)
            again = [part for part in left_out if part.elsewhere and not part.refusal and not last]
            missed += [part for part in left_out if part not in again] if again else left_out
            left = tuple(name for part in again for name in part.channels)
            if not left:
                break
        return (yield from self.count(missed)) if missed else 0

    def count(self, missed: Sequence[GroupPart]) -> Plan[int]:
        """
        Return how many channels did not get a message, as their queues were full.

        Raises ``redis.exceptions.ResponseError`` for the queues that were refused.
        """
        refused = [part for part in missed if part.refusal]
        if refused:
            raise (yield from self._refusal(refused))
        return sum(len(part.channels) for part in missed)

    def _refusal(self, refused: Sequence[GroupPart]) -> Plan[ResponseError]:
        first, others = refused[0], f" and {len(refused) - 1} others" if len(refused) > 1 else ""
        text = f"{first.refusal}: the queue of {first.channels[0].decode()}{others}"
        keys = [of_shard.queue(first.queue) for of_shard in self._keys]
        kinds = yield [(shard, types([key])) for shard, key in zip(self._shards, keys)]
        for shard, key, (kind,) in zip(self._shards, keys, kinds):
            if kind not in (b"zset", b"none"):
                text += f": {describe_wrong_type(shard.name, key, kind)}"
        return ResponseError(text)

    def _send_parts(
        self, members: tuple[bytes, ...], turn: int, last: bool, message: Message
    ) -> Plan[list[GroupPart]]:
        make_requests = self._spliced_requests if self._spliceable else self._whole_requests
        left_out: list[GroupPart] = []
        for requests in self._rounds(make_requests(members, turn, last, message)):
            for parts in (yield requests):
                left_out += parts
        return left_out

    def _rounds(self, requests: Iterable[Request]) -> Iterator[list[Request]]:
        """Yield requests in lists, and make no more of them than are sent at once."""
        # Each shard is served at once, by two requests at most: with and without counted refusals.
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
        """Check the message, then yield requests that have its bytes once for many queues."""
        head = self._encoder.head(message)
        # A hash of all the names would take longer than the look at whether they are the same.
        key = (len(members), members[0], members[-1], turn, last, _rounded(len(head)))
        found = self._frames.get(key)
        if found is None or found.members != members:
            found = self._make_frames(members, *key[3:])
            size = sum(len(frame.before) + len(frame.after) + len(tail) for _, frame, tail in found.frames)
            self._frames.put(key, found, size + _size(members))
        self._encoder.check(message, len(head) + found.longest)
        for number, frame, tail in found.frames:
            yield self._shards[number], self._operations[number].send(frame, head + tail)

    def _make_frames(self, members: tuple[bytes, ...], turn: int, last: bool, head_length: int) -> _Frames:
        assert self._spliceable is not None
        frames = []
        for parts in self._place(members, turn):
            start = 0
            for tails in _chunks(self._spliceable.tails(parts.channels), head_length):
                some = parts.between(start, start + len(tails))
                frames.append((parts.shard, *self._frame(some, tails, last)))
                start += len(tails)
        return _Frames(members, frames, len(self._spliceable.tail([max(members, key=len)])))

    def _whole_requests(
        self, members: tuple[bytes, ...], turn: int, last: bool, message: Message
    ) -> Iterator[Request]:
        """Check the message, then yield requests with an entry for each queue."""
        placed = self._placements.get((members, turn))
        if placed is None:
            placed = self._place(members, turn)
            self._placements.put((members, turn), placed, _size(members))
        encode = self._encoder.encode_for_group
        most_names = max(itertools.chain.from_iterable(parts.channels for parts in placed), key=len, default=())
        largest = encode(most_names, message)
        length = len(largest)
        if self._encoder.is_too_long(length):
            length = len(encode([max(members, key=len)], message))
        self._encoder.check(message, length)
        for parts in placed:
            entries = (largest if names is most_names else encode(names, message) for names in parts.channels)
            start = 0
            for some in _chunks(entries):
                frame, head = self._frame(parts.between(start, start + len(some)), some, last)
                yield self._shards[parts.shard], self._operations[parts.shard].send(frame, head)
                start += len(some)

    def _frame(self, parts: GroupParts, tails: Sequence[bytes], last: bool) -> tuple[GroupFrame, bytes]:
        """Return the frame of a request to queues of a shard, and the end of its head."""
        # A queue that is tried nowhere else has a refusal that counts.
        frame, count_full = self._operations[parts.shard].frame, last or not parts.elsewhere
        if len(tails) > 1:
            return frame(parts, tails, count_full), b""
        # A single entry comes whole: a script takes long to put together a large one.
        return frame(parts, [b""], count_full), tails[0]

    def _place(self, members: tuple[bytes, ...], turn: int) -> list[GroupParts]:
        return plan_group(members, len(self._shards), turn, self._rules.get_capacities, self._name_bytes)


def _chunks(entries: Iterable[bytes], head_length: int = 0) -> Iterator[list[bytes]]:
    """Yield entries, or their tails, as many at a time as one script may serve."""
    some: list[bytes] = []
    size = 0
    for entry in entries:
        cost = _QUEUE_COST + head_length + len(entry)
        if some and size + cost > MAX_SCRIPT_BYTES:
            yield some
            some, size = [], 0
        some.append(entry)
        size += cost
    if some:
        yield some


def _rounded(length: int) -> int:
    """Return the power of two that is no less than ``length``: many lengths share it."""
    return 1 << (length - 1).bit_length()


def _size(members: Sequence[bytes]) -> int:
    """Return about how many bytes a placement of ``members`` takes up with them."""
    return sum(map(len, members)) + 500 * len(members)
