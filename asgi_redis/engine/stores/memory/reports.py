"""The reports of processes in a store in memory. Its steps take turns."""

from __future__ import annotations

from asgi_redis.engine.stores.store import StoredReport
from asgi_redis.wire.expiry import is_expired
from asgi_redis.wire.registry import REPORT_EXPIRY_SECONDS


class MemoryReports:
    """The last report of each process, and a request to it, at times of the caller."""

    def __init__(self) -> None:
        self._reports: dict[str, tuple[float, bytes]] = {}
        self._requests: dict[str, str] = {}

    def add(self, process: str, report: bytes, now: float) -> str | None:
        """Store the report of a process; return the request to it that was left meanwhile."""
        self._sweep(now)
        self._reports[process] = now, report
        return self._requests.pop(process, None)

    def discard(self, process: str) -> None:
        """Remove the report of a process, and a request to it."""
        self._reports.pop(process, None)
        self._requests.pop(process, None)

    def all(self, now: float) -> list[StoredReport]:
        """Return the reports that have not expired."""
        self._sweep(now)
        return [StoredReport(process, now - at, report) for process, (at, report) in self._reports.items()]

    def ask(self, process: str, request: str, now: float) -> bool:
        """Leave a request for a process; return whether there is a report of it."""
        self._sweep(now)
        if process not in self._reports:
            return False
        self._requests[process] = request
        return True

    def _sweep(self, now: float) -> None:
        for process, (at, _) in list(self._reports.items()):
            if is_expired(now - at, REPORT_EXPIRY_SECONDS):
                self.discard(process)
