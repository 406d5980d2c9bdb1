"""
The thread that listens at one node of a Redis Cluster, by sharded pub/sub.

A node that loses a slot ends the subscriptions there, by a ``sunsubscribe`` without a request, and answers requests
for the slot with an error. So replies are told apart by their names and slots, not by their order alone. See
https://redis.io/docs/latest/develop/pubsub/#sharded-pubsub
"""

from __future__ import annotations

import logging
import random
import time
from typing import Any

from redis.crc import key_slot

from asgi_redis.connection import Server, is_cluster_down, redirection
from asgi_redis.connection.cluster import Cluster
from asgi_redis.engine.pubsub.keeper import KeeperOwner
from asgi_redis.engine.pubsub.link import Link, LinkRequest
from asgi_redis.engine.pubsub.listener import Listener
from asgi_redis.engine.pubsub.subscription import Subscription
from asgi_redis.wire.pubsub import SHARDED

logger = logging.getLogger("asgi_redis")

_MOVES_AT_ONCE = 3  # of a subscription from node to node, without a pause
_LOOKS = 2  # at the cluster after a node has lost a slot: the first may be too early


class NodeListener(Listener):
    """
    Keeps the subscriptions whose slots are at one node.

    It ends when it has none: all slots have moved away, or the node has gone.
    """

    commands = SHARDED

    def __init__(self, server: Server, cluster: Cluster, owner: KeeperOwner) -> None:
        super().__init__(server, owner, cluster.patience)
        self._cluster = cluster
        self._is_unreachable = False
        self._looks_left = 0

    def _work(self) -> None:
        if self._is_unreachable:
            self._leave_to_others(self.server)
        if not self._stopped:
            super()._work()

    def _failed(self, error: Exception) -> float:
        self._is_unreachable = not self._established
        return super()._failed(error) / 2  # a second at most: another node may have the slots by now

    def _leave_to_others(self, failed: Server | None) -> None:
        """
        Leave subscriptions to the nodes that have their slots now; end with the last.

        ``failed`` is the node of this listener where that does not serve, so that messages may have been lost.
        """
        self._cluster.refresh(failed)
        with self._owner.delivering():
            moving: list[tuple[Subscription, Server]] = []
            for subscription in list(self.subscriptions.values()):
                server = self._cluster.known_server_of(key_slot(subscription.name))
                if server is not None and server is not self.server:
                    moving.append((subscription, server))
            if failed is not None:
                self._unconfirmed([subscription for subscription, _ in moving], None)
            for subscription, server in moving:
                subscription.lose(time.monotonic())
                self._owner.place(subscription, server)
                self._unsubscribe(subscription)
            if not self.subscriptions:
                self._end()
                if failed is not None:
                    logger.warning("Other nodes have the slots of %s now", self.server.host)

    def _check(self, link: Link, now: float, last: float) -> None:
        hangs = link.is_overdue(last)
        if hangs or self._looks_left:
            self._looks_left = max(0, self._looks_left - 1)
            self._leave_to_others(self.server if hangs else None)
        with self._lock:
            if not self.subscriptions and not self._stopped:
                self._end()
        if not self._stopped:
            super()._check(link, now, last)

    def _ping(self) -> LinkRequest:
        # A node that has been cut off from the cluster answers a PING, but refuses this.
        with self._lock:
            subscriptions = list(self.subscriptions.values())
        return self._subscribing(random.choice(subscriptions)) if subscriptions else super()._ping()

    # Replies, with the lock held

    def _answered(self, link: Link, reply: Any) -> None:
        target = redirection(reply) if isinstance(reply, Exception) else None
        if target is not None:
            slot = target.slot
            subscription = self._asked_for(link.take(lambda request: key_slot(request.name) == slot))
            if subscription is not None:
                self._cluster.moved(slot, target.host, target.port, self.server)
                self._pass_on(subscription)
        elif isinstance(reply, list) and reply[0] in (b"ssubscribe", b"sunsubscribe"):
            kind = reply[0] == b"ssubscribe", reply[1]
            request = link.take(lambda request: (request.subscribes, request.name) == kind)
            subscription = self._asked_for(request)
            if subscription is not None:
                self._outage.succeeded()
                self._owner.confirmed(subscription)
            elif request is None and reply[0] == b"sunsubscribe":
                self._unsubscribed(reply[1])
        else:
            super()._answered(link, reply)

    def _unsubscribed(self, name: bytes) -> None:
        """Subscribe again where the slot is: the node, which had it, may say where."""
        # A node that has become a replica takes subscriptions, too, so its answer does not tell.
        self._looks_left = _LOOKS
        subscription = self.subscriptions.get(name)
        if subscription is not None:
            subscription.lose(time.monotonic())
            self._owner.place(subscription, self._cluster.known_server_of(key_slot(name)) or self.server)

    def _refused(self, subscription: Subscription, reply: Exception) -> None:
        if not is_cluster_down(reply):
            super()._refused(subscription, reply)
            return
        self._outage.failed(reply)
        self._cluster.distrust(self.server)
        self._unconfirmed([subscription], reply)
        subscription.moves += 1
        self._owner.place(subscription, None)

    def _pass_on(self, subscription: Subscription) -> None:
        """Leave a subscription to the node that has its slot, by the account of this one."""
        subscription.lose(time.monotonic())
        subscription.moves += 1
        is_known = subscription.moves <= _MOVES_AT_ONCE  # or nodes do not agree
        slot = key_slot(subscription.name)
        self._owner.place(subscription, self._cluster.known_server_of(slot) if is_known else None)
