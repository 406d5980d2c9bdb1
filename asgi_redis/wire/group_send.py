"""The operations that send to a group, and the queues that its members share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import NamedTuple

from asgi_redis.wire import scripts
from asgi_redis.wire.keys import Keys
from asgi_redis.wire.names import is_normal, members_by_queue, shard_of, share
from asgi_redis.wire.operation import Operation, bulk, bulks
from asgi_redis.wire.send import send_arguments

_NAME_OVERHEAD = 4  # bytes that a name takes up in a list in addition: quotes, a comma and a space in JSON
_LONGEST_NAME = 99 + _NAME_OVERHEAD
_COMMON = 6  # arguments of the script for all queues
_SCRIPT = bulks((b"EVALSHA", scripts.SEND_GROUP.sha))
_FIRST = itemgetter(0)


class GroupPart(NamedTuple):
    """
    One queue of a group send, and the channels of the group that its entry is for.

    ``elsewhere``: the channel is on other shards, too, which can be tried when its share of this one is used up.
    ``refusal``: the error where a key of another type is in the place of the queue.
    """

    queue: bytes
    channels: Sequence[bytes]
    elsewhere: bool = False
    refusal: str = ""


class GroupParts(NamedTuple):
    """
    Some queues of one shard, as columns: a large group needs no object for each.

    ``channels`` are those of the group that the entry of each queue is for. ``elsewhere`` is as in ``GroupPart``.
    """

    shard: int
    elsewhere: bool
    queues: Sequence[bytes]
    channels: Sequence[Sequence[bytes]]
    capacities: Sequence[int]

    def between(self, start: int, end: int) -> GroupParts:
        """Return the queues from one position up to another one."""
        if end - start == len(self.queues):
            return self
        queues, channels, capacities = self.queues[start:end], self.channels[start:end], self.capacities[start:end]
        return GroupParts(self.shard, self.elsewhere, queues, channels, capacities)

    def part(self, position: int, refusal: str = "") -> GroupPart:
        """Return the queue at a position."""
        return GroupPart(self.queues[position], self.channels[position], self.elsewhere, refusal)


class GroupFrame(NamedTuple):
    """A request to send to some queues: the bytes before and after the head."""

    before: bytes
    after: bytes
    parts: GroupParts

    def read(self, left_out: Iterable[int | tuple[int, bytes]]) -> list[GroupPart]:
        """Return the parts at these positions, counted from 1; some come with a refusal."""
        part = self.parts.part
        return [part(one - 1) if isinstance(one, int) else part(one[0] - 1, one[1].decode()) for one in left_out]


class GroupSendOperations:
    """Makes the operations of one layer, whose ``expiry`` is in seconds."""

    def __init__(self, keys: Keys, expiry: float) -> None:
        self._keys = keys
        self._common = bulks((keys.global_counters, *send_arguments(expiry)))

    def frame(self, parts: GroupParts, tails: Sequence[bytes], count_full: bool) -> GroupFrame:
        """Return the frame of a send to ``parts``, each completed by its tail."""
        queues, capacities = parts.queues, parts.capacities
        if len(set(capacities)) == 1:
            capacities = capacities[:1]  # the last one holds for all that follow
        keys = 2 * len(queues) + 1
        before = (
            b"*%d\r\n" % (3 + keys + _COMMON + len(tails) + len(capacities)),
            _SCRIPT,
            bulk(b"%d" % keys),
            bulks(queues, self._keys.queue_prefix),
            bulks(queues, self._keys.counters_prefix),
            self._common,
            bulk(b"1" if count_full else b"0"),
        )
        return GroupFrame(b"".join(before), bulks(tails) + bulks([b"%d" % one for one in capacities]), parts)

    def send(self, frame: GroupFrame, head: bytes) -> Operation:
        """Reads as the list of the parts that were full, or refused."""
        return Operation(b"".join((frame.before, bulk(head), frame.after)), frame.read, 1, scripts.SEND_GROUP)


def plan_group(
    members: Sequence[bytes],
    shards: int,
    turn: int,
    get_capacities: Callable[[Sequence[bytes]], Sequence[int]],
    name_bytes: int = 1 << 20,
) -> list[GroupParts]:
    """
    Return the parts of a group send, in the order of their shards.

    One entry of a queue serves all the members that share it, or as many as have ``name_bytes`` bytes together. A
    channel that is on all shards gets this one on a shard that moves on with ``turn``.
    """
    by_queue = members_by_queue(members)
    capacities = get_capacities(list(map(_FIRST, by_queue.values())))
    if shards == 1 and len(members) <= _names_at_once(name_bytes):
        return [GroupParts(0, False, list(by_queue), list(by_queue.values()), capacities)] if by_queue else []
    rows: dict[tuple[int, bool], list[tuple[bytes, Sequence[bytes], int]]] = {}
    for (queue, channels), capacity in zip(by_queue.items(), capacities):
        shard = shard_of(queue, shards)
        elsewhere = shards > 1 and is_normal(queue.decode())
        if elsewhere:
            shard = (shard + turn) % shards
            capacity = share(capacity, shard, shards)
        row = rows.setdefault((shard, elsewhere), [])
        row += ((queue, some, capacity) for some in _split(channels, name_bytes))
    return [GroupParts(shard, elsewhere, *zip(*row)) for (shard, elsewhere), row in sorted(rows.items())]


def _names_at_once(limit: int) -> int:
    """Return how many names are no longer than ``limit`` bytes for certain."""
    return max(1, limit // _LONGEST_NAME)


def _split(names: Sequence[bytes], limit: int) -> Iterable[Sequence[bytes]]:
    """Yield the names in lists of about ``limit`` bytes, at least one in each."""
    if len(names) <= _names_at_once(limit):  # nearly always
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
