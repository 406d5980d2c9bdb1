"""
The timed loops for synchronous subjects: one caller, many threads, and waiting.

``async_loops.py`` has the same names for coroutines.
"""

from __future__ import annotations

import threading
import time
from typing import Any, Callable

from .meter import Meter, own_cpu_seconds
from .rounds import Rounds

Call = Callable[[], Any]
MAX_CHUNKS = 10_000
PING, PONG = "ping", "pong"
SETTLE_SECONDS = 1.5  # before a reader counts as idle: all of them start at once, on one CPU


class Loops:
    """Plain calls, from this thread or from others."""

    def once(self, call: Call) -> Any:
        return call()

    def burst(self, call: Call, most: int, seconds: float) -> int:
        """Call ``most`` times, or until ``seconds`` are over; return the number of calls."""
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
        """Make bursts of ``chunk`` calls; ``prepare`` before each is not timed."""
        for _ in range(MAX_CHUNKS):
            prepare()
            left = seconds - meter.seconds
            with meter:
                meter.calls += self.burst(call, chunk, left)
            if meter.seconds >= seconds:
                break

    def together(self, call: Call, count: int, most: int, seconds: float, meter: Meter) -> None:
        """Call from ``count`` threads, each as fast as it can, ``most`` times in all."""
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
        """Send and wait for the answer, again and again."""
        rounds = Rounds(seconds)
        while not rounds.over:
            with rounds:
                subject.send(PING, message)
                while subject.receive(PONG, True) is None:
                    pass
        return rounds

    def echo(self, subject: Any) -> None:
        """Answer ``ping`` until this process is killed."""
        while True:
            message = subject.receive(PING, True)
            if message is not None:
                subject.send(PONG, message)

    def idle(self, receive: Call, seconds: float) -> float:
        """Return the CPU seconds per second of a thread that blocks in ``receive``."""

        def run() -> None:
            while True:
                receive()

        threading.Thread(target=run, daemon=True).start()
        time.sleep(SETTLE_SECONDS)
        before = own_cpu_seconds()
        time.sleep(seconds)
        return (own_cpu_seconds() - before) / seconds
