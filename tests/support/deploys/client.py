"""
Many websockets that send numbered frames at a steady rate, in a process of their own.

``python -m tests.support.deploys.client PORT PATH SOCKETS RATE LIMIT``: each socket sends ``RATE`` frames a second,
whether or not there were answers, and ``LIMIT`` frames in all, where that is not 0. It prints a line when all are
open. A line ``finish SECONDS`` on stdin ends the sending (where there is a limit: once it is reached), and, when all
answers are there or none has come for that time, prints the report as JSON; the end of stdin closes the sockets. A
frame is ``socket:number``, an answer ``socket:number:version:pid``.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from typing import Any

_KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # any 16 bytes do
_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10
_OPENING = 25  # handshakes at a time: a channel for connects holds a hundred
_TICK_SECONDS = 0.01


class Socket(asyncio.Protocol):
    """One websocket, see RFC 6455. ``sent`` frames have the numbers below it."""

    def __init__(self, number: int, request: bytes) -> None:
        self.number = number
        self.sent = 0
        self.sent_at: dict[int, float] = {}
        self.answers: list[int] = []
        self.latencies: list[float] = []
        self.versions: Counter[str] = Counter()
        self.foreign: list[str] = []
        self.closed: int | None = None
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.writable = True
        self._request = request
        self._data = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(self._request)

    def pause_writing(self) -> None:
        self.writable = False

    def resume_writing(self) -> None:
        self.writable = True

    def send(self, now: float) -> None:
        self.sent_at[self.sent] = now
        self._write(_TEXT, f"{self.number}:{self.sent}".encode())
        self.sent += 1

    def data_received(self, data: bytes) -> None:
        self._data += data
        if not self.opened.done():
            head, end, rest = self._data.partition(b"\r\n\r\n")
            if not end:
                return
            self._data = rest
            if head.startswith(b"HTTP/1.1 101"):
                self.opened.set_result(None)
            else:
                self.opened.set_exception(ConnectionError(head.decode()))
        while self._read_frame():
            pass

    def _read_frame(self) -> bool:
        data = self._data
        if len(data) < 2 or len(data) < 2 + data[1]:
            return False
        assert data[1] < 126, "answers are short"
        kind, content = data[0] & 15, data[2 : 2 + data[1]]
        self._data = data[2 + data[1] :]
        if kind == _TEXT:
            self._answered(content.decode())
        elif kind == _PING:
            self._write(_PONG, content)
        elif kind == _CLOSE:
            self.closed = int.from_bytes(content[:2], "big")
        return True

    def _answered(self, text: str) -> None:
        socket, number, version, _ = text.split(":")
        if socket != str(self.number) or int(number) >= self.sent:
            self.foreign.append(text)
            return
        self.answers.append(int(number))
        self.versions[version] += 1
        sent_at = self.sent_at.pop(int(number), None)
        if sent_at is not None:
            self.latencies.append(time.monotonic() - sent_at)

    def connection_lost(self, error: Exception | None) -> None:
        if self.closed is None:
            self.closed = 1006
        if not self.opened.done():
            self.opened.set_exception(ConnectionError("closed within the handshake"))

    def _write(self, kind: int, content: bytes) -> None:
        # Masked by zeros: the content goes as it is.
        self.transport.write(bytes((0x80 | kind, 0x80 | len(content), 0, 0, 0, 0)) + content)


class Client:
    """All the sockets."""

    def __init__(self, port: int, path: str, sockets: int, rate: float, limit: int) -> None:
        lines = [
            f"GET {path} HTTP/1.1",
            f"Host: 127.0.0.1:{port}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            f"Sec-WebSocket-Key: {_KEY}",
            "Sec-WebSocket-Version: 13",
        ]
        request = "\r\n".join([*lines, "", ""]).encode()
        self._port = port
        self._rate = rate
        self._limit = limit
        self.sockets = [Socket(number, request) for number in range(sockets)]
        self._sending = True

    async def open(self) -> None:
        gate = asyncio.Semaphore(_OPENING)
        loop = asyncio.get_running_loop()

        async def open_one(socket: Socket) -> None:
            async with gate:
                await loop.create_connection(lambda: socket, "127.0.0.1", self._port)
                await socket.opened

        await asyncio.gather(*(open_one(socket) for socket in self.sockets))

    async def send(self) -> None:
        """Sends until told to stop; the sockets take turns."""
        started, turn = time.monotonic(), 0
        while self._sending:
            now = time.monotonic()
            due = int((now - started) * self._rate * len(self.sockets))
            for number in range(turn, due):
                socket = self.sockets[number % len(self.sockets)]
                if socket.writable and socket.closed is None and not 0 < self._limit <= socket.sent:
                    socket.send(now)
            turn = max(turn, due)
            await asyncio.sleep(_TICK_SECONDS)

    async def finish(self, quiet_seconds: float) -> None:
        while self._limit and any(socket.sent < self._limit and socket.closed is None for socket in self.sockets):
            await asyncio.sleep(_TICK_SECONDS)
        self._sending = False
        answered, since = -1, time.monotonic()
        while any(socket.sent_at for socket in self.sockets) and time.monotonic() - since < quiet_seconds:
            now_answered = sum(len(socket.answers) for socket in self.sockets)
            if now_answered != answered:
                answered, since = now_answered, time.monotonic()
            await asyncio.sleep(_TICK_SECONDS)

    def report(self) -> dict[str, Any]:
        lost, doubled, disordered = [], [], []
        versions: Counter[str] = Counter()
        for socket in self.sockets:
            counts = Counter(socket.answers)
            lost += [(socket.number, number) for number in range(socket.sent) if not counts[number]]
            doubled += [(socket.number, number) for number, count in counts.items() if count > 1]
            pairs = zip(socket.answers, socket.answers[1:])
            disordered += [(socket.number, earlier, later) for earlier, later in pairs if later < earlier]
            versions += socket.versions
        latencies = sorted(latency for socket in self.sockets for latency in socket.latencies) or [0.0]
        return {
            "sockets": len(self.sockets),
            "sent": sum(socket.sent for socket in self.sockets),
            "answered": sum(len(socket.answers) for socket in self.sockets),
            "closed": {socket.number: socket.closed for socket in self.sockets if socket.closed is not None},
            "lost": lost,
            "doubled": doubled,
            "disordered": disordered,
            "foreign": [text for socket in self.sockets for text in socket.foreign],
            "versions": dict(versions),
            "milliseconds": {
                "p50": round(latencies[len(latencies) // 2] * 1000, 1),
                "p99": round(latencies[len(latencies) * 99 // 100] * 1000, 1),
                "max": round(latencies[-1] * 1000, 1),
            },
        }


async def main(port: str, path: str, sockets: str, rate: str, limit: str) -> None:
    loop = asyncio.get_running_loop()
    client = Client(int(port), path, int(sockets), float(rate), int(limit))
    await client.open()
    _tell("open")
    sending = asyncio.ensure_future(client.send())
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        command, _, argument = line.partition(" ")
        if command == "finish":
            await client.finish(float(argument))
            await sending
            _tell(json.dumps(client.report()))


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
