"""A part of the data of a layer, and the server that has it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from redis.exceptions import RedisError

from asgi_redis.connection.host import ConnectionLimits, Host
from asgi_redis.connection.server import Server
from asgi_redis.wire.operation import Operation
from asgi_redis.wire.server import scan, unlink


class Attempt(NamedTuple):
    """
    A further attempt at a request of which certainly nothing was carried out.

    ``asks``: the request has to be one of ``Operation.asking``. ``number`` counts the attempts before it; the first
    failed at ``began``, and no other is made after ``deadline`` (both ``time.monotonic``).
    """

    server: Server
    asks: bool
    number: int
    began: float
    deadline: float


class Shard:
    """A part of the data of a layer, which is on one server for good."""

    moves = False
    """Whether it may be on another server at the next request."""
    start_nodes: Sequence[Host] = ()
    """The nodes that tell where it is, if it is in a Redis Cluster."""

    def __init__(self, server: Server) -> None:
        self._server = server

    @property
    def server(self) -> Server:
        """The server where the data are, as far as is known."""
        return self._server

    @property
    def name(self) -> object:
        """The name in errors and logs."""
        return self._server.host

    @property
    def place(self) -> object:
        """The name of the server, or of the cluster that has several shards."""
        return self.name

    @property
    def patience(self) -> float:
        """The seconds for which a refused request is made again."""
        return 0.0

    @property
    def limits(self) -> ConnectionLimits:
        """The limits of the connections to each server."""
        return self._server.host.limits

    @property
    def likely_server(self) -> Server | None:
        """The server that will be asked next, where that is known."""
        return self._server

    @property
    def known_server(self) -> Server | None:
        """The server where it is known without asking for it."""
        return self._server

    @property
    def masters(self) -> Sequence[Server]:
        """The server; of a cluster, all servers that have slots. May raise ``RedisError``."""
        return [self._server]

    def for_reading(self) -> Shard:
        """Return the same shard for users without write access."""
        return self

    @property
    def is_located(self) -> bool:
        """Whether ``server`` is known without asking for it."""
        return self.known_server is not None

    def locate(self) -> Server:
        """Return the server where the data are now, by its account. Raises ``RedisError``."""
        return self._server

    def settle(self, deadline: float) -> bool:
        """Wait for late replies; return whether all are there by ``deadline``."""
        return self._server.background_replies.settle(deadline)

    def drop_idle(self) -> None:
        """Close the connections that no call is using."""
        self._server.drop_idle()

    def execute(self, operation: Operation, fail_fast: bool = False, spare: bool = False) -> Any:
        """Send one operation and return its result; see ``Server.execute``."""
        return self._server.execute(operation, fail_fast, spare)

    def may_retry(self, error: Exception) -> bool:
        """Return whether ``retry`` may help after the error of a request."""
        return False

    def retries_at_once(self, operation: Operation, error: Exception) -> bool:
        """Return whether ``retry`` needs no pause, as other requests are served now."""
        return False

    def retry(self, operation: Operation, error: RedisError, fail_fast: bool = False, spare: bool = False) -> Any:
        """
        Return the result of further attempts after ``error``.

        Raises ``error`` where the request may have been carried out, or where no other attempt can help.
        """
        raise error

    def lost(self, error: Exception, server: Server | None = None) -> None:
        """Take note of a server's error after which a request may have been carried out."""

    def next_attempt(self, error: RedisError, fail_fast: bool = False, before: Attempt | None = None) -> Attempt:
        """
        Return the attempt to make after ``error``, when its time has come.

        ``before`` is the attempt that has failed, unless it was the first. Raises as ``retry`` does. With
        ``fail_fast`` it does not wait for data that are on the move.
        """
        raise error


def delete_matching(shard: Shard, pattern: bytes, is_own: Callable[[bytes], bool]) -> None:
    """Delete the keys that match a glob and are ``is_own``, some at a time."""
    scanned: Server | None = None
    while (server := shard.locate()) is not scanned:  # again, where the shard has moved meanwhile
        cursor: bytes | None = None
        while cursor != b"0":
            cursor, found = server.execute(scan(cursor or b"0", pattern))
            keys = list(filter(is_own, found))
            if keys:
                shard.execute(unlink(keys))
        scanned = server
