"""The cost of a failover: three masters with a replica each, one of which is killed under load."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from statistics import median

import asgi_redis
from asgi_redis.embedded import RedisServer
from tests.support.clusters import Cluster, run_cluster
from tests.support.waiting import eventually

from ..command import say
from .client import LARGE
from .figures import Figures, Row
from .placement import slot_of_shard
from .traffic import IN_FLIGHT_SECONDS, Stream, count, stop_all

TABLE = "A master is killed"
COVERAGE = "cluster-require-full-coverage"  # whether all shards wait for those of a dead master
COVERAGES = ("yes", "no")
ALL = "all kills"
MASTERS = 3
SHARDS = 5  # two on two of the masters, one on the third
WARM_UP_SECONDS = 0.5
GO_ON_SECONDS = 1.0
LONGEST_SECONDS = 30.0
KILLED, OTHER, NORMAL = "a shard on that master", "a shard on another master", "a normal channel, on all shards"


def measure(figures: Figures, kills: int, coverages: Sequence[str]) -> None:
    """Kill a master of a new cluster, so many times with each value of ``cluster-require-full-coverage``."""
    for coverage in coverages:
        table = TABLE if coverage == "yes" else f"{TABLE}, {COVERAGE} {coverage}"
        times: dict[str, list[float]] = {}
        counts: Counter[str] = Counter()
        for turn in range(kills):
            for name, seconds in _kill(turn % MASTERS, coverage, counts).items():
                times.setdefault(name, []).append(seconds)
            say(f"kill {turn + 1}: " + ", ".join(f"{name} {values[-1]:.2f} s" for name, values in times.items()))
        for name, values in times.items():
            figures.add(Row(table, name, "s"), "median", median(values))
            figures.add(Row(table, name, "s"), "largest", max(values))
        for name, number in counts.items():
            figures.add(Row(table, name, "messages"), ALL, number)


def _kill(which: int, coverage: str, counts: Counter[str]) -> dict[str, float]:
    """Return the times of one kill; add to the counts."""
    with (
        run_cluster(masters=MASTERS, replicas=1, options={COVERAGE: coverage}) as cluster,
        asgi_redis.RedisClusterChannelLayer(hosts=cluster.hosts, shards=SHARDS, capacity=LARGE) as layer,
    ):
        victim = cluster.masters()[which]
        on_victim, on_another = _channels(cluster, layer, victim)
        channels = {KILLED: on_victim, OTHER: on_another, NORMAL: "bench.normal"}
        streams = {name: Stream(layer, channel) for name, channel in channels.items()}
        eventually(lambda: all(stream.received for stream in streams.values()))
        time.sleep(WARM_UP_SECONDS)
        killed = time.monotonic()
        cluster.kill(victim)
        eventually(lambda: all(_goes_on(one, killed) for one in streams.values()), LONGEST_SECONDS)
        time.sleep(GO_ON_SECONDS)
        until = time.monotonic()
        stop_all([*streams.values()])
    for name, number in count([*streams.values()]).items():
        counts[name] += number
    times = {
        f"{KILLED}: first send": streams[KILLED].first_sent(killed),
        f"{KILLED}: first receive": streams[KILLED].first_received(killed),
    }
    for name in (OTHER, NORMAL):
        times[f"{name}: longest pause of the sender"] = streams[name].sender_pause(killed, until)
        times[f"{name}: longest pause of the receiver"] = streams[name].receiver_pause(killed, until)
    return times


def _goes_on(stream: Stream, killed: float) -> bool:
    return all(one[-1][0] > killed + 2 * IN_FLIGHT_SECONDS for one in (stream.acknowledged, stream.received))


def _channels(cluster: Cluster, layer: asgi_redis.RedisClusterChannelLayer, victim: RedisServer) -> tuple[str, str]:
    """Return a process-local channel on the victim, and one on another master."""
    found: dict[bool, str] = {}
    number = 0
    while len(found) < 2:
        queue = f"bench.{number}!"
        master = cluster.master_of(slot_of_shard(layer.consistent_hash(queue)))
        found.setdefault(master is victim, f"{queue}own")
        number += 1
    return found[True], found[False]
