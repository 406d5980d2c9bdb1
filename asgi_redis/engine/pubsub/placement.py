"""The servers of the names that are published and subscribed to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from redis.crc import key_slot

from asgi_redis.connection import Server, Shard
from asgi_redis.connection.cluster import Cluster
from asgi_redis.connection.cluster_shard import ClusterSlot
from asgi_redis.engine.pubsub.keeper import Keeper, KeeperOwner
from asgi_redis.engine.pubsub.listener import Listener
from asgi_redis.engine.pubsub.node_listener import NodeListener
from asgi_redis.engine.pubsub.placer import Placer
from asgi_redis.wire.names import shard_of
from asgi_redis.wire.pubsub import PLAIN, SHARDED, PubSubCommands


class Placement(Protocol):
    """Which server has which name on Redis, and the commands to use there."""

    @property
    def commands(self) -> PubSubCommands:
        """The commands of publishing and subscribing."""

    @property
    def shards(self) -> Sequence[Shard]:
        """The servers; of a cluster, one part of it."""

    def shard_of(self, name: bytes) -> Shard:
        """Return where to publish under a name."""

    def server_of(self, name: bytes) -> Server | None:
        """Return the server to subscribe at; None where it has to be asked for."""

    def keeper(self, server: Server | None, owner: KeeperOwner) -> Keeper:
        """Return a new keeper for the subscriptions at ``server``."""

    def drop_idle(self) -> None:
        """Close the connections that no call is using."""


class ServerPlacement:
    """Names on one or more servers, by their hash."""

    commands = PLAIN

    def __init__(self, shards: Sequence[Shard]) -> None:
        self.shards = shards

    def shard_of(self, name: bytes) -> Shard:
        return self.shards[shard_of(name, len(self.shards))]

    def server_of(self, name: bytes) -> Server | None:
        return self.shard_of(name).server

    def keeper(self, server: Server | None, owner: KeeperOwner) -> Keeper:
        assert server is not None
        return Listener(server, owner)

    def drop_idle(self) -> None:
        for shard in self.shards:
            shard.drop_idle()

    def __str__(self) -> str:
        return f"hosts={[shard.name for shard in self.shards]}"


class ClusterPlacement:
    """Names on a Redis Cluster, each on the node that has its slot."""

    commands = SHARDED

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._slots: dict[int, Shard] = {}

    @property
    def shards(self) -> Sequence[Shard]:
        return [self.shard_of(b"")]

    def shard_of(self, name: bytes) -> Shard:
        slot = key_slot(name)
        if slot not in self._slots:
            self._slots[slot] = ClusterSlot(self.cluster, slot)
        return self._slots[slot]

    def server_of(self, name: bytes) -> Server | None:
        return self.cluster.known_server_of(key_slot(name))

    def keeper(self, server: Server | None, owner: KeeperOwner) -> Keeper:
        return Placer(self.cluster, owner) if server is None else NodeListener(server, self.cluster, owner)

    def drop_idle(self) -> None:
        self.cluster.drop_idle()

    def __str__(self) -> str:
        return f"hosts=[{self.cluster.name}], cluster=True"
