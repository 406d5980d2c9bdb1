"""The operations on the registry of processes, of which each is on one shard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from asgi_redis.wire import scripts
from asgi_redis.wire.keys import Keys
from asgi_redis.wire.operation import Operation, command, run_script

REPORT_EXPIRY_SECONDS = 15
"""How long an entry lives on after its last report."""
_EXPIRY = b"%d" % REPORT_EXPIRY_SECONDS


class RegistryOperations:
    """Makes the operations of one layer or shard; processes are known by name."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    def report(self, process: bytes, report: bytes) -> Operation:
        """Write an entry. Reads as the request that waits for the process, or None."""
        keys = (self._keys.process(process), self._keys.processes, self._keys.request(process))
        return run_script(scripts.REPORT_PROCESS, keys, (process, report, _EXPIRY), _read_request)

    def withdraw(self, process: bytes) -> Operation:
        """Delete the entry of a process, and a request to it. Reads as nothing."""
        packed = command(b"DEL", self._keys.process(process), self._keys.request(process))
        packed += command(b"ZREM", self._keys.processes, process)
        return Operation(packed, lambda _: None, 2)

    def processes(self) -> Operation:
        """Reads as ages in seconds by process; also of entries that have expired."""
        packed = command(b"ZRANGE", self._keys.processes, b"0", b"-1", b"WITHSCORES") + command(b"TIME")
        return Operation(packed, _read_ages, 2)

    def entries(self, processes: Sequence[bytes]) -> Operation:
        """Reads as a list of reports, with None for an entry that has expired."""
        return Operation(command(b"MGET", *map(self._keys.process, processes)), list)

    def ask(self, process: bytes, request: bytes) -> Operation:
        """Leave a request for a process. Reads as whether it is in the registry."""
        keys = (self._keys.process(process), self._keys.request(process))
        return run_script(scripts.ASK_PROCESS, keys, (request, _EXPIRY))


def _read_request(reply: bytes | None) -> str | None:
    return None if reply is None else reply.decode(errors="replace")


def _read_ages(replies: list[Any]) -> dict[bytes, float]:
    found, (seconds, microseconds) = replies
    now = int(seconds) + int(microseconds) / 1000000
    # RESP 3 has pairs.
    pairs = found if found and isinstance(found[0], list) else zip(found[::2], found[1::2])
    # Another program may have written scores that are not finite.
    return {process: max(0.0, min(now, now - float(score))) for process, score in pairs}
