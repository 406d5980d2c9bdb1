"""The workloads: one client and ten, over HTTP and over websockets."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from statistics import median, quantiles
from typing import Any, NamedTuple

from .client import Http, WebSocket

WARM_UP = 0.2  # of the time, before it counts


class Workload(NamedTuple):
    """``clients`` ask as fast as they are answered."""

    name: str
    ask: Callable[[int], contextlib.AbstractContextManager[Callable[[], Any]]]
    clients: int
    aim: str = ""

    def measure(self, port: int, seconds: float) -> dict[str, float]:
        """Return answers a second, and the median and p99 of their milliseconds."""
        taken: list[float] = []
        begin = time.perf_counter() + WARM_UP * seconds
        end = begin + seconds
        failures: list[Exception] = []

        def client() -> None:
            try:
                with self.ask(port) as ask:
                    asked = time.perf_counter()
                    while asked < end:
                        ask()
                        answered = time.perf_counter()
                        if asked >= begin:
                            taken.append(answered - asked)
                        asked = answered
            except Exception as error:  # noqa: BLE001  raised in the caller's thread
                failures.append(error)

        threads = [threading.Thread(target=client) for _ in range(self.clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures or len(taken) < 2:
            raise failures[0] if failures else RuntimeError("no answers")
        return {
            "rate": len(taken) / seconds,
            "p50": 1000 * median(taken),
            "p99": 1000 * quantiles(taken, n=100, method="inclusive")[98],
        }


@contextlib.contextmanager
def _http(port: int) -> Iterator[Callable[[], Any]]:
    with Http(port) as connection:
        yield connection.get


@contextlib.contextmanager
def _websocket(port: int) -> Iterator[Callable[[], Any]]:
    with WebSocket(port, "/") as connection:

        def ask() -> None:
            connection.send("hello")
            connection.receive()

        yield ask


WORKLOADS = [
    Workload("HTTP, 1 client", _http, 1, "p50 < 6 ms"),
    Workload("HTTP, 10 clients", _http, 10, "> 900/s"),
    Workload("websocket echo, 1 client", _websocket, 1),
    Workload("websocket echo, 10 clients", _websocket, 10),
]
