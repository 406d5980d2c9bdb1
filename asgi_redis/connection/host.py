"""One server, and how it is connected to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from redis.backoff import NoBackoff
from redis.connection import Connection, SSLConnection
from redis.exceptions import ConnectionError, TimeoutError
from redis.retry import Retry

from asgi_redis.native import refuse_eventlet


class Host:
    """One Redis server, or one Sentinel service: what is needed to connect to it."""

    moves = False
    """Whether it may be another server the next time."""

    def __init__(self, name: str, connection_class: type[Any], options: Mapping[str, Any]) -> None:
        self.name = name
        self._connection_class = connection_class
        # Never again what may have been sent already: a retry of redis-py's could do that.
        self._options = {**options, "retry": Retry(NoBackoff(), 0)}
        self._options.pop("max_connections", None)  # channels_redis takes it, for the pool that it has
        if issubclass(connection_class, (Connection, SSLConnection)):
            self._options.setdefault("socket_keepalive", True)
        self._make()  # shows a wrong option now, not at the first use

    def _make(self, **address: Any) -> Any:
        return self._connection_class(**{**self._options, **address})

    def connect(self) -> Any:
        """Returns a new connection of redis-py, connected. Raises ``redis.exceptions.ConnectionError``."""
        refuse_eventlet()  # it may have been patched since
        return self._connect(self._make())

    def _connect(self, connection: Any) -> Any:
        try:
            connection.connect()
        except TimeoutError as error:
            # Unlike any other timeout this one says for sure that Redis has seen nothing.
            raise ConnectionError(f"{self.name} does not answer: {error}") from error
        return connection

    def is_current(self, connection: Any) -> bool:
        """Whether an idle connection still leads to where ``connect`` would."""
        return True

    def lost(self) -> None:
        """The server went away, or is the master no longer."""

    def __repr__(self) -> str:
        return self.name
