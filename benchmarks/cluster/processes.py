"""Client processes that work at the same time, and the CPU time of any process."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


class ClientError(Exception):
    """A client process has failed; the text is the end of what it wrote."""


class Client:
    """One client process; as a context manager it is killed in the end."""

    def __init__(self, order: dict[str, Any]) -> None:
        command = [sys.executable, "-m", f"{__package__}.client", json.dumps(order)]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        self.pid = self._process.pid

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._process.kill()
        self._process.communicate()

    def wait_until_ready(self) -> None:
        """Wait until it has connected and warmed up."""
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "ready\n":
            raise ClientError(self._complaint())

    def go(self) -> None:
        """Have it work."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """Return what it has done, when it has."""
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        answer: dict[str, Any] = json.loads(said) if said else {"error": self._complaint()}
        if "error" in answer:
            raise ClientError(answer["error"])
        return answer

    def sockets(self) -> int:
        """Return the number of its open connections."""
        links = [_link(file) for file in Path(f"/proc/{self.pid}/fd").iterdir()]
        return sum(link.startswith("socket:") for link in links)

    def _complaint(self) -> str:
        assert self._process.stderr is not None
        return self._process.stderr.read().strip().rpartition("\n")[2]


def _link(file: Path) -> str:
    try:
        return str(file.readlink())
    except OSError:  # it has been closed meanwhile
        return ""


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return the CPU time of other processes so far, all their threads, by Linux's clocks of processes."""
    return sum(time.clock_gettime((~pid << 3) | 2) for pid in pids)


def work(orders: list[dict[str, Any]], servers: list[int]) -> dict[str, float]:
    """Have a client carry out each order, all at the same time; return messages/s, and CPU µs a message."""
    clients: list[Client] = []
    try:
        clients += map(Client, orders)
        for client in clients:
            client.wait_until_ready()
        used = cpu_seconds(servers)
        for client in clients:
            client.go()
        answers = [client.answer() for client in clients]
        used = cpu_seconds(servers) - used
    finally:
        for client in clients:
            client.__exit__()
    messages = sum(answer["messages"] for answer in answers)
    return {
        "rate": sum(answer["messages"] / answer["seconds"] for answer in answers),
        "client": 1e6 * sum(answer["cpu"] for answer in answers) / messages,
        "servers": 1e6 * used / messages,
    }
