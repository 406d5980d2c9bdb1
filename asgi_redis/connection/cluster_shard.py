"""
A shard of a Redis Cluster: the data in one hash slot, on the node that has it.

While slots move and nodes fail, nodes refuse requests without having carried them out. Such a request is made again,
where the cluster says, and so is a request of which no byte was sent. See the sections "MOVED Redirection", "ASK
redirection" and "Multi-keys operations" of https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Sequence
from typing import Any

from redis.exceptions import ConnectionError, RedisError, TimeoutError

from asgi_redis.connection.cluster import Cluster
from asgi_redis.connection.errors import before_sending, is_refusal, note_partly_sent, unsent
from asgi_redis.connection.host import ConnectionLimits
from asgi_redis.connection.redirection import (
    is_ask,
    is_cluster_down,
    is_refused_by_cluster,
    is_try_again,
    redirection,
)
from asgi_redis.connection.server import Server
from asgi_redis.connection.shard import Attempt, Shard
from asgi_redis.exceptions import ConfigurationError
from asgi_redis.wire.one_key_each import one_key_each, read_parts
from asgi_redis.wire.operation import Operation
from asgi_redis.wire.shards import read_claim

_AT_ONCE = 3  # attempts without a pause
_FIRST_PAUSE_SECONDS = 0.01
_LONGEST_PAUSE_SECONDS = 0.1
_CHECK_FIRST_SECONDS = 5.0  # between two attempts to reach the first shard for the claims of others
_CHECK_SECONDS = 3600.0  # between two looks at the number of shards, which also renew the key


class ClusterSlot(Shard):
    """The data in one slot of a cluster."""

    moves = True

    def __init__(self, cluster: Cluster, slot: int) -> None:
        self._cluster = cluster
        self.start_nodes = cluster.start_nodes
        self._slot = slot
        self._gave_up_at = -math.inf

    @property
    def server(self) -> Server:
        return self._cluster.server_of(self._slot)

    @property
    def name(self) -> object:
        return f"slot {self._slot} of the cluster of {self._cluster.name}"

    @property
    def place(self) -> object:
        return f"the cluster of {self._cluster.name}"

    @property
    def patience(self) -> float:
        return self._cluster.patience

    @property
    def limits(self) -> ConnectionLimits:
        return self._cluster.limits

    @property
    def likely_server(self) -> Server | None:
        return self._cluster.known_server_of(self._slot)

    @property
    def known_server(self) -> Server | None:
        cluster = self._cluster
        return cluster.known_server_of(self._slot) if cluster.is_trusted else None

    def locate(self) -> Server:
        return self.server

    @property
    def masters(self) -> Sequence[Server]:
        return self._cluster.masters()

    def settle(self, deadline: float) -> bool:
        return all(server.background_replies.settle(deadline) for server in self._cluster.servers)

    def drop_idle(self) -> None:
        self._cluster.drop_idle()

    def execute(self, operation: Operation, fail_fast: bool = False, spare: bool = False) -> Any:
        try:
            return self.server.execute(operation, fail_fast, spare)
        except RedisError as error:
            return self.retry(operation, error, fail_fast, spare)

    def may_retry(self, error: Exception) -> bool:
        return is_refused_by_cluster(error)

    def retries_at_once(self, operation: Operation, error: Exception) -> bool:
        return is_ask(error) or (is_try_again(error) and bool(one_key_each(operation)))

    def retry(self, operation: Operation, error: RedisError, fail_fast: bool = False, spare: bool = False) -> Any:
        attempt: Attempt | None = None
        while True:
            parts = one_key_each(operation) if is_try_again(error) else []
            if parts:
                return read_parts(operation, self._execute_parts(parts, fail_fast, spare))
            attempt = self.next_attempt(error, fail_fast, attempt)
            try:
                return attempt.server.execute(operation.asking() if attempt.asks else operation, fail_fast, spare)
            except RedisError as failure:
                error = failure

    def _execute_parts(self, parts: Sequence[Operation], fail_fast: bool, spare: bool) -> list[Any]:
        results: list[Any] = []
        for part in parts:
            try:
                results.append(self.execute(part, fail_fast, spare))
            except RedisError as error:
                if results:
                    note_partly_sent(error)
                raise
        return results

    def lost(self, error: Exception, server: Server | None = None) -> None:
        if isinstance(error, (ConnectionError, TimeoutError)):
            self._cluster.distrust(server or self._cluster.known_server_of(self._slot))

    def next_attempt(self, error: RedisError, fail_fast: bool = False, before: Attempt | None = None) -> Attempt:
        cluster, number = self._cluster, 1 if before is None else before.number + 1
        began = time.monotonic() if before is None else before.began
        deadline = began + (0.0 if fail_fast else self._patience_left()) if before is None else before.deadline
        target = redirection(error)
        if target is not None and not target.is_move:
            server = cluster.server_at(target.host, target.port, self._last(before))
            return Attempt(server, True, number, began, deadline)
        if target is not None:
            cluster.moved(self._slot, target.host, target.port, self._last(before))
            is_new = number <= _AT_ONCE
        elif is_try_again(error):
            is_new = False
        elif is_refusal(error) or is_cluster_down(error):
            failed = cluster.known_server_of(self._slot)
            cluster.refresh(failed, fail_fast)
            is_new = number <= _AT_ONCE and cluster.known_server_of(self._slot) is not failed
        else:
            self.lost(error)
            raise error
        if not is_new:
            self._pause(error, number, began, deadline)
        while (known := cluster.known_server_of(self._slot)) is None:
            number += 1
            self._pause(error, number, began, deadline)
            cluster.refresh(None, fail_fast)
        return Attempt(known, False, number, began, deadline)

    def _patience_left(self) -> float:
        """Return the seconds to wait: none where a call has just waited in vain."""
        patience = self._cluster.patience
        return 0.0 if time.monotonic() - self._gave_up_at < patience else patience

    def _last(self, before: Attempt | None) -> Server | None:
        return self._cluster.known_server_of(self._slot) if before is None else before.server

    def _pause(self, error: RedisError, number: int, began: float, deadline: float) -> None:
        pause = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2 ** min(number, 10)) * random.uniform(0.5, 1.0)
        now = time.monotonic()
        if now + pause > deadline:
            if now + pause > began + self._cluster.patience:
                self._gave_up_at = now
            raise unsent(error)
        time.sleep(pause)


class ClusterShard(ClusterSlot):
    """
    The data in one slot of a cluster, and the number of shards.

    ``claim`` is an operation that reads as the number of shards that other processes use, which has to be ``number``.
    ``first`` is a shard that is there for every number: it is compared before this one is claimed, so that a process
    with a wrong number claims none.
    """

    def __init__(
        self,
        cluster: Cluster,
        slot: int,
        name: str,
        claim: Operation,
        number: int,
        first: ClusterShard | None = None,
    ) -> None:
        super().__init__(cluster, slot)
        self._name = name
        self._claim = claim
        self._number = number
        self._first = first
        self._check_at = self._check_first_at = 0.0

    @property
    def server(self) -> Server:
        if self._check_at <= time.monotonic():
            self._check(fail_fast=True)
        return super().server

    @property
    def name(self) -> object:
        return self._name

    @property
    def known_server(self) -> Server | None:
        return super().known_server if self._check_at > time.monotonic() else None

    def for_reading(self) -> Shard:
        look = read_claim(self._claim.keys()[0], self._number)
        return ClusterShard(self._cluster, self._slot, self._name, look, self._number)

    def locate(self) -> Server:
        self._check(fail_fast=False)
        return super().server

    @before_sending
    def _check(self, fail_fast: bool) -> None:
        """Compare the number of shards. Raises ``ConfigurationError`` where others differ."""
        if self._first is not None:
            self._first.check_as_first(fail_fast)
        try:
            known = self._cluster.server_of(self._slot).execute(self._claim, fail_fast)
        except RedisError as error:
            known = self.retry(self._claim, error, fail_fast)
        if known != self._number:
            raise ConfigurationError(
                f"shards is {self._number}, but other processes that use {self._name} have {known}: the number must "
                f"be the same everywhere, or messages are looked for where they are not. The key "
                f"{self._claim.keys()[0].decode()} has it until a day after its last use"
            )
        self._check_at = time.monotonic() + _CHECK_SECONDS

    def check_as_first(self, fail_fast: bool) -> None:
        """Compare the number before another shard is claimed, if not tried just now."""
        now = time.monotonic()
        if self._check_at <= now and self._check_first_at <= now:
            try:
                self._check(fail_fast)
            except RedisError:  # it is away, and the others may not be
                self._check_first_at = time.monotonic() + _CHECK_FIRST_SECONDS
