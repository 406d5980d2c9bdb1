"""One Redis server: how to connect to it, and how many connections it may have."""

from __future__ import annotations

import contextlib
import copy
import math
import socket
from collections.abc import Mapping
from typing import Any, NamedTuple

from redis.backoff import NoBackoff
from redis.connection import Connection, SSLConnection
from redis.exceptions import AuthenticationError, ConnectionError, RedisError, ResponseError, TimeoutError
from redis.retry import Retry

from asgi_redis.connection import redis_py
from asgi_redis.connection.errors import authentication_error
from asgi_redis.exceptions import ConfigurationError
from asgi_redis.process import identity
from asgi_redis.process.patches import refuse_eventlet
from asgi_redis.wire.server import set_client_name

# A NAT or a load balancer forgets a connection that is silent for 4 minutes, or 350 seconds; some after one minute.
_KEEPALIVE_SECONDS = {"TCP_KEEPIDLE": 45, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}
_CONNECT_SECONDS = 5.0  # where no timeout is set
_MACOS_KEEPIDLE = 0x10  # TCP_KEEPALIVE, which Python knows by name from 3.10 on


class ConnectionLimits(NamedTuple):
    """
    The limits of the connections to one host: their number, and times in seconds.

    ``max_idle_time`` is how long a connection may be unused. After ``health_check_interval`` without use it is
    checked before its next use.
    """

    max_connections: float = math.inf
    max_connection_age: float = 300.0
    max_idle_time: float = 60.0
    health_check_interval: float = 5.0

    @classmethod
    def taken_from(cls, options: Mapping[str, Any]) -> tuple[ConnectionLimits, dict[str, Any]]:
        """Return the limits among the options of a host, and its other options."""
        limits = {name: _limit(name, options[name]) for name in cls._fields if name in options}
        return cls(**limits), {name: value for name, value in options.items() if name not in limits}


def _limit(name: str, value: Any) -> float:
    if isinstance(value, str):  # of a URL's query
        with contextlib.suppress(ValueError):
            value = float(value)
    if value is None or (name == "health_check_interval" and value == 0):  # redis-py's way to have none
        return math.inf
    least = 1 if name == "max_connections" else 0
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= least or value == 0:
        what = "a number from 1 on" if least else "a number of seconds above 0"
        raise ConfigurationError(f"{name} must be {what}, or None, not {value!r}")
    return float(value)


class Host:
    """One Redis server, or one Sentinel service, as redis-py connects to it."""

    moves = False
    """Whether it may be another server at the next connection."""

    in_cluster = False
    """Whether it is a node of a Redis Cluster."""

    def __init__(self, name: str, connection_class: type[Any], options: Mapping[str, Any]) -> None:
        self.name = name
        self.connection_class = connection_class
        # A retry of redis-py could send a request twice.
        self.options: Mapping[str, Any] = {**options, "retry": Retry(NoBackoff(), 0)}
        """The arguments of ``connection_class``."""
        self.limits, self.options = ConnectionLimits.taken_from(self.options)
        if issubclass(connection_class, (Connection, SSLConnection)):
            defaults = {"socket_keepalive": True, "socket_keepalive_options": keepalive_options()}
            self.options = {**defaults, **self.options}
        self.connect_timeout: float = self.options.get("socket_connect_timeout") or _CONNECT_SECONDS
        """How many seconds a caller may wait for a connection."""
        self._make()  # shows a wrong option now, not at the first use

    @property
    def lends(self) -> bool:
        """
        Whether an event loop may hold and poll a connection for as long as it likes.

        The number of connections must have no limit then, and no other server take the place of this one. A poll does
        not see what TLS has read.
        """
        is_plain = not issubclass(self.connection_class, SSLConnection)
        return is_plain and not self.moves and self.limits.max_connections == math.inf

    @property
    def address(self) -> tuple[str, int]:
        """The host and port, of a server that is connected to by TCP."""
        return self.options.get("host", "localhost"), self.options.get("port", 6379)

    def node_at(self, host: str, port: int) -> Host:
        """Return a node of the same cluster, which is connected to with the same options."""
        node = copy.copy(self)
        node.in_cluster = True
        node.options = {**self.options, "host": host, "port": port}
        scheme = "rediss" if issubclass(self.connection_class, SSLConnection) else "redis"
        node.name = f"{scheme}://{host}:{port}"
        return node

    def _make(self) -> Any:
        return self.connection_class(**self.options)

    def connect(self) -> Any:
        """Return a new connection of redis-py. Raises redis-py's ``ConnectionError``."""
        refuse_eventlet()  # it may have patched since the layer was made
        connection = self._make()
        self.reconnect(connection)
        return connection

    def reconnect(self, connection: Any) -> None:
        """Connect a connection, anew if need be. Raises as ``connect`` does."""
        connection.disconnect()
        try:
            self._connect(connection)
        except BaseException as error:
            connection.disconnect()
            if isinstance(error, RedisError) or not isinstance(error, Exception):
                raise
            # A provider of credentials raises what it likes, for a while: an outage like any other.
            raise ConnectionError(f"connecting to {self.name} fails: {type(error).__name__}: {error}") from error

    def _connect(self, connection: Any) -> None:
        try:
            redis_py.connect(connection)
            if not redis_py.is_named(connection):
                _name(connection)
        except AuthenticationError as error:
            raise authentication_error(self.name, error) from error
        except (TimeoutError, ConnectionError) as error:
            problem = self._problem(connection, error)
            if problem is None:
                raise
            # Unlike any other timeout this one says for sure that Redis has seen nothing.
            raise ConnectionError(problem) from error

    def _problem(self, connection: Any, error: Exception) -> str | None:
        """Return a better text than redis-py's, where that does not say enough."""
        if redis_py.is_failed_handshake(connection, error):
            cause = error.__context__
            return f"{self.name}: no TLS handshake: {cause}; for a server that does not speak TLS write redis://"
        if isinstance(error, TimeoutError):
            return f"{self.name} does not answer: {error}"
        if redis_py.is_closed_by_server(connection, error):
            return f"{self.name} has closed the connection: {error}; for a server that speaks TLS write rediss://"
        return None

    def is_current(self, connection: Any) -> bool:
        """Return whether an idle connection leads to where ``connect`` would lead now."""
        return True

    def lost(self) -> None:
        """Take note that the server went away, or is the master no longer."""

    def __repr__(self) -> str:
        return self.name


def _name(connection: Any) -> None:
    """Give a connection a name in ``CLIENT LIST``."""
    redis_py.write(connection, set_client_name(identity.client_name()).packed)
    # The name is for people: a user who may not set it goes without.
    with contextlib.suppress(ResponseError, AuthenticationError):
        redis_py.read(connection)


def keepalive_options() -> dict[int, int]:
    """Return socket options that keep a silent connection alive in the network."""
    numbers = {name: getattr(socket, name, None) for name in _KEEPALIVE_SECONDS}
    if numbers["TCP_KEEPIDLE"] is None:
        numbers["TCP_KEEPIDLE"] = getattr(socket, "TCP_KEEPALIVE", _MACOS_KEEPIDLE)
    return {number: _KEEPALIVE_SECONDS[name] for name, number in numbers.items() if number is not None}
