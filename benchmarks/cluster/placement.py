"""The masters that the shards of a prefix are on, by the hash slots of ``{prefix:n}``."""

from __future__ import annotations

from collections import Counter

from redis.crc import key_slot

from asgi_redis.wire.shards import shard_tag

from .figures import simple_table

SLOTS = 16384
MASTERS = (3, 4, 6)
NUMBERS = (*range(1, 13), 16, 20, 24, 31, 32, 40, 48, 60, 64)


def slot_of_shard(shard: int, prefix: str = "asgi") -> int:
    """Return the slot that has all keys of a shard."""
    return int(key_slot(shard_tag(prefix, shard).encode()))


def shards_by_master(shards: int, masters: int, prefix: str = "asgi") -> list[int]:
    """Return the number of shards on each master, where the slots are split evenly, as ``redis-cli`` does it."""
    on = Counter(slot_of_shard(shard, prefix) * masters // SLOTS for shard in range(shards))
    return [on[master] for master in range(masters)]


def imbalance(shards: int, masters: int, prefix: str = "asgi") -> float:
    """Return the load of the busiest master in proportion to the mean; 1 is even."""
    return max(shards_by_master(shards, masters, prefix)) * masters / shards


def table(prefix: str) -> str:
    """Return a table: the shards of each master, and the load of the busiest in proportion to the mean."""
    lines = []
    for shards in NUMBERS:
        cells = []
        for masters in MASTERS:
            cells += ["+".join(map(str, shards_by_master(shards, masters, prefix)))]
            cells += [f"{imbalance(shards, masters, prefix):.2f}"]
        lines.append([str(shards), *cells])
    heads = ["shards", *(head for masters in MASTERS for head in (f"on {masters} masters", "busiest"))]
    title = f"The masters of the shards of {prefix!r}"
    return "\n".join([title, "-" * len(title), "", simple_table(heads, lines)])
