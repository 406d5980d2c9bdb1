"""Subscriptions on a Redis Cluster until it is known which node has their slots."""

from __future__ import annotations

import random

from redis.crc import key_slot
from redis.exceptions import ConnectionError

from asgi_redis.connection import Server
from asgi_redis.connection.cluster import Cluster
from asgi_redis.engine.pubsub.keeper import Keeper, KeeperOwner

_FIRST_PAUSE_SECONDS = 0.01
_LONGEST_PAUSE_SECONDS = 1.0


class Placer(Keeper):
    """
    Keeps subscriptions whose nodes are not known, and asks the cluster for them.

    It ends when each subscription is with the listener of a node. A subscription that nodes have refused again and
    again, as they do not agree or do not serve, has to wait before the next attempt.
    """

    def __init__(self, cluster: Cluster, owner: KeeperOwner) -> None:
        super().__init__(f"the cluster of {cluster.name}", owner, cluster.patience)
        self._cluster = cluster

    def _work(self) -> None:
        with self._lock:
            if not self.subscriptions:
                self._end()
                return
            moves = max(one.moves for one in self.subscriptions.values())
            known = all(self._server_of(name) is not None for name in self.subscriptions)
        if moves:
            pause = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2 ** min(moves, 10))
            self._pause(pause * random.uniform(0.5, 1.0))
        if not known or not self._cluster.is_trusted:  # or the nodes have said where their slots have moved to
            self._cluster.refresh(None)
        with self._lock:
            for subscription in list(self.subscriptions.values()):
                server = self._server_of(subscription.name)
                if server is not None:
                    self._owner.place(subscription, server)
            unserved = [key_slot(name) for name in self.subscriptions]
        if unserved:
            raise ConnectionError(f"no node of the cluster of {self._cluster.name} has slot {unserved[0]}")
        self._outage.succeeded()

    def _server_of(self, name: bytes) -> Server | None:
        return self._cluster.known_server_of(key_slot(name))
