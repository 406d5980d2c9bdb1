"""The registry of a layer over a store."""

from __future__ import annotations

import json

from asgi_redis.engine.facts import ProcessEntry, Report
from asgi_redis.engine.stores.store import Store


class StoreRegistry:
    """The ``Registry`` of a layer over ``store``; see ``asgi_redis.engine.facts``."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def report(self, process: str, report: Report) -> str | None:
        """Write the entry of a process; return the request to it that was made meanwhile."""
        return self._store.report(process, json.dumps(report).encode())

    def withdraw(self, process: str) -> None:
        """Delete the entry of a process, at its end."""
        self._store.withdraw(process)

    def processes(self) -> list[ProcessEntry]:
        """Return the entries that have not expired, sorted by the names of the processes."""
        return [ProcessEntry(name, age, json.loads(report)) for name, age, report in sorted(self._store.reports())]

    def ask(self, process: str, request: str) -> bool:
        """Leave a request for a process; return whether the process is in the registry."""
        return self._store.ask(process, request)
