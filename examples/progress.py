"""The progress of the demonstration: a table on a terminal, or a line a second."""

from __future__ import annotations

import time
from collections import Counter, deque
from dataclasses import dataclass, field

from rich.console import Console
from rich.live import Live
from rich.table import Table


@dataclass
class Progress:
    """Counts the replies of the consumers; times are in seconds."""

    started: float = field(default_factory=time.monotonic)
    done: Counter[int] = field(default_factory=Counter)
    waited: list[float] = field(default_factory=list)
    announced: list[str] = field(default_factory=list)
    depth: int = 0
    _recent: deque[float] = field(default_factory=deque)

    def add(self, reply: dict[str, object]) -> None:
        """Count one reply of a consumer."""
        if "by" in reply:
            self.announced.append(f"{reply['by']}: {reply['text']}")
            return
        if not self.waited:
            self.started = time.monotonic()  # the process that sends has to start first
        self.done[int(str(reply["id"]))] += 1
        self.waited.append(float(str(reply["waited"])))
        self._recent.append(time.monotonic())

    @property
    def jobs(self) -> int:
        """Jobs done."""
        return len(self.waited)

    @property
    def rate(self) -> int:
        """Jobs done within the last second."""
        while self._recent and self._recent[0] < time.monotonic() - 1:
            self._recent.popleft()
        return len(self._recent)

    def latency(self, percent: int) -> float:
        """Return a percentile of the milliseconds that jobs waited."""
        if not self.waited:
            return 0.0
        return sorted(self.waited)[min(len(self.waited) - 1, len(self.waited) * percent // 100)] * 1000

    def table(self) -> Table:
        """Return the table for a terminal."""
        table = Table(title="four threads of one worker process", min_width=60)
        table.add_column("jobs done", justify="right")
        table.add_column("jobs/s", justify="right")
        table.add_column("picked up after, p50", justify="right")
        table.add_column("p99", justify="right")
        table.add_column("waiting in Redis", justify="right")
        table.add_column("group messages")
        table.add_row(
            str(self.jobs),
            str(self.rate),
            f"{self.latency(50):.1f} ms",
            f"{self.latency(99):.1f} ms",
            str(self.depth),
            "\n".join(self.announced[-4:]),
        )
        return table

    def line(self) -> str:
        """Return the line for a log."""
        return (
            f"{time.monotonic() - self.started:4.0f} s  {self.jobs} jobs done, {self.rate} a second, picked up "
            f"after {self.latency(50):.1f} ms (p50) {self.latency(99):.1f} ms (p99), {self.depth} waiting in Redis, "
            f"{len(self.announced)} group messages"
        )


class Display:
    """Shows a ``Progress``; a context manager."""

    def __init__(self, progress: Progress, console: Console) -> None:
        self._progress = progress
        self._console = console
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._last_line = time.monotonic()

    def __enter__(self) -> Display:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._live:
            self._live.stop()

    def update(self) -> None:
        """Show the present state."""
        if self._live:
            self._live.update(self._progress.table(), refresh=True)
        elif self._progress.jobs and time.monotonic() - self._last_line >= 1:
            self._last_line = time.monotonic()
            self._console.print(self._progress.line(), soft_wrap=True)
