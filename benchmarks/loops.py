"""
The loops that call a synchronous subject: one caller, many threads, and the two kinds of waiting.

``async_loops.py`` has the same names for coroutines.
"""

from __future__ import annotations

import threading
import time
from typing import Any, Callable

from .meter import Meter, own_cpu_seconds
from .rounds import Rounds

Call = Callable[[], Any]
MOST_CHUNKS = 10_000
PING, PONG = "ping", "pong"
SETTLE = 1.5  # seconds, before a reader counts as idle: all of them start at once, on one CPU


class Loops:
    """Plain calls, from this thread or from threads of their own."""

    def once(self, call: Call) -> Any:
        return call()

    def burst(self, call: Call, most: int, seconds: float) -> int:
        """Calls until it was ``most`` times or ``seconds`` are over; returns how often."""
        clock = time.perf_counter
        deadline = clock() + seconds
        calls = 0
        while calls < most:
            call()
            calls += 1
            if clock() >= deadline:
                break
        return calls

    def chunks(self, call: Call, prepare: Call, chunk: int, seconds: float, meter: Meter) -> None:
        """One caller: bursts of ``chunk`` calls, ``prepare`` between them and off the clock."""
        for _ in range(MOST_CHUNKS):
            prepare()
            left = seconds - meter.seconds
            with meter:
                meter.calls += self.burst(call, chunk, left)
            if meter.seconds >= seconds:
                break

    def together(self, call: Call, count: int, most: int, seconds: float, meter: Meter) -> None:
        """``count`` threads at once, each as fast as it can, ``most`` calls in all."""
        made: list[int] = []
        errors: list[Exception] = []
        start = threading.Barrier(count + 1)

        def run() -> None:
            try:
                call()  # its connection is made off the clock
                start.wait()
                made.append(self.burst(call, most // count, seconds))
            except threading.BrokenBarrierError:
                pass  # another one has failed
            except Exception as error:  # noqa: BLE001  # handed to the caller below
                errors.append(error)
                start.abort()

        running = [threading.Thread(target=run, daemon=True) for _ in range(count)]
        for thread in running:
            thread.start()
        try:
            start.wait()
            with meter:
                for thread in running:
                    thread.join()
                meter.calls += sum(made)
        except threading.BrokenBarrierError:
            pass
        if errors:
            raise errors[0]

    def ping(self, subject: Any, message: dict[str, Any], seconds: float) -> Rounds:
        """Sends, and blocks until the answer is there, again and again."""
        rounds = Rounds(seconds)
        while not rounds.over:
            with rounds:
                subject.send(PING, message)
                while subject.receive(PONG, True) is None:
                    pass
        return rounds

    def echo(self, subject: Any) -> None:
        """The other end: answers until it is killed."""
        while True:
            message = subject.receive(PING, True)
            if message is not None:
                subject.send(PONG, message)

    def idle(self, receive: Call, seconds: float) -> float:
        """CPU seconds per second of a thread that blocks in ``receive``, call after call."""

        def run() -> None:
            while True:
                receive()

        threading.Thread(target=run, daemon=True).start()
        time.sleep(SETTLE)
        before = own_cpu_seconds()
        time.sleep(seconds)
        return (own_cpu_seconds() - before) / seconds
