"""A connection to Redis without a client library, to fill and empty queues."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import Any


class RawConnection:
    """RESP2 over a socket."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._replies = self._socket.makefile("rb")

    def call(self, *command: Any) -> Any:
        """Return the reply to one command."""
        return self.pipeline([command])[0]

    def pipeline(self, commands: Iterable[tuple[Any, ...]]) -> list[Any]:
        """Return the replies to many commands, written a thousand at a time."""
        waiting, replies = list(commands), []
        for start in range(0, len(waiting), 1000):
            part = waiting[start : start + 1000]
            self._socket.sendall(b"".join(map(_packed, part)))
            replies += [self._reply() for _ in part]
        return replies

    def flush(self) -> None:
        """Empty Redis, but for its cache of scripts."""
        self.call("FLUSHALL")

    def cpu_seconds(self) -> float:
        """Return the user and system time of Redis so far, all its threads."""
        lines = self.call("INFO", "cpu").decode().splitlines()
        used = dict(line.split(":") for line in lines if ":" in line)
        return float(used["used_cpu_user"]) + float(used["used_cpu_sys"])

    def close(self) -> None:
        self._replies.close()
        self._socket.close()

    def _reply(self) -> Any:
        line = self._replies.readline()
        kind, rest = line[:1], line[1:-2]
        if kind == b"$":
            return None if rest == b"-1" else self._replies.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return [self._reply() for _ in range(int(rest))]
        if kind == b"-" or not kind:
            raise RuntimeError(f"Redis answered {rest.decode() or 'nothing'}")
        return int(rest) if kind == b":" else rest


def _packed(command: tuple[Any, ...]) -> bytes:
    parts = [part if isinstance(part, bytes) else str(part).encode() for part in command]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
