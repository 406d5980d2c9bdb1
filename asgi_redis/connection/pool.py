"""
The pool of connections to one host.

Later calls close idle connections: after ``max_idle_time``; after ``max_connection_age``, so that the pool follows a
name that leads to another server by now; and when another connection turns out to be dead.
"""

from __future__ import annotations

import builtins
import functools
import math
import random
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakSet

from redis.exceptions import ConnectionError, MasterDownError, ReadOnlyError, ResponseError, TimeoutError

from asgi_redis.connection.errors import NoFreeConnection, before_sending
from asgi_redis.connection.examination import Examination
from asgi_redis.connection.host import Host
from asgi_redis.connection.idle import IdleOfHub, idle_connections
from asgi_redis.connection.redis_py import (
    Unsent,
    answers,
    closes_connection,
    is_connected,
    is_dead,
    leave_to_parent,
    write_rest,
)
from asgi_redis.exceptions import UnsupportedRedis
from asgi_redis.process import fork
from asgi_redis.process.time_limits import HANG_TIMEOUT_SECONDS, HastyCalls

FRESH_SECONDS = 0.05  # an idle connection counts as alive for so long without a check
_RECOUNT_SECONDS = 0.1  # a caller that waits for a connection counts them again after so long
_SPREAD = 0.9  # of the age that a connection may have, at least, so that not all go at once
T = TypeVar("T")

_LOST = (ConnectionError, ReadOnlyError, MasterDownError)


class ConnectionPool:
    """Connections of redis-py to ``host``, which is examined if it ``keeps_keys``."""

    def __init__(self, host: Host, keeps_keys: bool = True) -> None:
        self.host = host
        self._limits = host.limits
        self._examination = Examination(host, keeps_keys)
        self._hasty = HastyCalls(f"connecting to {host}")
        self._connections: WeakSet[Any] = WeakSet()
        self.start_process()
        fork.register(self)

    def start_process(self) -> None:
        """Leave all connections to the process that this one was forked from."""
        # Also those in use: a call that a signal handler has forked from goes on in this process, too.
        for connection in self._connections:
            leave_to_parent(connection)
            connection.retire_at = -math.inf  # it is closed when that call releases it
        self._connections = WeakSet()
        self._idle = idle_connections()
        self._sweep_at = 0.0
        self._opening = 0
        self._freed = threading.Condition()
        self._waiting = 0

    def checkout(self, fail_fast: bool = False, spare: bool = False) -> Any:
        """
        Return a connection that is alive, as far as can be known.

        With ``fail_fast`` it waits up to ``HANG_TIMEOUT_SECONDS`` for a new one. With ``spare`` it may be one more
        than ``max_connections``: for requests that let other connections go.
        """
        fork.check()
        return self._take_idle() or self._connect(fail_fast, spare)

    def _take_idle(self, max_idle_time: float = math.inf) -> Any | None:
        while True:
            try:
                connection, used = self._idle.pop()
            except IndexError:
                return None
            if self.host.moves and not self.host.is_current(connection):
                # The server is no longer the master; it may not know yet, and take messages that will be lost.
                connection.disconnect()
                self.drop_idle()
                continue
            now = time.monotonic()
            if now - used > max_idle_time:
                self._idle.append((connection, used))
                return None
            if now - used <= FRESH_SECONDS or self._is_sound(connection, now, used):
                connection.idle_since = used
                return connection

    def _is_sound(self, connection: Any, now: float, used: float) -> bool:
        if now >= connection.retire_at:
            connection.disconnect()
            return False
        idle = now - used
        too_long = idle > self._limits.max_idle_time
        if (
            too_long
            or is_dead(connection)
            or (idle > self._limits.health_check_interval and not answers(connection, HANG_TIMEOUT_SECONDS))
        ):
            connection.disconnect()
            self.drop_idle()  # others as old are no better
            return False
        return True

    @before_sending
    def _connect(self, fail_fast: bool, spare: bool) -> Any:
        if self._limits.max_connections == math.inf or spare:
            return self._make(fail_fast)
        connection = self._await_place(HANG_TIMEOUT_SECONDS if fail_fast else self.host.connect_timeout)
        if connection is not None:
            return connection
        try:
            return self._make(fail_fast)
        finally:
            with self._freed:
                self._opening -= 1
                self._freed.notify()

    def _await_place(self, timeout: float) -> Any | None:
        """Return an idle connection, or None for room for another, which is counted."""
        limit, deadline = self._limits.max_connections, time.monotonic() + timeout
        with self._freed:
            self._waiting += 1
        try:
            while True:
                connection = self._take_idle()
                if connection is not None:
                    return connection
                with self._freed:
                    counted = [one for one in self._connections if one.is_counted and is_connected(one)]
                    if len(counted) + self._opening < limit:
                        self._opening += 1
                        return None
                    left = deadline - time.monotonic()
                    if left <= 0:
                        raise NoFreeConnection(
                            f"all {limit:.0f} connections to {self.host} are in use (max_connections), and none was "
                            f"given back within {timeout:g} s"
                        )
                    other = self._idle.pop_of_others() if isinstance(self._idle, IdleOfHub) else None
                    if other is not None:
                        other.disconnect()  # this hub cannot use it, and needs its place
                    elif not self._idle:
                        self._freed.wait(min(left, _RECOUNT_SECONDS))
        finally:
            with self._freed:
                self._waiting -= 1

    def _make(self, fail_fast: bool) -> Any:
        # redis-py bounds the steps of connecting one by one, and the last of them by the socket timeout.
        connection = self._within_hang_timeout(self.connect) if fail_fast else self.connect()
        connection.is_counted = True
        return connection

    def connect(self) -> Any:
        """Return a new connection, which is not counted."""
        connection = self.host.connect()
        connection.is_counted = False
        with self._freed:
            self._connections.add(connection)
        self._opened(connection)
        return connection

    def server_now(self) -> tuple[bytes | None, float]:
        """Return ``server_of`` a new connection, and the time until which it holds."""

        def look() -> tuple[bytes | None, float]:
            connection = self.connect()
            try:
                return self.server_of(connection), connection.retire_at
            finally:
                connection.disconnect()

        return self._within_hang_timeout(look)

    def server_of(self, connection: Any) -> bytes | None:
        """Return the id of the server at the other end; None where a user may not ask."""
        return self._examination.ask(connection).get(b"run_id")

    def _reconnect(self, connection: Any) -> None:
        self.host.reconnect(connection)
        self._opened(connection)

    def _opened(self, connection: Any) -> None:
        self._examination.examine(connection)
        connection.idle_since = now = time.monotonic()
        connection.retire_at = now + self._limits.max_connection_age * random.uniform(_SPREAD, 1.0)

    def _within_hang_timeout(self, call: Callable[[], T]) -> T:
        try:
            return self._hasty.make(call)
        except builtins.TimeoutError as error:
            raise ConnectionError(str(error)) from None

    def send(self, connection: Any, packed: bytes, fail_fast: bool = False) -> None:
        """Send a request; connect anew if it was closed before a byte went out."""
        try:
            write_rest(connection, packed, [])
        except Unsent as error:
            self.renew(connection, error, fail_fast)
            write_rest(connection, packed, [])

    @before_sending
    def renew(self, connection: Any, error: Unsent, fail_fast: bool = False) -> None:
        """Connect a connection anew that was closed before a byte went out."""
        self.after_error(connection, error)
        reconnect = functools.partial(self._reconnect, connection)
        if fail_fast:
            self._within_hang_timeout(reconnect)
        else:
            reconnect()

    def release(self, connection: Any) -> None:
        """Return a connection to the pool, all of whose replies were read."""
        now = time.monotonic()
        if now < connection.retire_at:
            self._idle.append((connection, now))
        else:
            connection.disconnect()
        if self._waiting:
            self._notify()
        if now > self._sweep_at:
            self._sweep(now)

    def discard(self, connection: Any) -> None:
        """Close a connection."""
        connection.disconnect()
        if self._waiting:
            self._notify()

    def _notify(self) -> None:
        with self._freed:
            self._freed.notify()

    def after_error(self, connection: Any, error: BaseException) -> None:
        """Release the connection after an error reply; close it after any other error."""
        if isinstance(error, (ResponseError, UnsupportedRedis)) and not self.is_lost(error):
            self.release(connection)
            return
        self.discard(connection)
        if self.is_lost(error):
            self.host.lost()
            self.drop_idle()
        elif isinstance(error, TimeoutError):
            self.distrust(connection)

    def is_lost(self, error: BaseException) -> bool:
        """Return whether the server went away, or is the master no longer."""
        return isinstance(error, _LOST) or closes_connection(error)

    def distrust(self, connection: Any) -> None:
        """Close the idle connections that were not used after this one, which is dead."""
        self._close_unused_since(connection.idle_since)

    def drop_idle(self) -> None:
        """Close the connections that no call is using."""
        fork.check()
        self._close_unused_since(math.inf)

    def _sweep(self, now: float) -> None:
        self._sweep_at = now + self._limits.max_idle_time / 4
        self._close_unused_since(now - self._limits.max_idle_time)

    def _close_unused_since(self, moment: float) -> None:
        while self._idle:
            try:
                connection, used = self._idle.popleft()
            except IndexError:
                return  # another thread was faster
            if used > moment:
                self._idle.appendleft((connection, used))
                return
            connection.disconnect()
