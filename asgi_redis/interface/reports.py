"""The entry of an interface process in the registry of its layer, for monitors."""

from __future__ import annotations

from typing import Any

from asgi_redis.engine.facts import Registry
from asgi_redis.engine.reporter import Reporter


class ConnectionCounts:
    """The numbers of connections of a process."""

    def __init__(self) -> None:
        self.sockets = 0
        """The open websockets."""
        self.requests = 0
        """The HTTP requests in progress."""
        self.requests_total = 0
        """The HTTP requests since the start."""

    def begin_request(self) -> None:
        """Count a request."""
        self.requests += 1
        self.requests_total += 1

    def end_request(self) -> None:
        """Note the end of a request."""
        self.requests -= 1


def reporter_of(registry: Registry, client_prefix: str, counts: ConnectionCounts) -> Reporter:
    """Return the reporter of an interface, which obeys no requests."""

    def describe() -> dict[str, Any]:
        return {"client_prefix": client_prefix, **vars(counts)}

    return Reporter(registry, "interface", describe, lambda request: None)
