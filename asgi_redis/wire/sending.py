"""Which queues a group's message goes into, and what each of them gets."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from asgi_redis.wire.keys import shard_of


class GroupPart(NamedTuple):
    """One queue's share of a group send: what completes its member, and how many channels of the group it serves."""

    queue: bytes
    capacity: int
    tail: bytes
    channels: int


def plan_group(
    members: Iterable[bytes],
    shards: int,
    get_capacity: Callable[[str], int],
    tail: Callable[[list[bytes]], bytes],
) -> list[list[GroupPart]]:
    """
    Returns the parts of a group send, for each shard.

    One entry of a queue serves all the members that share it, so `tail` gets all their names.
    """
    queues: dict[bytes, list[bytes]] = {}
    for member in members:
        before, mark, _ = member.partition(b"!")
        queues.setdefault(before + mark, []).append(member)
    parts: list[list[GroupPart]] = [[] for _ in range(shards)]
    for queue, names in queues.items():
        part = GroupPart(queue, get_capacity(names[0].decode()), tail(names), len(names))
        parts[shard_of(queue, shards) if shards > 1 else 0].append(part)
    return parts
