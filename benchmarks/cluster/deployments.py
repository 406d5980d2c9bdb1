"""One Redis, and clusters of several sizes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from asgi_redis.embedded import RedisServer
from tests.support.clusters import run_cluster

ONE_REDIS = "one Redis"


class Deployment(NamedTuple):
    """Servers, and what a client has to know of them; ``shards`` is 0 for one Redis."""

    name: str
    hosts: list[tuple[str, int]]
    shards: int
    pids: list[int]
    prefix: str = "asgi"

    def settings(self) -> dict[str, Any]:
        """Return the settings of its layer that are its own."""
        return {"hosts": self.hosts, "prefix": self.prefix, **({"shards": self.shards} if self.shards else {})}

    def order(self, load: str, number: int = 0, seconds: float = 0.0) -> dict[str, Any]:
        """Return the order for a client process; see ``client.py``."""
        return {"settings": self.settings(), "load": load, "number": number, "seconds": seconds}


@contextlib.contextmanager
def one_redis() -> Iterator[Deployment]:
    """Run one plain Redis."""
    with RedisServer() as server:
        yield Deployment(ONE_REDIS, [(server.host, server.port or 0)], 0, [server.pid or 0])


@contextlib.contextmanager
def masters(number: int, shards: int) -> Iterator[Deployment]:
    """Run a cluster of so many masters, without replicas."""
    with run_cluster(masters=number, replicas=0) as cluster:
        name = f"{number} master{'s' * (number > 1)}"
        yield Deployment(name, cluster.hosts, shards, [node.pid or 0 for node in cluster.nodes])
