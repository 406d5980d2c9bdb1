"""The cost of a shard more: a blocking receive on 1 to 64 shards, and a send."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from statistics import quantiles
from typing import Any

from ..command import say
from .client import layer_of
from .deployments import ONE_REDIS, Deployment, masters, one_redis
from .figures import Figures, Row
from .processes import Client, cpu_seconds, work

TABLE = "The cost of a shard more"
SHARDS = (1, 4, 16, 64)
MASTERS = 3
BETWEEN_SECONDS = 0.03  # from one message to the next: longer than one takes on 64 shards
IDLE_TIMES = 6  # as long as all else: a wait is renewed every five seconds
SETTLE_SECONDS = 0.5  # until a client that has just started waits
CONNECTIONS = "connections of a process that waits"
WAKE_UPS = "waiting process gets a message"
IDLE = "nothing comes"
LOOKS = "receive from an empty channel"
SENDS = "send"


def measure(figures: Figures, rounds: int, seconds: float, shards: Sequence[int] = SHARDS) -> None:
    """Have one Redis, and layers with different numbers of shards on the same masters, take turns."""
    with one_redis() as redis, masters(MASTERS, 1) as cluster:
        deployments = [(ONE_REDIS, redis), *((column_of(n), _sharded(cluster, n)) for n in shards)]
        for turn in range(rounds):
            alone = {one.name: _cpu_per_second(one.pids, IDLE_TIMES * seconds) for one in (redis, cluster)}
            for at in range(len(deployments)):
                column, deployment = deployments[(at + turn) % len(deployments)]
                _measure_wait(figures, column, deployment, seconds, alone[deployment.name])
                for load, name in (("looks", LOOKS), ("sends", SENDS)):
                    _measure_calls(figures, column, deployment, load, name, seconds)
                say(f"{column}: measured")


def column_of(shards: int) -> str:
    """Return the heading of a number of shards."""
    return f"{shards} shard{'s' * (shards > 1)}"


def _sharded(cluster: Deployment, shards: int) -> Deployment:
    # A cluster is told once how many shards a prefix has.
    return cluster._replace(shards=shards, prefix=f"bench{shards}")


def _measure_wait(figures: Figures, column: str, deployment: Deployment, seconds: float, alone: float) -> None:
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(Client(deployment.order("wait")))
        layer = stack.enter_context(layer_of(deployment.settings()))
        client.wait_until_ready()
        layer.send("bench.wait", {"at": time.monotonic()})  # connects both
        time.sleep(SETTLE_SECONDS)
        figures.add(Row(TABLE, CONNECTIONS, ""), column, client.sockets())
        pids = [[client.pid], deployment.pids]
        used, began = [*map(cpu_seconds, pids)], time.perf_counter()
        time.sleep(IDLE_TIMES * seconds)
        idle = [(cpu_seconds(one) - before) / (time.perf_counter() - began) for one, before in zip(pids, used)]
        figures.add(Row(TABLE, IDLE, "client, % of a CPU"), column, 100 * idle[0])
        figures.add(Row(TABLE, IDLE, "servers, % of a CPU more"), column, 100 * (idle[1] - alone))
        number = max(2, int(2 * seconds / BETWEEN_SECONDS))
        used = [*map(cpu_seconds, pids)]
        _send_now_and_then(layer, number)
        _, *taken = client.answer()["taken"]
        costs = [1e6 * (cpu_seconds(one) - before) / number for one, before in zip(pids, used)]
    cuts = quantiles(taken, n=100, method="inclusive")
    figures.add(Row(TABLE, WAKE_UPS, "p50, ms"), column, 1000 * cuts[49])
    figures.add(Row(TABLE, WAKE_UPS, "p99, ms"), column, 1000 * cuts[98])
    figures.add(Row(TABLE, WAKE_UPS, "client CPU, µs"), column, costs[0])
    figures.add(Row(TABLE, WAKE_UPS, "servers' CPU, µs"), column, costs[1])


def _send_now_and_then(layer: Any, number: int) -> None:
    for _ in range(number):
        layer.send("bench.wait", {"at": time.monotonic()})
        time.sleep(BETWEEN_SECONDS)
    layer.send("bench.wait", {"last": True})


def _cpu_per_second(pids: list[int], seconds: float) -> float:
    used = cpu_seconds(pids)
    time.sleep(seconds)
    return (cpu_seconds(pids) - used) / seconds


def _measure_calls(
    figures: Figures, column: str, deployment: Deployment, load: str, name: str, seconds: float
) -> None:
    measured = work([deployment.order(load, seconds=seconds)], deployment.pids)
    figures.add(Row(TABLE, name, "one caller, µs"), column, 1e6 / measured["rate"])
    figures.add(Row(TABLE, name, "client CPU, µs"), column, measured["client"])
    figures.add(Row(TABLE, name, "servers' CPU, µs"), column, measured["servers"])
    with layer_of(deployment.settings()) as layer:
        layer.flush()
