"""Messages a second: one Redis, and one, two and three masters."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

from ..command import say
from .deployments import Deployment, masters, one_redis
from .figures import Figures, Row
from .processes import work

TABLE = "Messages a second"
LOADS = {
    "normal": "normal channel, one by one",
    "batches": "normal channel, received 100 at once",
    "local": "process-local channels",
    "group": "a group of 32",
    "tasks": "process-local channels, 64 coroutines",
}
RATE = "messages/s"
PER_CLIENT = "by CPU second of clients, messages"
PER_SERVERS = "by CPU second of servers, messages"
MASTERS = (1, 2, 3)
SHARDS = 5  # on three masters one, two and two
CLIENTS = 4  # processes


def measure(
    figures: Figures, rounds: int, seconds: float, numbers: Sequence[int] = MASTERS, clients: int = CLIENTS
) -> None:
    """Have one Redis, and clusters with different numbers of masters, take turns with each load."""
    with contextlib.ExitStack() as stack:
        starters = [one_redis(), *(masters(number, SHARDS) for number in numbers)]
        deployments = [stack.enter_context(starter) for starter in starters]
        for turn in range(rounds):
            for load, name in LOADS.items():
                for at in range(len(deployments)):
                    deployment = deployments[(at + turn) % len(deployments)]
                    orders = [deployment.order(load, number, seconds) for number in range(clients)]
                    _measure(figures, deployment, name, orders)


def _measure(figures: Figures, deployment: Deployment, name: str, orders: list[dict[str, Any]]) -> None:
    measured = work(orders, deployment.pids)
    figures.add(Row(TABLE, name, RATE), deployment.name, measured["rate"])
    figures.add(Row(TABLE, name, PER_CLIENT), deployment.name, 1e6 / measured["client"])
    figures.add(Row(TABLE, name, PER_SERVERS), deployment.name, 1e6 / measured["servers"])
    say(f"{name}: {deployment.name}: {measured['rate']:,.0f} messages/s")
