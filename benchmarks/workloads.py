"""
The workloads, their figures and their targets.

A workload is plain data: the command picks some, and hands each to a fresh process as JSON.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

SMALL, LARGE = 100, 10_000  # bytes of text in the message
RATE, P50, P99, IDLE = "rate", "p50", "p99", "idle"  # figures: ops/s, µs, µs, ms of CPU per second
REDIS_CPU = "redis_cpu"  # µs


@dataclass(frozen=True)
class Target:
    """Our figure in relation to a peer's: at least for rates, at most for times."""

    factor: float
    against: str = "best"  # of the peers, or the key of one subject
    of_redis: bool = False  # the CPU time of Redis, in place of the figure of the row


@dataclass(frozen=True)
class Workload:
    """One kind of call, with everything that changes its cost."""

    name: str
    call: str  # send, receive, group_send, ping_pong or idle
    size: int = SMALL
    encrypted: bool = False
    block: bool = False
    threads: int = 1
    members: int = 0
    changed: int = 0  # how many of the members were not in the group of the call before
    own_prefixes: bool = True
    floors: bool = False  # do the floors take part?
    targets: tuple[Target, ...] = ()

    @property
    def figures(self) -> tuple[str, ...]:
        """The figures that this workload gives, each a row of the table."""
        return {"ping_pong": (P50, P99), "idle": (IDLE,)}.get(self.call, (RATE,))

    @property
    def chunk(self) -> int:
        """The number of calls after which the queues are emptied, to keep them short."""
        return max(20, 1000 // max(1, self.members))

    @property
    def counted(self) -> bool:
        """Whether round trips and bytes are counted: one caller, one kind of call."""
        return self.call not in ("ping_pong", "idle") and self.threads == 1

    def to_json(self) -> dict[str, Any]:
        """Return the workload for the process that measures."""
        return {**asdict(self), "targets": ()}


def _best(factor: float) -> tuple[Target, ...]:
    return (Target(factor),)


_SEND = (
    Target(1.8),
    Target(50, "channels_redis_sync"),
    Target(0.95, "floor_connection"),
    Target(1.5, "floor_ping", of_redis=True),
)

WORKLOADS = (
    Workload("send 100 B", "send", floors=True, targets=_SEND),
    Workload("send 10 KB", "send", size=LARGE, targets=_best(1.5)),
    Workload("send 100 B, encrypted", "send", encrypted=True, targets=_best(1.3)),
    Workload("send 10 KB, encrypted", "send", size=LARGE, encrypted=True),
    Workload("send 100 B, 8 threads", "send", threads=8, targets=_best(1.8)),
    Workload("receive 100 B, not blocking", "receive", targets=_best(1.8)),
    Workload("receive 10 KB, not blocking", "receive", size=LARGE),
    Workload("receive 100 B, encrypted", "receive", encrypted=True),
    Workload("receive 10 KB, encrypted", "receive", size=LARGE, encrypted=True, targets=_best(1.5)),
    Workload("receive 100 B, 8 threads", "receive", threads=8),
    Workload("receive 100 B, blocking", "receive", block=True),
    Workload("group send, 1 member", "group_send", members=1, targets=_best(2)),
    Workload("group send, 10, own prefixes", "group_send", members=10),
    Workload("group send, 100, own prefixes", "group_send", members=100, targets=_best(2.5)),
    Workload("group send, 1,000, own prefixes", "group_send", members=1000, targets=_best(2.5)),
    Workload("group send, 10, one prefix", "group_send", members=10, own_prefixes=False),
    Workload("group send, 100, one prefix", "group_send", members=100, own_prefixes=False),
    Workload("group send, 1,000, one prefix", "group_send", members=1000, own_prefixes=False, targets=_best(1.3)),
    Workload("group send, 10, one of them new", "group_send", members=10, changed=1, targets=_best(3)),
    Workload("group send, 100, one of them new", "group_send", members=100, changed=1, targets=_best(3)),
    Workload("group send, 1,000, one of them new", "group_send", members=1000, changed=1, targets=_best(3)),
    Workload("group send, 10, all new", "group_send", members=10, changed=10, targets=_best(3)),
    Workload("group send, 100, all new", "group_send", members=100, changed=100, targets=_best(3)),
    Workload("group send, 1,000, all new", "group_send", members=1000, changed=1000, targets=_best(3)),
    Workload(
        "group send, 1,000, one prefix, all new",
        "group_send",
        members=1000,
        changed=1000,
        own_prefixes=False,
        targets=_best(3),
    ),
    Workload("ping-pong, 2 processes", "ping_pong", block=True, targets=_best(0.45)),
    Workload("idle, blocked in receive", "idle", block=True),
)
