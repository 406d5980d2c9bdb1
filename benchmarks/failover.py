"""
``python -m benchmarks.failover``: the cost of a failover.

Three Sentinels watch a master and two replicas (``down-after-milliseconds 300``). One thread sends numbered messages
as fast as it can, another receives them, and the master is killed with SIGKILL. The clock runs from the kill to the
first send that Redis acknowledges, and to the first message received. Messages that were acknowledged and never
received are lost; messages that were received twice are doubled. ``--save`` writes
``benchmarks/results/failover.json``.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from typing import NamedTuple

import redis
from redis.exceptions import RedisError

from asgi_redis import RedisSentinelChannelLayer
from asgi_redis.embedded import RedisServer

from .command import add_save
from .record import Conditions, Line, Measured, described, save

SERVICE = "service"
DOWN_AFTER_MILLISECONDS = 300
WARM_UP_SECONDS = 0.5
GO_ON_SECONDS = 1.0


class Outcome(NamedTuple):
    """The outcome of one kill; times in seconds since it."""

    first_send: float
    first_receive: float
    acknowledged: int
    lost: int
    doubled: int


class Traffic:
    """A sending and a receiving thread, until ``stop``."""

    def __init__(self, layer: RedisSentinelChannelLayer) -> None:
        self.acknowledged: list[tuple[float, int]] = []
        self.received: list[tuple[float, int]] = []
        self._layer = layer
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=run) for run in (self._send, self._receive)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the sender, then the receiver when the queue is empty."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _send(self) -> None:
        number = 0
        while not self._stopped.is_set():
            try:
                self._layer.send("work", {"n": number})
            except RedisError:
                time.sleep(0.005)
            except self._layer.ChannelFull:
                time.sleep(0.001)
            else:
                self.acknowledged.append((time.monotonic(), number))
            number += 1

    def _receive(self) -> None:
        while True:
            try:
                batch = self._layer.receive_batch(["work"], 100, 0.2)
            except RedisError:
                time.sleep(0.005)
                continue
            now = time.monotonic()
            self.received += [(now, message["n"]) for _, message in batch]
            if not batch and self._stopped.is_set():
                return


def wait_until(condition: object, seconds: float = 30.0) -> None:
    """Call ``condition`` until it is true, or raise ``TimeoutError``."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(RedisError, KeyError):
            if condition():  # type: ignore[operator]
                return
        if time.monotonic() > deadline:
            raise TimeoutError("the servers do not get ready")
        time.sleep(0.02)


@contextlib.contextmanager
def cluster(min_replicas: int) -> Iterator[tuple[RedisServer, list[tuple[str, int]]]]:
    """Yield the master and the Sentinels' addresses, when a failover can succeed."""
    with contextlib.ExitStack() as stack:
        options: dict[str, object] = {"repl-diskless-sync-delay": 0}
        if min_replicas:
            options |= {"min-replicas-to-write": min_replicas, "min-replicas-max-lag": 1}
        master = stack.enter_context(RedisServer(options))  # type: ignore[arg-type]
        options["replicaof"] = [master.host, master.port]
        for _ in range(2):
            stack.enter_context(RedisServer(options))  # type: ignore[arg-type]
        directives = [
            ("sentinel", ["monitor", SERVICE, master.host, master.port, 2]),
            ("sentinel", ["down-after-milliseconds", SERVICE, DOWN_AFTER_MILLISECONDS]),
            ("sentinel", ["failover-timeout", SERVICE, 3000]),
        ]
        watchers = [stack.enter_context(RedisServer(directives, sentinel=True)) for _ in range(3)]  # type: ignore[arg-type]

        def ready() -> bool:
            for watcher in watchers:
                with redis.Redis(port=watcher.port or 0, protocol=2) as client:
                    state = client.sentinel_masters()[SERVICE]
                    if (state["num-other-sentinels"], state["num-slaves"]) != (2, 2):
                        return False
            with redis.Redis(port=master.port or 0, protocol=2) as client:
                info = client.info("replication")
                return all(info[f"slave{n}"]["state"] == "online" for n in range(2))

        wait_until(ready)
        yield master, [(watcher.host, watcher.port or 0) for watcher in watchers]


def measure(min_replicas: int) -> Outcome:
    """Kill one master; return the outcome."""
    with (
        cluster(min_replicas) as (master, sentinels),
        RedisSentinelChannelLayer(hosts=sentinels, services=[SERVICE], capacity=1_000_000) as layer,
    ):
        traffic = Traffic(layer)
        wait_until(lambda: traffic.received)
        time.sleep(WARM_UP_SECONDS)
        master.kill()
        killed = time.monotonic()
        wait_until(lambda: traffic.received[-1][0] > killed + 0.1)
        time.sleep(GO_ON_SECONDS)
        traffic.stop()
        numbers = [number for _, number in traffic.received]
        return Outcome(
            # Replies that were on their way when the master died arrived within a few milliseconds.
            first_send=min(at for at, _ in traffic.acknowledged if at > killed + 0.05) - killed,
            first_receive=min(at for at, _ in traffic.received if at > killed + 0.05) - killed,
            acknowledged=len(traffic.acknowledged),
            lost=len({number for _, number in traffic.acknowledged} - set(numbers)),
            doubled=len(numbers) - len(set(numbers)),
        )


def main() -> int:
    """Print a row for each setting of ``min-replicas-to-write``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.failover", description=__doc__)
    parser.add_argument("--kills", type=int, default=10, help="masters to kill for each row (default: %(default)s)")
    add_save(parser)
    arguments = parser.parse_args()
    conditions = Conditions("benchmarks.failover", sys.argv[1:])
    outcomes = {min_replicas: [measure(min_replicas) for _ in range(arguments.kills)] for min_replicas in (0, 1)}
    ended = conditions.end(
        f"{arguments.kills} kills for each setting, of new servers each; seconds after the kill, messages of all "
        f"kills; down-after-milliseconds {DOWN_AFTER_MILLISECONDS}"
    )
    print("\n".join(described(ended)), end="\n\n")
    lines = [line for number, of_it in outcomes.items() for line in _lines(f"min-replicas-to-write {number}", of_it)]
    for name, unit, values in lines:
        shown = [f"{value:,.2f}" if unit == "s" else f"{value:,}" for value in values if value is not None]
        print(f"{f'{name}, {unit}':55}{' '.join(f'{one:>12}' for one in shown)}")
    if arguments.save:
        table = Measured("A master with two replicas is killed", ["median", "largest", "all kills"], lines)
        save(arguments.save, "failover", ended, {"kills": table})
    return 0


def _lines(name: str, outcomes: list[Outcome]) -> list[Line]:
    lines = []
    for what in ("first_send", "first_receive"):
        seconds = [getattr(one, what) for one in outcomes]
        median, largest = statistics.median(seconds), max(seconds)
        lines.append(Line(f"{name}, {what.replace('_', ' ')}", "s", [median, largest, None]))
    for what in ("acknowledged", "lost", "doubled"):
        number = sum(getattr(one, what) for one in outcomes)
        lines.append(Line(f"{name}, {what}", "messages", [None, None, number]))
    return lines


if __name__ == "__main__":
    sys.exit(main())
