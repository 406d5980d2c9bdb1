"""The examination of a server before its first use."""

from __future__ import annotations

import logging
from typing import Any

from redis.exceptions import AuthenticationError, ConnectionError, ResponseError, TimeoutError

from asgi_redis.connection.errors import authentication_error, cluster_error
from asgi_redis.connection.host import Host
from asgi_redis.connection.redis_py import read, write
from asgi_redis.wire.operation import command

logger = logging.getLogger("asgi_redis")

_INFO = command(b"INFO")
_warned: set[tuple[str, bytes]] = set()  # servers and policies that the log has warned of


class Examination:
    """
    Asks a server for its ``INFO``, on the first connection to each address.

    Where a server is not to keep keys, as for pub/sub, that is left out. ``version`` is that of the last answer,
    ``?`` where the server does not tell.
    """

    def __init__(self, host: Host, keeps_keys: bool) -> None:
        self._host = host
        self._keeps_keys = keeps_keys
        self._examined: set[Any] = set()
        self.version = ""

    def examine(self, connection: Any) -> None:
        """Raise ``UnsupportedRedis`` for a cluster; warn of a policy that deletes keys."""
        address = (getattr(connection, "host", ""), getattr(connection, "port", 0))
        if address in self._examined or not self._keeps_keys:
            return
        try:
            info = self.ask(connection)
        except BaseException:
            connection.disconnect()
            raise
        if info.get(b"cluster_enabled") == b"1" and not self._host.in_cluster:
            connection.disconnect()
            raise cluster_error(self._host)
        self._warn(info.get(b"maxmemory_policy", b"noeviction"))
        self._examined.add(address)

    def ask(self, connection: Any) -> dict[bytes, bytes]:
        """Return the ``INFO`` of a server; empty where a user may not ask."""
        info = _ask(self._host, connection)
        self.version = info.get(b"redis_version", b"?").decode(errors="replace")
        return info

    def _warn(self, policy: bytes) -> None:
        known = (self._host.name, policy)
        if policy == b"noeviction" or known in _warned:
            return
        _warned.add(known)
        logger.warning(
            "%s has the maxmemory-policy %s: when its memory is used up it deletes queues and groups without an "
            "error. Set noeviction, which makes it refuse messages instead",
            self._host,
            policy.decode(errors="replace"),
        )


def _ask(host: Host, connection: Any) -> dict[bytes, bytes]:
    try:
        write(connection, _INFO)
        reply = read(connection)
    except AuthenticationError as error:
        raise authentication_error(host, error) from error
    except ResponseError:
        return {}
    except TimeoutError as error:
        raise ConnectionError(f"{host} does not answer: {error}") from error
    lines = reply.splitlines() if isinstance(reply, bytes) else []
    return {name: value for name, _, value in (line.partition(b":") for line in lines)}
