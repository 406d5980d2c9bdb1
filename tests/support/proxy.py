"""A TCP proxy between a client and a Redis server, which counts what passes and can break the line."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time


class Proxy:
    """
    Forwards connections from ``url`` to ``target``, a ``(host, port)`` pair.

    Counters: ``connections``, ``bytes_to_server``, ``bytes_to_client``, ``round_trips`` (a request, in
    however many pieces, and pipelined ones together, followed by a reply).

    ``delay`` is the number of seconds by which every reply is late. While ``swallow`` is true, requests reach
    the server and replies do not reach the client. While ``refuse`` is true, new connections are closed.
    ``held`` tells that a reply is being held, see ``hold_reply``.

    A direction is ``"requests"`` or ``"replies"``.
    """

    def __init__(self, target: tuple[str, int]) -> None:
        self.target = target
        self.delay = 0.0
        self.swallow = False
        self.refuse = False
        self.cuts = 0
        self._lock = threading.Lock()
        self.held = threading.Event()
        self._armed: list[tuple[bytes, bool]] = []
        self._to_hold: tuple[bytes, int] | None = None
        self._released = threading.Event()
        self._fault: _Fault | None = None
        self._lines: list[_Line] = []
        self._closed = False
        self.reset_counters()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.host, self.port = self._listener.getsockname()
        self._threads: list[threading.Thread] = []
        self._accepter = threading.Thread(target=self._accept, daemon=True)
        self._accepter.start()

    @property
    def url(self) -> str:
        return f"redis://{self.host}:{self.port}/0"

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def reset_counters(self) -> None:
        self.connections = 0
        self.round_trips = 0
        self.bytes_to_server = 0
        self.bytes_to_client = 0

    @property
    def armed(self) -> bool:
        """Whether a fault has yet to come."""
        return self._fault is not None or bool(self._armed)

    def cut_on(self, pattern: bytes = b"", *, forward: bool = True, times: int = 1) -> None:
        """
        Cuts the line at each of the next ``times`` requests that contain ``pattern``.

        With ``forward`` the server gets the request and has answered it when the line is cut; without, it
        never sees it.
        """
        with self._lock:
            self._armed += [(pattern, forward)] * times

    def cut_after(self, direction: str, length: int) -> None:
        """Passes on ``length`` more bytes in that direction, then cuts the line."""
        self._fault = _Fault(direction, length, None)

    def stall_after(self, direction: str, length: int, seconds: float) -> None:
        """Passes on ``length`` more bytes in that direction, then waits before the others."""
        self._fault = _Fault(direction, length, seconds)

    def disarm(self) -> None:
        """Takes back what ``cut_on``, ``cut_after`` and ``stall_after`` have asked for."""
        with self._lock:
            self._armed.clear()
            self._fault = None

    def forget_lines(self) -> None:
        """Drops what comes on the open lines from now on, and tells nobody, as a NAT does with those it forgets."""
        for line in list(self._lines):
            line.forgotten = True

    def hold_reply(self, pattern: bytes, length: int) -> None:
        """
        Of the next reply that contains ``pattern``, passes on ``length`` bytes only, until ``release``.

        A negative ``length`` is what is held of it.
        """
        self.held.clear()
        self._released.clear()
        self._to_hold = pattern, length

    def release(self) -> None:
        """Passes on the rest of a reply."""
        self._released.set()

    def cut(self, reset: bool = False) -> None:
        """Cuts every open line now; ``reset`` tells the client with a RST, not with a FIN."""
        for line in list(self._lines):
            line.cut(reset)

    def close(self) -> None:
        self._closed = True
        self.release()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in [self._accepter, *self._threads]:
            thread.join(5)

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.refuse:
                client.close()
                continue
            try:
                server = socket.create_connection(self.target, timeout=5)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            line = _Line(client, server)
            self._lines.append(line)
            for pump in (self._pump_requests, self._pump_replies):
                thread = threading.Thread(target=pump, args=(line,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _pump_requests(self, line: _Line) -> None:
        for data in line.read(line.client):
            with self._lock:
                if not line.client_spoke_last:
                    line.client_spoke_last = True
                    self.round_trips += 1
                self.bytes_to_server += len(data)
                hit = next((armed for armed in self._armed if armed[0] in data), None)
                if hit:
                    self._armed.remove(hit)
                    self.cuts += 1
                    line.doomed = True
            if hit and not hit[1]:
                break
            if not self._pass_on(line, "requests", data):
                break
        line.cut()

    def _pump_replies(self, line: _Line) -> None:
        for data in line.read(line.server):
            if line.doomed:
                break
            if self.delay:
                time.sleep(self.delay)
            with self._lock:
                line.client_spoke_last = False
                self.bytes_to_client += len(data)
            if self._to_hold and self._to_hold[0] in data:
                length, self._to_hold = self._to_hold[1], None
                line.write(line.client, data[:length])
                data = data[length:]
                self.held.set()
                self._released.wait()
            if not self.swallow and not self._pass_on(line, "replies", data):
                break
        line.cut()
        self._lines.remove(line)

    def _pass_on(self, line: _Line, direction: str, data: bytes) -> bool:
        """Returns whether the line is still there."""
        end = line.server if direction == "requests" else line.client
        with self._lock:
            fault = self._fault
            if fault is not None and fault.direction == direction:
                left, fault.left = fault.left, fault.left - len(data)
                if left < len(data):
                    self._fault = None
                else:
                    fault = None
            else:
                fault = None
        if line.forgotten:
            return True
        if fault is not None:
            line.write(end, data[:left])
            data = data[left:]
            self.cuts += 1
            if fault.seconds is None:
                line.doomed = True
                return False
            time.sleep(fault.seconds)
        line.write(end, data)
        return True


class _Fault:
    def __init__(self, direction: str, left: int, seconds: float | None) -> None:
        self.direction = direction
        self.left = left
        self.seconds = seconds


class _Line:
    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client = client
        self.server = server
        self.client_spoke_last = False
        self.doomed = False
        self.forgotten = False
        self._cut = threading.Lock()

    def read(self, end: socket.socket):
        while True:
            try:
                data = end.recv(262_144)
            except OSError:
                return
            if not data:
                return
            yield data

    def write(self, end: socket.socket, data: bytes) -> None:
        with contextlib.suppress(OSError):
            end.sendall(data)

    def cut(self, reset: bool = False) -> None:
        with self._cut:
            for end in (self.client, self.server):
                # shutdown wakes the other pump, which close alone does not.
                with contextlib.suppress(OSError):
                    if reset:
                        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    end.shutdown(socket.SHUT_RD if reset else socket.SHUT_RDWR)
                end.close()
