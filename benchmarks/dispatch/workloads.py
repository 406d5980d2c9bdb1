"""The workloads and their targets, as plain data."""

from __future__ import annotations

from dataclasses import dataclass

from .subjects import GEVENT, SUBJECTS, THREAD, Subject

RATE, PER_CPU, P50, P99, LOAD = "rate", "per_cpu", "p50", "p99", "load"
UNITS = {RATE: "msg/s", PER_CPU: "msg/CPU s", P50: "p50, µs", P99: "p99, µs", LOAD: "sent/s"}
SLOTS = (1, 2, 4, 8, 16, 32)


@dataclass(frozen=True)
class Target:
    """Our figure is to reach ``factor`` times the best peer's, ``share`` of the floor's, or ``value``."""

    figure: str
    factor: float | None = None
    value: float | None = None
    share: float | None = None


@dataclass(frozen=True)
class Workload:
    """A full queue; or with ``half_load`` an empty one, and a steady rate of sends."""

    name: str
    slots: int
    sleep: float = 0.0  # seconds
    half_load: bool = False
    lasts: int = 1  # times as long as the others
    pools: tuple[str, ...] = (THREAD, GEVENT)
    targets: tuple[Target, ...] = (Target(RATE, factor=2),)

    @property
    def figures(self) -> tuple[str, ...]:
        """The figures that are shown."""
        return (P50, P99, LOAD) if self.half_load else (RATE, PER_CPU)

    def subjects(self) -> list[Subject]:
        """Return the subjects that take part."""
        sleeps = self.sleep and not self.half_load
        return [
            one
            for one in SUBJECTS
            if one.pool in self.pools and self.slots <= max(1, one.most_slots) and (sleeps or one.kind != "floor")
        ]


def _filled(text: str, sleep: float, targets: tuple[Target, ...]) -> list[Workload]:
    return [Workload(f"{text}, {slots} slot{'s' * (slots > 1)}", slots, sleep, targets=targets) for slots in SLOTS]


_NO_OP, _SLEEP = "no-op", "sleeps 1 ms"
_TWICE = (Target(RATE, factor=2),)
_SOON = (Target(P99, value=5000),)
WORKLOADS = (
    *_filled(_NO_OP, 0.0, _TWICE),
    *_filled(_SLEEP, 0.001, (Target(RATE, share=0.95),)),  # the sleep bounds them all
    Workload(f"half load, {_NO_OP}, 8 slots", 8, half_load=True, targets=_SOON),
    Workload(f"half load, {_SLEEP}, 8 slots", 8, 0.001, half_load=True, targets=_SOON),
    Workload(
        "sleeps 50 ms, 1,000 slots",
        1000,
        0.05,
        lasts=4,  # or the last 50 ms, in which slots stay empty, would count for too much
        pools=(GEVENT,),
        targets=(Target(RATE, value=18_000),),
    ),
)
QUICK = (1, 8)  # slots
