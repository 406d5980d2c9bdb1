"""The workloads, their figures, and the aims."""

from __future__ import annotations

from typing import NamedTuple

from .subjects import ASGI, CHANNELS4_BOTH, CLASSIC_BOTH, OURS_BOTH, SYNC, THREADS, WSGI, Subject

LATENCIES = {"p50": "p50, ms", "p99": "p99, ms"}
IDLE_SECONDS = 25.0  # uvicorn pings each websocket every 20 seconds
RESTART_SECONDS = 6.0


class Aim(NamedTuple):
    """At least ``factor`` times as many, or as fast, as the best of ``peers``; without peers, at most ``factor``."""

    figure: str
    factor: float
    peers: tuple[Subject, ...] = ()

    def __str__(self) -> str:
        return f"≥ {self.factor:g}" if self.peers else f"≤ {self.factor:g}"


class Workload(NamedTuple):
    """A row for each of ``figures``; ``load`` is one of the clients', ``restart`` is "" or the order of a restart."""

    table: str
    name: str
    load: str
    number: int
    subjects: tuple[Subject, ...]
    figures: dict[str, str]
    aims: tuple[Aim, ...] = ()
    restart: str = ""
    seconds: float = 0.0  # or as the command says

    @property
    def apart(self) -> bool:
        """Whether it needs a server that has served nothing before."""
        return self.load == "idle" or bool(self.restart)


_WEBSOCKETS = (*OURS_BOTH, *CHANNELS4_BOTH)
_ECHO = {"rate": "frames/s", **LATENCIES, "cpu": "CPU, µs a frame"}
_GROUP = {"p50": "until all have it, ms", "rate": "messages/s", "cpu": "CPU, µs a message"}
_HTTP = {"rate": "answers/s", **LATENCIES, "cpu": "CPU, µs an answer"}
_IDLE = {"memory": "memory, KiB each", "percent": "CPU, %", "opened": "opened, websockets/s"}
_RESTART = {**LATENCIES, "max": "longest, ms"}


def _echo(number: int, *aims: Aim) -> Workload:
    name = f"{number} websocket{'s' * (number > 1)}"
    return Workload("Echo", name, "echo", number, _WEBSOCKETS, _ECHO, aims)


def _http(number: int) -> Workload:
    name = f"{number} client{'s' * (number > 1)}"
    subjects = (*OURS_BOTH, *CLASSIC_BOTH, ASGI, WSGI)
    return Workload("HTTP", name, "http", number, subjects, _HTTP, (Aim("rate", 2.0, CLASSIC_BOTH),))


def _restart(name: str, order: str) -> Workload:
    return Workload("Restart", name, "echo", 50, OURS_BOTH, _RESTART, (), order, RESTART_SECONDS)


WORKLOADS = (
    _echo(1, Aim("p50", 1.0)),
    _echo(10, Aim("rate", 1.0, (SYNC,))),
    _echo(50, Aim("rate", 1.0, (SYNC,))),
    _echo(500, Aim("rate", 1.3, (SYNC,))),
    Workload("Group", "to 1,000", "group", 1000, _WEBSOCKETS, _GROUP, (Aim("rate", 3.0, CHANNELS4_BOTH),)),
    *map(_http, (1, 10, 50)),
    Workload("Idle", "10,000", "idle", 10_000, (THREADS, *CHANNELS4_BOTH), _IDLE, (), "", IDLE_SECONDS),
    _restart("stop, then start", "stop"),
    _restart("start, then stop", "start"),
)
