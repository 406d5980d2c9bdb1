"""The operations that send to a group, and the queues that its members share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from asgi_redis.wire import scripts
from asgi_redis.wire.keys import Keys
from asgi_redis.wire.names import is_normal, queue_of_member, shard_of, share
from asgi_redis.wire.operation import Operation, bulk, script_head
from asgi_redis.wire.send import send_arguments

_NAME_OVERHEAD = 4  # bytes that a name takes up in a list in addition: quotes, a comma and a space in JSON
_LONGEST_NAME = 99 + _NAME_OVERHEAD


class GroupPart(NamedTuple):
    """
    One queue of a group send, and the channels of the group that its entry is for.

    ``elsewhere``: the channel is on other shards, too, which can be tried when its share of this one is used up.
    ``refusal``: the error where a key of another type is in the place of the queue.
    """

    queue: bytes
    capacity: int
    channels: list[bytes]
    elsewhere: bool = False
    refusal: str = ""


class GroupFrame(NamedTuple):
    """A request to send to some queues: the bytes before and after the head."""

    before: bytes
    after: bytes
    parts: Sequence[GroupPart]

    def read(self, left_out: Iterable[int | tuple[int, bytes]]) -> list[GroupPart]:
        """Return the parts at these positions, counted from 1; some come with a refusal."""
        return [
            self.parts[one - 1] if isinstance(one, int) else self.parts[one[0] - 1]._replace(refusal=one[1].decode())
            for one in left_out
        ]


class GroupSendOperations:
    """Makes the operations of one layer, whose ``expiry`` is in seconds."""

    def __init__(self, keys: Keys, expiry: float) -> None:
        self._keys = keys
        self._arguments = send_arguments(expiry)

    def frame(self, parts: Sequence[GroupPart], tails: Sequence[bytes], count_full: bool) -> GroupFrame:
        """Return the frame of a send to ``parts``, each completed by its tail."""
        keys = [self._keys.queue(part.queue) for part in parts]
        keys += [self._keys.counters(part.queue) for part in parts]
        keys.append(self._keys.global_counters)
        arguments = [b"%d" % part.capacity for part in parts]
        arguments += tails
        settings = (*self._arguments, b"1" if count_full else b"0")
        before = script_head(scripts.SEND_GROUP, keys, settings, more=1 + len(arguments))
        return GroupFrame(before, b"".join(map(bulk, arguments)), parts)

    def send(self, frame: GroupFrame, head: bytes) -> Operation:
        """Reads as the list of the parts that were full, or refused."""
        return Operation(b"".join((frame.before, bulk(head), frame.after)), frame.read, 1, scripts.SEND_GROUP)


def plan_group(
    members: Iterable[bytes], shards: int, turn: int, get_capacity: Callable[[str], int], name_bytes: int = 1 << 20
) -> list[list[GroupPart]]:
    """
    Return the parts of a group send, for each shard.

    One entry of a queue serves all the members that share it, or as many as have ``name_bytes`` bytes together. A
    channel that is on all shards gets this one on a shard that moves on with ``turn``.
    """
    queues: dict[bytes, list[bytes]] = {}
    for member in members:
        queue = queue_of_member(member)
        if queue is not None:  # another program may have put anything into the group
            queues.setdefault(queue, []).append(member)
    parts: list[list[GroupPart]] = [[] for _ in range(shards)]
    for queue, channels in queues.items():
        channel = channels[0].decode()
        capacity = get_capacity(channel)
        shard = shard_of(queue, shards)
        elsewhere = shards > 1 and is_normal(channel)
        if elsewhere:
            shard = (shard + turn) % shards
            capacity = share(capacity, shard, shards)
        for some in _split(channels, name_bytes):
            parts[shard].append(GroupPart(queue, capacity, some, elsewhere))
    return parts


def _split(names: list[bytes], limit: int) -> Iterable[list[bytes]]:
    """Yield the names in lists of about ``limit`` bytes, at least one in each."""
    at_once = max(1, limit // _LONGEST_NAME)
    if len(names) <= at_once:  # nearly always
        yield names
        return
    size, some = 0, list[bytes]()
    for name in names:
        size += len(name) + _NAME_OVERHEAD
        if some and size > limit:
            yield some
            size, some = len(name) + _NAME_OVERHEAD, []
        some.append(name)
    yield some
