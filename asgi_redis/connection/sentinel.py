"""
The masters of the services that Sentinels watch.

As https://redis.io/docs/latest/develop/reference/sentinel-clients/ has it: ask the Sentinels one after the other,
connect, and let the server itself say that it is the master.
"""

from __future__ import annotations

import builtins
import contextlib
import copy
import functools
import time
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from redis.backoff import NoBackoff
from redis.connection import Connection, SSLConnection
from redis.exceptions import ConnectionError, RedisError, ResponseError
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError, Sentinel

from asgi_redis.connection.host import Host
from asgi_redis.connection.redis_py import read, write
from asgi_redis.exceptions import ConfigurationError
from asgi_redis.process.patches import is_patched, original
from asgi_redis.process.time_limits import HANG_TIMEOUT_SECONDS, within
from asgi_redis.wire.operation import command

# A Sentinel answers at once or is not worth waiting for: there are others.
_ANSWER_SECONDS = 1.0
# After a failover in good order, an old master goes on as one for up to ten seconds, until its Sentinels tell it.
_ASK_AGAIN_SECONDS = 1.0
_ASK_LATER_SECONDS = 10.0  # none of the Sentinels has answered
_TIMEOUTS = ("socket_timeout", "socket_connect_timeout")
_ROLE = command(b"ROLE")


class SentinelCluster:
    """
    Sentinels that watch the same services; the last to answer is asked first.

    They are connected to with the protocol of ``connection_options``, its timeouts up to a second, and
    ``sentinel_kwargs``, which win. ``refresh_interval`` is how many seconds the answer about a master holds, unless
    an error says otherwise.
    """

    def __init__(
        self,
        addresses: Sequence[tuple[str, int]],
        connection_options: Mapping[str, Any],
        sentinel_kwargs: Mapping[str, Any] | None = None,
        refresh_interval: float = 0,
    ) -> None:
        options: dict[str, Any] = {
            name: min(_ANSWER_SECONDS, connection_options[name] or _ANSWER_SECONDS) for name in _TIMEOUTS
        }
        options["protocol"] = connection_options["protocol"]
        # Asking a Sentinel twice does no harm; but redis-py's default is to do so for many seconds.
        options["retry"] = Retry(NoBackoff(), 1)
        options.update(sentinel_kwargs or {})
        self._make = functools.partial(Sentinel, addresses, sentinel_kwargs=options)
        # The connections of redis-py's clients belong to the hub that has made them, under gevent's patches.
        self._own: Any = original("threading", "local")() if is_patched("socket") else SimpleNamespace()
        self._names = ", ".join(f"{host}:{port}" for host, port in addresses)
        self.refresh_interval = refresh_interval
        self._masters: dict[str, tuple[tuple[str, int], float]] = {}

    def _clients(self) -> Any:
        try:
            return self._own.clients
        except AttributeError:
            self._own.clients = self._make()
            return self._own.clients

    def services(self) -> list[str]:
        """Return the names of all the services that the Sentinels watch, sorted."""
        problem: Exception | None = None
        for sentinel in self._clients().sentinels:
            try:
                names = sorted(map(str, sentinel.sentinel_masters()))
            except RedisError as error:
                problem = error
                continue
            if not names:
                raise ConfigurationError(f"the Sentinels {self._names} watch no service")
            return names
        raise ConnectionError(
            f"none of the Sentinels {self._names} tells the services that it watches ({problem}); "
            f"services=[...] need not be asked for"
        )

    def master(self, service: str) -> tuple[str, int]:
        """Return the address of the master. Raises ``MasterNotFoundError``."""
        address, asked = self._masters.get(service, (("", 0), 0.0))
        if address[1] and time.monotonic() - asked < self.refresh_interval:
            return address
        # redis-py changes the order of the list in place, while other threads go through it.
        asking = copy.copy(self._clients())
        asking.sentinels = list(asking.sentinels)
        try:
            host, port = asking.discover_master(service)
        except MasterNotFoundError:
            # redis-py's message has all the options of the Sentinels in it; its older versions, passwords too.
            raise MasterNotFoundError(
                f"no Sentinel of {self._names} can be reached that knows a master for sentinel service {service}"
            ) from None
        self._own.clients = asking
        self._masters[service] = ((host, port), time.monotonic())
        return host, port

    def forget(self, service: str) -> None:
        """Have the Sentinels asked the next time: the master may be another server now."""
        self._masters.pop(service, None)


class SentinelHost(Host):
    """The master of a Sentinel service, which may be another server at any time."""

    moves = True

    def __init__(self, cluster: SentinelCluster, service: str, options: Mapping[str, Any]) -> None:
        self._cluster = cluster
        self._service = service
        self._address: tuple[str, int] | None = None
        self._ask_at = 0.0
        known = dict(options)
        kind = SSLConnection if known.pop("ssl", False) else Connection
        super().__init__(f"sentinel service {service}", kind, known)

    def _connect(self, connection: Any) -> None:
        """Ask the Sentinels for the master, connect, and check that it is one."""
        address = self._cluster.master(self._service)
        connection.host, connection.port = address
        try:
            super()._connect(connection)
            self._check_role(connection)
        except BaseException:
            self._cluster.forget(self._service)
            raise
        self._address = address
        self._ask_at = time.monotonic() + max(_ASK_AGAIN_SECONDS, self._cluster.refresh_interval)

    def is_current(self, connection: Any) -> bool:
        """
        Return whether a connection leads to the master by the Sentinels' last answer.

        They are asked once a second, or in each refresh interval where that is longer. A call waits no longer than
        ``HANG_TIMEOUT_SECONDS`` for it: an answer that comes later counts from then on.
        """
        now = time.monotonic()
        if now >= self._ask_at:
            self._ask_at = now + _ASK_LATER_SECONDS  # others go on without an answer meanwhile
            with contextlib.suppress(builtins.TimeoutError):  # the connection may still be good
                within(HANG_TIMEOUT_SECONDS, self._ask, f"asking for the master of {self}")
        return (connection.host, connection.port) == self._address

    def _ask(self) -> None:
        try:
            self._address = self._cluster.master(self._service)
        except Exception:  # noqa: BLE001  of a provider of credentials, for one; the connections may still be good
            self._ask_at = time.monotonic() + _ASK_LATER_SECONDS
        else:
            self._ask_at = time.monotonic() + max(_ASK_AGAIN_SECONDS, self._cluster.refresh_interval)

    def lost(self) -> None:
        """Have the Sentinels asked the next time, after an error."""
        self._cluster.forget(self._service)

    def _check_role(self, connection: Any) -> None:
        write(connection, _ROLE)
        try:
            role = read(connection)[0]
        except ResponseError:
            return  # a user who may not ask
        if role != b"master":
            raise ConnectionError(f"{self.name} is not served by a master at this time")
