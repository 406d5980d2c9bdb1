"""
The clients: many connections in one process, with one epoll and frames that are made before.

``python -m benchmarks.interface.client JSON`` runs one of ``LOADS`` with keyword arguments and prints its figures as
JSON. It must cost less than any server does, so it knows no more of HTTP and of RFC 6455 than the answers need.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import select
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median, quantiles
from typing import Any

OPENING = 100  # connections that are opened at a time
OPEN_SECONDS = 60.0
ANSWER_SECONDS = 20.0
SETTLE_SECONDS = 2.0  # before the memory of idle websockets counts
WARM_UP = 0.2  # of the time, before it counts
PAYLOAD = 64  # bytes
TEXT, CLOSE, PING, PONG = 0x81, 0x88, 0x89, 0x8A
_KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # any 16 bytes do
_MASK = bytes(4)  # zeros mask nothing, and are as good as any other to a server

Clock = time.perf_counter
Roles = dict[str, list[int]]
"""The processes of the servers, by what they do."""


class Lost(Exception):
    """An answer that is wrong, or does not come."""


class Connections:
    """Open connections, and an epoll over them."""

    def __init__(self, port: int, number: int, request: bytes = b"", success: bytes = b"") -> None:
        """Open ``number`` connections; where there is a ``request``, its answer is to begin with ``success``."""
        self._poll = select.epoll()
        self.sockets: dict[int, socket.socket] = {}
        self._port = port
        began = Clock()
        for first in range(0, number, OPENING):
            self._open(min(OPENING, number - first), request, success)
        self.open_seconds = Clock() - began

    def _open(self, number: int, request: bytes, success: bytes) -> None:
        answers = {}
        for _ in range(number):
            one = socket.create_connection(("127.0.0.1", self._port), OPEN_SECONDS)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.sockets[one.fileno()] = one
            self._poll.register(one.fileno(), select.EPOLLIN)
            if request:
                one.sendall(request)
                answers[one.fileno()] = b""
        while answers:
            for fd in self.readable(OPEN_SECONDS):
                if fd not in answers:
                    answer_ping(fd)  # it has been open for a while
                    continue
                answers[fd] += os.read(fd, 4096)
                if not answers[fd].startswith(success[: len(answers[fd])]) or not answers[fd]:
                    raise Lost(f"refused: {answers[fd][:200]!r}")
                if answers[fd].endswith(b"\r\n\r\n"):
                    del answers[fd]

    def readable(self, seconds: float) -> list[int]:
        """Return the connections that can be read, of which there is one within ``seconds``."""
        events = self._poll.poll(seconds)
        if not events:
            raise Lost(f"nothing for {seconds:g} s")
        return [fd for fd, _ in events]

    def ready(self, seconds: float) -> list[int]:
        """Return the connections that can be read after ``seconds`` at most."""
        return [fd for fd, _ in self._poll.poll(max(0.0, seconds))]

    def close(self) -> None:
        self._poll.close()
        for one in self.sockets.values():
            one.close()


def websockets(port: int, number: int, path: str) -> Connections:
    """Return open websockets."""
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {_KEY}",
        "Sec-WebSocket-Version: 13",
    ]
    return Connections(port, number, "\r\n".join([*lines, "", ""]).encode(), b"HTTP/1.1 101 ")


def frame(payload: bytes) -> bytes:
    """Return a text frame of a client."""
    return bytes([TEXT, 0x80 | len(payload)]) + _MASK + payload


def answer(payload: bytes) -> bytes:
    """Return a text frame of a server."""
    return bytes([TEXT, len(payload)]) + payload


def answer_ping(fd: int) -> None:
    """Answer a ping, the only frame that an idle websocket gets."""
    data = os.read(fd, 65536)
    if data[:1] != bytes([PING]) or len(data) != 2 + data[1]:
        raise Lost(f"{data[:100]!r} came, where there should be nothing but pings")
    os.write(fd, bytes([PONG, 0x80 | data[1]]) + _MASK + data[2:])


class PingPong:
    """
    Sends on each connection, and again when the answer has come, until the time is over.

    ``complete(fd, data)`` says whether that is the whole answer of a connection, or raises ``Lost``.
    """

    def __init__(
        self,
        connections: Connections,
        requests: dict[int, bytes],
        complete: Callable[[int, bytes], bool],
        seconds: float,
        roles: Roles,
    ) -> None:
        self._connections = connections
        self._requests = requests
        self._complete = complete
        self._seconds = seconds
        self._roles = roles
        self._partial: dict[int, bytes] = {}

    def figures(self) -> dict[str, float]:
        """Return answers a second, their times, and the CPU time of each."""
        sent = {fd: self._send(fd) for fd in self._requests}
        self._run(sent, Clock() + WARM_UP * self._seconds)
        meter, begin = CPUMeter(self._roles), Clock()
        taken = self._run(sent, begin + self._seconds)
        meter.stop()
        spent = Clock() - begin
        while sent:  # nothing may be lost
            for fd in self._answered():
                del sent[fd]
        return {**latencies(taken), "rate": len(taken) / spent, **meter.microseconds(len(taken))}

    def _run(self, sent: dict[int, float], until: float) -> list[float]:
        taken = []
        while Clock() < until:
            for fd in self._answered():
                taken.append(Clock() - sent[fd])
                sent[fd] = self._send(fd)
        return taken

    def _send(self, fd: int) -> float:
        now = Clock()
        os.write(fd, self._requests[fd])
        return now

    def _answered(self) -> Iterator[int]:
        partial = self._partial
        for fd in self._connections.readable(ANSWER_SECONDS):
            data = os.read(fd, 65536)
            if not data:
                raise Lost("a connection was closed")
            if fd in partial:
                data = partial.pop(fd) + data
            if self._complete(fd, data):
                yield fd
            else:
                partial[fd] = data


def latencies(taken: list[float]) -> dict[str, float]:
    """Return the median, the 99th percentile and the maximum in milliseconds."""
    if len(taken) < 2:
        raise Lost("fewer than two answers")
    return {
        "p50": 1000 * median(taken),
        "p99": 1000 * quantiles(taken, n=100, method="inclusive")[98],
        "max": 1000 * max(taken),
    }


def echo(port: int, number: int, seconds: float, roles: Roles, path: str = "/echo/") -> dict[str, float]:
    """Return frames a second and their times, each websocket with a text of its own."""
    with contextlib.closing(websockets(port, number, path)) as connections:
        payloads = {fd: f"{at:08}".encode() * (PAYLOAD // 8) for at, fd in enumerate(connections.sockets)}
        answers = {fd: answer(payload) for fd, payload in payloads.items()}

        def complete(fd: int, data: bytes) -> bool:
            if data == answers[fd]:
                return True
            if not answers[fd].startswith(data):
                raise Lost(f"{data[:100]!r} came, not {answers[fd]!r}")
            return False

        requests = {fd: frame(payload) for fd, payload in payloads.items()}
        return PingPong(connections, requests, complete, seconds, roles).figures()


def http(port: int, number: int, seconds: float, roles: Roles) -> dict[str, float]:
    """Return answers a second to keep-alive requests and their times."""
    with contextlib.closing(Connections(port, number)) as connections:
        request = f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
        requests = dict.fromkeys(connections.sockets, request)
        return PingPong(connections, requests, _whole_answer, seconds, roles).figures()


def _whole_answer(fd: int, data: bytes) -> bool:
    head, end, body = data.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 "[: len(head)]):
        raise Lost(f"answered {head[:100]!r}")
    if not end:
        return False
    _, found, rest = head.lower().partition(b"content-length:")
    if found:
        return len(body) >= int(rest.partition(b"\r\n")[0])
    return body.endswith(b"0\r\n\r\n")  # chunked


def group(port: int, number: int, seconds: float, roles: Roles, send: int) -> dict[str, float]:
    """
    Return how long a group message takes until all have it.

    A sender sends the next message for each line that is written to the pipe ``send``.
    """
    with contextlib.closing(websockets(port, number, "/group/")) as connections:
        taken: list[float] = []
        begin = Clock() + WARM_UP * seconds
        for at in itertools.count():
            payload = f"{at:08}".encode()
            began = Clock()
            if not taken:
                meter, first = CPUMeter(roles), began
            os.write(send, payload + b"\n")
            _receive_on_all(connections, answer(payload))
            now = Clock()
            if began >= begin:
                taken.append(now - began)
                if now > begin + seconds and len(taken) > 1:
                    break
        meter.stop()
        rate = len(taken) * number / (Clock() - first)
        return {**latencies(taken), "rate": rate, **meter.microseconds(len(taken) * number)}


def _receive_on_all(connections: Connections, expected: bytes) -> None:
    waiting = dict.fromkeys(connections.sockets, b"")
    while waiting:
        for fd in connections.readable(ANSWER_SECONDS):
            data = waiting.get(fd, b"") + os.read(fd, 65536)
            if data == expected:
                if waiting.pop(fd, None) is None:
                    raise Lost("a message came twice")
            elif expected.startswith(data) and data:
                waiting[fd] = data
            else:
                raise Lost(f"{data[:100]!r} came, not {expected!r}")


def idle(port: int, number: int, seconds: float, roles: Roles) -> dict[str, float]:
    """Return the memory of each open websocket in KiB, and the CPU time of all while nothing happens."""
    with contextlib.closing(websockets(port, 10, "/group/")):
        before = resident(roles)
        with contextlib.closing(websockets(port, number, "/group/")) as connections:
            _answer_pings(connections, min(SETTLE_SECONDS, seconds))
            memory = {
                f"KiB, {role}": (after - before[role]) / number / 1024 for role, after in resident(roles).items()
            }
            meter, began = CPUMeter(roles), Clock()
            _answer_pings(connections, seconds)
            meter.stop()
            percent = 100 * meter.total / (Clock() - began)
            opened = number / connections.open_seconds
            return {"memory": sum(memory.values()), **memory, "percent": percent, "opened": opened}


def _answer_pings(connections: Connections, seconds: float) -> None:
    until = Clock() + seconds
    while Clock() < until:
        for fd in connections.ready(until - Clock()):
            answer_ping(fd)


LOADS: dict[str, Callable[..., dict[str, float]]] = {"echo": echo, "http": http, "group": group, "idle": idle}


# The servers' processes


class CPUMeter:
    """The user and system time of processes from now to ``stop``."""

    def __init__(self, roles: Roles) -> None:
        self._roles = roles
        self._spent: dict[str, float] = {}
        self._before = self._now()

    def _now(self) -> dict[str, float]:
        return {role: sum(map(_ticks, pids)) / os.sysconf("SC_CLK_TCK") for role, pids in self._roles.items()}

    def stop(self) -> None:
        # A process that has ended meanwhile has no figure.
        self._spent = {role: max(0.0, now - self._before[role]) for role, now in self._now().items()}

    @property
    def total(self) -> float:
        """The seconds of all."""
        return sum(self._spent.values())

    def microseconds(self, number: int) -> dict[str, float]:
        """Return the time for each of ``number`` messages, in total and by role."""
        by_role = {f"cpu, {role}": 1e6 * spent / number for role, spent in self._spent.items()}
        return {"cpu": sum(by_role.values()), **by_role}


def resident(roles: Roles) -> dict[str, int]:
    """Return the resident memory of processes in bytes, by their role."""
    pages = {role: sum(int(_stat(pid)[21]) for pid in pids) for role, pids in roles.items()}
    return {role: number * os.sysconf("SC_PAGESIZE") for role, number in pages.items()}


def _ticks(pid: int) -> int:
    return sum(map(int, _stat(pid)[11:13]))


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has ended
        return ["0"] * 30


def main() -> None:
    """Print the figures of one load."""
    order = json.loads(sys.argv[1])
    load = LOADS[order.pop("load")]
    try:
        figures: dict[str, Any] = load(**order)
    except (Lost, OSError) as error:
        figures = {"error": str(error)}
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
