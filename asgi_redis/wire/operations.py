"""Every call of the layer as an operation on one shard."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from asgi_redis.wire import scripts
from asgi_redis.wire.delaying import DelayOperations
from asgi_redis.wire.expiry import is_expired
from asgi_redis.wire.group_send import GroupFrame, GroupPart
from asgi_redis.wire.keys import Keys
from asgi_redis.wire.operation import Operation, bulk, command, number, script_head

CHANNEL_COUNTERS_TTL = 3600  # seconds
GLOBAL_COUNTERS_TTL = 86400  # seconds
MOST_BYTES = 1 << 20  # in one script, 1 KiB added for each message: Redis serves nobody else meanwhile
_MOST_MEMBERS = 10_000  # of a group, in one command
_FEW_KEYS = 16  # requests for so many queues are kept: readers have the same ones again and again
_KEPT = 256  # requests


class Taken(NamedTuple):
    """A message that was taken off its queue. ``age`` is in seconds; with its ``score`` it can be given back."""

    key: bytes
    member: bytes
    age: float
    score: bytes


class TakenMessages(list[Taken]):
    """What one receive has taken. ``expired``: how many messages it has dropped, by the keys of their queues."""

    expired: Mapping[bytes, int] = {}


class GroupMembers(NamedTuple):
    """
    The members of a group: all of them, if they are few.

    ``expired``: some have expired and are still there. ``more``: there are others than ``names``.
    """

    names: list[bytes]
    expired: bool
    more: bool


class Operations:
    """Makes the operations of one layer: its keys, and its expiry times in seconds."""

    def __init__(self, keys: Keys, expiry: float, group_expiry: float) -> None:
        self._keys = keys
        self._expiry = expiry
        self._expiry_argument = number(expiry)
        self._group_expiry_argument = number(group_expiry)
        self._group_ttl = b"%d" % math.ceil(group_expiry * 1000)
        self._ttl = b"%d" % math.ceil(expiry * 1000)
        self._sending = (
            self._expiry_argument,
            self._ttl,
            # In a queue that fills up, where messages come less than expiry apart, the scripts renew one TTL in 16.
            b"%d" % max(CHANNEL_COUNTERS_TTL, math.ceil(32 * expiry)),
            b"%d" % max(GLOBAL_COUNTERS_TTL, math.ceil(32 * expiry)),
        )
        self._receive_of_few = functools.lru_cache(maxsize=_KEPT)(self._make_receive)
        self._pop_of_few = functools.lru_cache(maxsize=_KEPT)(self._make_pop)
        self.group_channels = functools.lru_cache(maxsize=_KEPT)(self._make_group_channels)
        """
        ``group_channels(group)`` reads as the members' full names, as bytes, oldest first, and what is left to do.

        See ``GroupMembers``. Removes those that have expired.
        """

    def delaying(self) -> DelayOperations:
        """Returns what makes the operations of delayed messages."""
        return DelayOperations(self._keys, self._sending)

    def queue_key(self, queue: bytes) -> bytes:
        """Returns the key of a queue, for ``types``."""
        return self._keys.queue(queue)

    def send_head(self, queue: bytes, capacity: int, count_full: bool) -> bytes:
        """
        What a send to ``queue`` starts with; the same for each message, so worth keeping.

        ``count_full`` is for the last shard that is tried: a refusal there is the channel's.
        """
        keys = (self._keys.queue(queue), self._keys.counters(queue), self._keys.global_counters)
        arguments = (b"%d" % capacity, *self._sending, b"1" if count_full else b"0")
        return script_head(scripts.SEND, keys, arguments, more=1)

    def send(self, head: bytes, member: bytes) -> Operation:
        """Reads as whether the message was sent; False: the channel is full."""
        return Operation(head + bulk(member), bool, 1, scripts.SEND)

    def group_frame(self, parts: Sequence[GroupPart], tails: Sequence[bytes], count_full: bool) -> GroupFrame:
        """
        What a send to ``parts``, completed by ``tails``, has around its head; the same for each message.

        ``count_full`` is for parts that are tried nowhere else.
        """
        keys = [self._keys.queue(part.queue) for part in parts]
        keys += [self._keys.counters(part.queue) for part in parts]
        keys.append(self._keys.global_counters)
        arguments = [b"%d" % part.capacity for part in parts]
        arguments += tails
        settings = (*self._sending, b"1" if count_full else b"0")
        before = script_head(scripts.SEND_GROUP, keys, settings, more=1 + len(arguments))
        return GroupFrame(before, b"".join(map(bulk, arguments)), parts)

    def send_group(self, frame: GroupFrame, head: bytes) -> Operation:
        """Reads as the list of the parts that were full, or refused."""
        return Operation(b"".join((frame.before, bulk(head), frame.after)), frame.read, 1, scripts.SEND_GROUP)

    def receive(self, keys: Sequence[bytes], limit: int, limits: Sequence[int] = ()) -> Operation:
        """
        Takes up to ``limit`` messages, of the first queues first, and no more than ``limits`` (at least 1) of each; a
        single number is for all.

        Takes one at least, but stops at ``MOST_BYTES``, whatever waits behind them. Reads as ``TakenMessages``.
        """
        if limits or len(keys) > _FEW_KEYS:
            return self._make_receive(keys, limit, limits)
        return self._receive_of_few(tuple(keys), limit)

    def _make_receive(self, keys: Sequence[bytes], limit: int, limits: Sequence[int] = ()) -> Operation:
        arguments = [self._expiry_argument, b"%d" % limit]
        arguments += [b"%d" % number for number in limits]
        return Operation(script_head(scripts.RECEIVE, keys, arguments), _read_receive, 1, scripts.RECEIVE)

    def probe(self) -> Operation:
        """Fails where messages cannot be taken. Takes nothing itself: no channel has the name of its queue."""
        return Operation(command(b"ZPOPMIN", self._keys.queue(b":probe")), bool)

    def pop(self, keys: Sequence[bytes], timeout: float, wake: bytes = b"") -> Operation:
        """
        Waits for a message, for ``timeout`` seconds or a little longer. Reads as a ``Taken`` or None.

        The ``TIME`` behind it tells the server's clock when the message was taken. The timeout is rounded up to a
        whole number, which is all that Redis 5 takes; 0 would be none at all.

        With ``wake``, a name that is in no other use, it waits for an entry of a queue of its own, too, by which it
        can be ended: for users who may not use ``unblock``.
        """
        seconds = max(1, math.ceil(timeout))
        if wake or len(keys) > _FEW_KEYS:
            return self._make_pop(keys, seconds, wake)
        return self._pop_of_few(tuple(keys), seconds)

    def _make_pop(self, keys: Sequence[bytes], seconds: int, wake: bytes = b"") -> Operation:
        queues = (*keys, self._keys.wake(wake)) if wake else keys
        packed = command(b"BZPOPMIN", *queues, b"%d" % seconds) + command(b"TIME")
        if not wake:
            return Operation(packed, _read_pop, 2)
        entry = Taken(queues[-1], b"", 0.0, b"0")
        return Operation(
            packed, functools.partial(_read_wakeable_pop, queues[-1]), 2, None, self._requeue(entry, b"9000")
        )

    def pop_nothing(self, wake: bytes = b"") -> Operation:
        """Waits for what never comes: no channel has the name of its queue."""
        return self.pop([self._keys.queue(b":probe")], 1, wake)

    def parts_of_pop(self) -> list[Operation]:
        """
        What ``pop`` is made of, to see whether it may be used; without waiting, as the first has no valid timeout.

        Were the second forbidden alone, ``pop`` would take a message and then fail.
        """
        return [
            Operation(command(b"BZPOPMIN", self._keys.queue(b":probe"), b"-"), bool),
            Operation(command(b"TIME"), tuple),
        ]

    def is_expired(self, taken: Taken) -> bool:
        """Whether a message was older than ``expiry`` when it was taken. Scripts never take such; ``pop`` may."""
        return is_expired(taken.age, self._expiry)

    def requeue(self, taken: Taken) -> Operation:
        """Puts a message that was taken back in its place."""
        return self._requeue(taken, self._ttl)

    def _requeue(self, taken: Taken, milliseconds: bytes) -> Operation:
        arguments = (taken.member, taken.score, milliseconds)
        return Operation(script_head(scripts.REQUEUE, (taken.key,), arguments), bool, 1, scripts.REQUEUE)

    def group_add(self, group: str, channel: str) -> Operation:
        """Adds or renews a member."""
        arguments = (channel.encode(), self._group_ttl)
        head = script_head(scripts.GROUP_ADD, (self._keys.group(group),), arguments)
        return Operation(head, bool, 1, scripts.GROUP_ADD)

    def group_discard(self, group: str, channel: str) -> Operation:
        """Removes a member. Reads as whether it was one."""
        return Operation(command(b"ZREM", self._keys.group(group), channel.encode()), bool)

    def _make_group_channels(self, group: str) -> Operation:
        key = self._keys.group(group)
        # The members come from a command of their own: a script would copy each of them twice.
        arguments = (self._group_expiry_argument, b"%d" % (_MOST_MEMBERS // 4))
        packed = script_head(scripts.GROUP_EXPIRE, (key,), arguments)
        packed += command(b"ZRANGE", key, b"0", b"%d" % (_MOST_MEMBERS - 1))
        return Operation(packed, _read_members, 2, scripts.GROUP_EXPIRE)

    def scan_group(self, group: str, cursor: bytes) -> Operation:
        """
        Reads as the next cursor, ``b"0"`` at the end, and a dict of scores by members.

        However the group changes meanwhile, no member that stays is missed.
        """
        packed = command(b"ZSCAN", self._keys.group(group), cursor, b"COUNT", b"%d" % (_MOST_MEMBERS // 4))
        return Operation(packed, _read_scan)

    def channel_statistics(self, queue: bytes) -> Operation:
        """
        Reads as messages_count, channel_full_count, messages_expired, messages_pending, and the age of the oldest.

        The age is in seconds.
        """
        keys = (self._keys.queue(queue), self._keys.counters(queue))
        head = script_head(scripts.CHANNEL_STATISTICS, keys, (self._expiry_argument,))
        return Operation(head, _read_channel_statistics, 1, scripts.CHANNEL_STATISTICS)

    def global_statistics(self) -> Operation:
        """Reads as messages_count, channel_full_count and messages_expired."""
        fields = b"messages_count", b"channel_full_count", b"messages_expired"
        return Operation(command(b"HMGET", self._keys.global_counters, *fields), _read_counters)

    def count_expired(self, expired: Mapping[bytes, int]) -> Operation:
        """Counts messages that a reader has found expired, and dropped: how many, by the keys of their queues."""
        keys = [self._keys.counters(self._keys.queue_name(key).encode()) for key in expired]
        keys.append(self._keys.global_counters)
        arguments = [*self._sending[2:], *(b"%d" % number for number in expired.values())]
        return Operation(script_head(scripts.COUNT_EXPIRED, keys, arguments), bool, 1, scripts.COUNT_EXPIRED)


def scan(cursor: bytes, pattern: bytes) -> Operation:
    """Reads as the next cursor, ``b"0"`` at the end, and a list of keys."""
    return Operation(command(b"SCAN", cursor, b"MATCH", pattern, b"COUNT", b"1000"), tuple)


def unlink(keys: Sequence[bytes]) -> Operation:
    """Reads as how many keys there were."""
    return Operation(command(b"UNLINK", *keys), int)


def types(keys: Sequence[bytes]) -> Operation:
    """Reads as the list of what kind of value each key has: ``b"zset"`` or others, ``b"none"`` for no value."""
    packed = b"".join(command(b"TYPE", key) for key in keys)
    return Operation(packed, list if len(keys) > 1 else lambda reply: [reply], len(keys))


def ping() -> Operation:
    """Makes a round trip. Reads as nothing."""
    return Operation(command(b"PING"), lambda _: None)


def client_id() -> Operation:
    """Reads as the number that ``unblock`` takes, of the connection that asks."""
    return Operation(command(b"CLIENT", b"ID"), int)


def unblock(client: int) -> Operation:
    """
    Ends the blocking command of another connection by an error. Reads as whether it waited.

    Not as if its time had run out: that brings down a Redis up to 8.0 that has put the command off in a
    ``CLIENT PAUSE`` or ``FAILOVER`` (https://github.com/redis/redis/issues/14164).
    """
    return Operation(command(b"CLIENT", b"UNBLOCK", b"%d" % client, b"ERROR"), bool)


def reply() -> Operation:
    """What reads one reply of several, as it is. Not to be sent."""
    return Operation(b"", _same)


def _same(reply: Any) -> Any:
    return reply


def _read_members(replies: list[Any]) -> GroupMembers:
    (expired, number), names = replies
    return GroupMembers(names, expired > 0, number > len(names))


def _read_scan(reply: list[Any]) -> tuple[bytes, dict[bytes, float]]:
    cursor, found = reply
    # RESP 3 has pairs, and numbers for scores.
    pairs = found if found and isinstance(found[0], list) else zip(found[::2], found[1::2])
    return cursor, {name: float(score) for name, score in pairs}


def _read_receive(reply: list[Any]) -> TakenMessages:
    end = 1 + 4 * reply[0]
    taken = TakenMessages(
        [Taken(reply[i], reply[i + 1], reply[i + 2] / 1000000, reply[i + 3]) for i in range(1, end, 4)]
    )
    if len(reply) > end:
        taken.expired = dict(zip(reply[end::2], reply[end + 1 :: 2]))
    return taken


def _read_pop(replies: list[Any]) -> Taken | None:
    popped, (seconds, microseconds) = replies
    if popped is None:
        return None
    key, member, score = popped
    now = int(seconds) + int(microseconds) / 1000000
    # RESP 3 has numbers for scores.
    return Taken(key, member, now - float(score), score if isinstance(score, bytes) else number(score))


def _read_wakeable_pop(wake: bytes, replies: list[Any]) -> Taken | None:
    taken = _read_pop(replies)
    return None if taken is not None and taken.key == wake else taken


def _read_channel_statistics(reply: list[int]) -> tuple[int, int, int, int, float]:
    messages_count, channel_full_count, messages_expired, messages_pending, microseconds = reply
    return messages_count, channel_full_count, messages_expired, messages_pending, microseconds / 1000000


def _read_counters(reply: list[bytes | None]) -> tuple[int, ...]:
    return tuple(int(count or 0) for count in reply)
