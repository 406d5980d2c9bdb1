"""
The nodes of a Redis Cluster, and which of them has which slot.

redis-py asks the nodes for that, on connections that are closed afterwards: at the first use, and when a node cannot
be reached or refuses to serve. In between the nodes themselves tell of a slot that has moved.
"""

from __future__ import annotations

import bisect
import builtins
import contextlib
import copy
import functools
import math
import random
import threading
import time
from collections.abc import Sequence
from typing import NamedTuple

from redis.connection import SSLConnection
from redis.exceptions import AuthenticationError, ConnectionError, RedisError

from asgi_redis.connection.discovery import (
    Address,
    AddressRemap,
    Discovery,
    SlotRange,
    discover,
    is_no_cluster,
    reachable,
    tls_hint,
)
from asgi_redis.connection.errors import NoNodeAnswers, authentication_error, unsent
from asgi_redis.connection.host import Host
from asgi_redis.connection.server import Server
from asgi_redis.exceptions import UnsupportedRedis
from asgi_redis.process import fork
from asgi_redis.process.time_limits import HastyCalls, start_or_run, within

_ASK_AGAIN_SECONDS = 0.1  # so long an answer counts as new, and so does a failure
_ASKED_NODES = 5  # the start nodes are asked then
# A node answers at once or is not worth waiting for: there are others.
_ANSWER_TIMEOUTS = {"socket_timeout": 1.0, "socket_connect_timeout": 1.0}


class _Topology(NamedTuple):
    """The answer of a cluster: ranges of slots, their first slots, and all nodes."""

    starts: list[int]
    ranges: list[SlotRange]
    nodes: list[Address]


class Cluster:
    """
    The servers of one cluster, each with one pool of connections.

    ``hosts`` are the start nodes, which are asked first, and again when no other node answers. ``address_remap`` is
    called with the (host, port) pair that the cluster gives for a node, and returns the one to connect to.
    """

    def __init__(
        self, hosts: Sequence[Host], address_remap: AddressRemap | None = None, keeps_keys: bool = True
    ) -> None:
        self._hosts = hosts
        self.start_nodes = [host.node_at(*host.address) for host in hosts]
        """The nodes that are asked first."""
        self._remap = address_remap
        self._keeps_keys = keeps_keys
        self._topology = _Topology([], [], [])
        self._moved: dict[int, Address] = {}
        self._servers: dict[Address, Server] = {}
        self._asked_at = -math.inf
        self._failure: RedisError | None = None
        self._late_at = {True: -math.inf, False: -math.inf}  # by fail_fast
        self._distrusted: Server | None = None
        self._asking = fork.Own(threading.Lock)
        self._hasty = HastyCalls(f"asking the cluster of {self.name}")
        self.limits = hosts[0].limits
        """The limits of the connections to each server."""
        self.patience = hosts[0].connect_timeout
        """Seconds for which a request is made again that the cluster cannot serve at present."""

    @property
    def name(self) -> str:
        """The name in errors and logs: the first start node."""
        return self.start_nodes[0].name

    @property
    def servers(self) -> set[Server]:
        """The nodes that were in use and have not left."""
        return set(self._servers.values())

    # Where a slot is

    @property
    def is_trusted(self) -> bool:
        """Whether the last answers hold, as far as is known."""
        return self._distrusted is None

    def known_server_of(self, slot: int) -> Server | None:
        """Return the server of a slot by the last answers; None where there was none."""
        address = self._moved.get(slot)
        if address is None:
            topology = self._topology
            position = bisect.bisect_right(topology.starts, slot) - 1
            if position < 0 or topology.ranges[position].last < slot:
                return None
            address = topology.ranges[position].address
        return self._server_at(address)

    def server_of(self, slot: int) -> Server:
        """
        Return the server of a slot; ask for it where that is not known.

        Raises ``redis.exceptions.ConnectionError`` where no node answers, or none has the slot.
        """
        if self._distrusted is not None:
            self.refresh(self._distrusted, fail_fast=True)
        server = self.known_server_of(slot)
        if server is None:
            self.refresh(None)
            server = self.known_server_of(slot)
        if server is None:
            error = ConnectionError(f"no node of the cluster of {self.name} has slot {slot}")
            raise unsent(error)
        return server

    def masters(self) -> list[Server]:
        """
        Return the servers that have slots, as far as is known.

        After an error of a server the cluster is asked in the background, for the next call. Raises
        ``ConnectionError`` where there never was an answer.
        """
        if not self._topology.ranges:
            self.refresh(None, fail_fast=True)
        elif self._distrusted is not None:
            start_or_run(functools.partial(self.refresh, self._distrusted, fail_fast=True), f"asking {self.name}")
        addresses = [*(one.address for one in self._topology.ranges), *self._moved.values()]
        return [self._server_at(address) for address in dict.fromkeys(addresses)]

    def server_at(self, host: str, port: int, sender: Server | None) -> Server:
        """Return the server at an address that ``sender`` has given; no host is its own."""
        return self._server_at(self._address(host, port, sender))

    def moved(self, slot: int, host: str, port: int, sender: Server | None) -> None:
        """Take note that ``sender`` says where a slot is now."""
        self._moved = {**self._moved, slot: self._address(host, port, sender)}

    def _address(self, host: str, port: int, sender: Server | None) -> Address:
        if not host and sender is not None:
            host = sender.host.address[0]
        return reachable((host, port), self._remap)

    def _server_at(self, address: Address) -> Server:
        server = self._servers.get(address)
        if server is None:
            # Without a lock, which an interruption in the wrong moment would leave locked; one of two may be in vain.
            server = Server(self._hosts[0].node_at(*address), self._keeps_keys)
            server = self._servers.setdefault(address, server)
        return server

    def drop_idle(self) -> None:
        """Close the connections that no call is using."""
        for server in list(self._servers.values()):
            server.drop_idle()

    # Asking

    def distrust(self, server: Server | None) -> None:
        """Have the cluster asked before the next request: a server does not answer."""
        self._distrusted = server

    def refresh(self, failed: Server | None, fail_fast: bool = False) -> None:
        """
        Ask the cluster which server has which slot, unless that was done just now.

        ``failed`` is the server that cannot be reached, or refuses; it is asked last. It takes up to ``patience``
        seconds, with ``fail_fast`` up to ``HANG_TIMEOUT_SECONDS``. Without an answer the last one stays. Raises
        ``ConnectionError``, also ``AuthenticationError``, only where there never was one.
        """
        self._distrusted = None
        try:
            self._ask_within(failed, fail_fast)
        except RedisError as error:
            if not self._topology.ranges:
                unsent(error)
                raise

    def _ask_within(self, failed: Server | None, fail_fast: bool) -> None:
        what = f"asking the cluster of {self.name}"
        if time.monotonic() - self._late_at[fail_fast] < _ASK_AGAIN_SECONDS:
            raise NoNodeAnswers(f"{what} takes too long")  # or a call would wait so long for each of its shards
        ask = functools.partial(self._ask, failed)
        try:
            if fail_fast:
                self._hasty.make(ask)
            else:
                within(self.patience, ask, what)
        except builtins.TimeoutError as error:
            self._late_at[fail_fast] = time.monotonic()
            raise NoNodeAnswers(str(error)) from None

    def _ask(self, failed: Server | None) -> None:
        begun = time.monotonic()
        with self._asking.value:  # the others that want to know wait for the answer, or for the failure
            if self._asked_at > begun or time.monotonic() - self._asked_at < _ASK_AGAIN_SECONDS:
                if self._failure is not None:
                    raise copy.copy(self._failure)
                return
            try:
                found = self._discover(None if failed is None else failed.host.address)
            except RedisError as error:
                self._failure, self._asked_at = error, time.monotonic()
                raise
            self._topology = _Topology([one.first for one in found.ranges], found.ranges, found.nodes)
            self._moved = {}
            self._failure, self._asked_at = None, time.monotonic()
        for address in set(self._servers) - set(found.nodes):
            server = self._servers.pop(address, None)
            if server is not None:
                server.drop_idle()

    def _discover(self, failed: Address | None) -> Discovery:
        start = self._hosts[0]
        known = [address for address in self._topology.nodes if address != failed]
        ask = functools.partial(
            discover,
            connection_class=start.connection_class,
            options={**start.options, **_ANSWER_TIMEOUTS},
            address_remap=self._remap,
        )
        if known:
            # Any of them, lest all processes ask the same one; and a few, as each may take a second.
            some = random.sample(known, min(_ASKED_NODES, len(known)))
            with contextlib.suppress(RedisError):  # none of them may be left
                return ask(some)
        try:
            return ask([host.address for host in self._hosts])
        except AuthenticationError as error:
            raise authentication_error(self.name, error) from error
        except RedisError as error:
            if is_no_cluster(error):
                raise UnsupportedRedis(
                    f"{self.name} is no node of a Redis Cluster, or the user may not ask for CLUSTER SLOTS; "
                    f"RedisChannelLayer is for other servers, and so is RedisPubSubChannelLayer without cluster=True"
                ) from error
            hint = tls_hint(error, issubclass(start.connection_class, SSLConnection))
            raise NoNodeAnswers(f"no node of the cluster of {self.name} answers: {error}{hint}") from error
