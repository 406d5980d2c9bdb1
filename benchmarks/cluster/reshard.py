"""All slots moved to the next master and back by ``redis-cli --cluster reshard``, under load."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

import asgi_redis
from asgi_redis.embedded import RedisServer
from tests.support.clusters import SLOTS, Cluster, run_cluster
from tests.support.waiting import eventually

from ..command import say
from .client import EXPIRY_SECONDS, LARGE, MESSAGE
from .figures import Figures, Row
from .placement import slot_of_shard
from .traffic import Stream, count, stop_all

TABLE = "All slots are moved"
BEFORE, WHILE, ON_DISK = "before", "meanwhile", "meanwhile, configuration on disk"
MASTERS = 3
SHARDS = 5  # two on two of the masters, one on the third
NORMAL, LOCAL = "a normal channel", "a process-local channel"
# A master without slots would become a replica, and the slots could not come back.
OPTIONS = {"cluster-allow-replica-migration": "no"}


def measure(figures: Figures, queues: int, seconds: float, with_redis_cli: bool) -> None:
    """Move them with ``queues`` queues in the shards; ``seconds`` are those of the time before."""
    for column in (WHILE, ON_DISK):
        with (
            run_cluster(masters=MASTERS, replicas=0, options=OPTIONS, is_on_disk=column == ON_DISK) as cluster,
            asgi_redis.RedisClusterChannelLayer(
                hosts=cluster.hosts, shards=SHARDS, capacity=LARGE, expiry=EXPIRY_SECONDS
            ) as layer,
        ):
            say(column)
            _measure(figures, column, queues, layer, seconds, functools.partial(_move, cluster, with_redis_cli))
        figures.add(Row(TABLE, "slots moved", ""), column, SLOTS * 2 if with_redis_cli else 2 * SHARDS)


def _measure(
    figures: Figures, column: str, queues: int, layer: Any, seconds: float, move: Callable[[], None]
) -> None:
    for number in range(queues):
        layer.send(f"bench.{number}!kept", {"n": number, **MESSAGE})
    streams = {NORMAL: Stream(layer, "bench.normal"), LOCAL: Stream(layer, "bench.moved!own")}
    eventually(lambda: all(stream.received for stream in streams.values()))
    if column == WHILE:
        _pauses(figures, streams, BEFORE, lambda: time.sleep(seconds))
    began = time.monotonic()
    _pauses(figures, streams, column, move)
    figures.add(Row(TABLE, "in all", "s"), column, time.monotonic() - began)
    stop_all([*streams.values()])
    for name, value in count([*streams.values()]).items():
        figures.add(Row(TABLE, name, "messages"), column, value)
    kept = sum(layer.receive([f"bench.{number}!"])[1] is not None for number in range(queues))
    figures.add(Row(TABLE, "lost of those in other queues", "messages"), column, queues - kept)


def _pauses(figures: Figures, streams: dict[str, Stream], column: str, do: Callable[[], None]) -> None:
    before = {name: len(stream.received) for name, stream in streams.items()}
    since = time.monotonic()
    do()
    until = time.monotonic()
    for name, stream in streams.items():
        sender, receiver = stream.sender_pause(since, until), stream.receiver_pause(since, until)
        rate = (len(stream.received) - before[name]) / (until - since)
        figures.add(Row(TABLE, name, "longest pause of the sender, ms"), column, 1000 * sender)
        figures.add(Row(TABLE, name, "longest pause of the receiver, ms"), column, 1000 * receiver)
        figures.add(Row(TABLE, name, "messages/s"), column, rate)


def _move(cluster: Cluster, with_redis_cli: bool) -> None:
    for master, following in zip(cluster.nodes, [*cluster.nodes[1:], cluster.nodes[0]]):
        slots = [slot for slot in map(slot_of_shard, range(SHARDS)) if cluster.master_of(slot) is master]
        if with_redis_cli:
            number = _slots_of(cluster, master)
            cluster.reshard(number, master, following)
            say(f"{number} slots moved")
            cluster.reshard(number, following, master)
        else:
            for to in (following, master):
                for slot in slots:
                    cluster.move_slot(slot, to)
        say("and back")


def _slots_of(cluster: Cluster, master: RedisServer) -> int:
    ranges: Any = cluster.run(master, "CLUSTER", "SLOTS")
    name = cluster.id_of(master).encode()
    return sum(last - first + 1 for first, last, (_address, _port, owner, *_), *_ in ranges if owner == name)
