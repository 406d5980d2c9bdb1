"""Layers over clusters."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest

from asgi_redis import RedisClusterChannelLayer
from tests.support.clusters import Cluster, run_cluster, slot_of


@pytest.fixture(scope="session")
def masters(cluster_binary: str) -> Iterator[Cluster]:
    """Three masters that the tests share: each moves the slots of its own ``prefix`` alone, and ends its moves."""
    with run_cluster(3, 0, cluster_binary) as running:
        yield running


@pytest.fixture
def cluster_layer(prefix: str) -> Iterator[Callable[..., RedisClusterChannelLayer]]:
    """``cluster_layer(cluster, **settings)`` makes a layer with one shard under ``prefix``, closed in the end."""
    with contextlib.ExitStack() as stack:

        def make(cluster: Cluster, **settings: object) -> RedisClusterChannelLayer:
            given = {"hosts": cluster.hosts, "prefix": prefix, "shards": 1, "capacity": 100_000, **settings}
            layer = stack.enter_context(RedisClusterChannelLayer(**given))  # type: ignore[arg-type]
            layer.block_timeout = 20  # what is to come may take long on a busy machine
            return layer

        yield make


class Move:
    """The move of the one slot that a layer with one shard has, to another node."""

    def __init__(self, cluster: Cluster, prefix: str) -> None:
        self.cluster = cluster
        self.slot = slot_of(f"{{{prefix}:0}}")
        self.source = cluster.master_of(self.slot)
        self.to = next(node for node in cluster.masters() if node is not self.source)
        self.has_begun = False

    def begin(self) -> None:
        self.cluster.begin_move(self.slot, self.to)
        self.has_begun = True

    def migrate(self, part: slice = slice(None)) -> None:
        """Moves the keys that there are, or a part of them in their alphabetical order."""
        keys = self.cluster.run(self.source, "CLUSTER", "GETKEYSINSLOT", self.slot, 1000)
        self.cluster.migrate(self.slot, sorted(keys)[part])  # type: ignore[arg-type,type-var]

    def end(self) -> None:
        if self.has_begun:
            self.has_begun = False
            self.cluster.end_move(self.slot)

    def back_and_forth(self, times: int) -> None:
        """Moves the slot so many times, from one node to the next."""
        for _ in range(times):
            self.begin()
            self.end()
            self.source, self.to = self.to, self.source


@pytest.fixture
def move(masters: Cluster, prefix: str) -> Iterator[Move]:
    move = Move(masters, prefix)
    yield move
    move.end()
