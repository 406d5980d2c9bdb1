"""One channel with a backlog, many channels, shards, and sizes of messages."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Sequence
from queue import SimpleQueue

from asgi_redis import RedisChannelLayer

from ..raw import RawConnection
from .bench import MESSAGE, SETTINGS, Bench

_CALLS = 500  # in a round
_WAITS = 20
_WAIT_SECONDS = 0.002  # until a receive that was just called waits
_WAIT_SECONDS_EACH = 10e-6
_BYTES = 4_000_000  # of messages in a round
_MEMBERS = 10  # of the group that gets messages of any size


# A backlog


def send(bench: Bench, backlog: int) -> None:
    bench.fill_queue("work", backlog)
    trim = lambda: bench.redis[0].call("ZREMRANGEBYRANK", "asgiwork", backlog, -1)  # noqa: E731  used once, below
    bench.repeat(lambda: bench.layer.send("work", MESSAGE), _CALLS, prepare=trim)


def receive(bench: Bench, backlog: int, block: bool = False) -> None:
    bench.fill_queue("work", backlog + _CALLS)
    bench.repeat(
        lambda: bench.layer.receive(["work"], block), _CALLS, prepare=lambda: bench.fill_queue("work", _CALLS)
    )


def receive_blocking(bench: Bench, backlog: int) -> None:
    receive(bench, backlog, block=True)


def batch(bench: Bench, backlog: int) -> None:
    bench.fill_queue("work", backlog + _CALLS)
    refill = lambda: bench.fill_queue("work", _CALLS)  # noqa: E731  used once, below
    bench.repeat(lambda: bench.layer.receive_batch(["work"], 100), _CALLS // 100, 100, refill)


def statistics(bench: Bench, backlog: int) -> None:
    bench.fill_queue("work", backlog)
    bench.repeat(lambda: bench.layer.channel_statistics("work"), _CALLS)


def deliver_delayed(bench: Bench, backlog: int) -> None:
    """Store delayed messages that are due now behind others that are due later, and deliver them."""
    bench.layer.delayed.send("later", MESSAGE, 3000)
    (stored,) = bench.redis[0].call("ZRANGE", "asgi:delayed", 0, -1)
    bench.redis[0].call("DEL", "asgi:delayed")
    bench.fill("asgi:delayed", backlog, "%012d", stored[12:], time.time() + 3000)
    times = 100

    def call() -> None:
        for _ in range(times):
            bench.layer.delayed.send("work", MESSAGE, 0)
        bench.layer.delayed.deliver()

    bench.measure(call, times, prepare=lambda: bench.redis[0].call("DEL", "asgiwork"))
    assert bench.redis[0].call("ZCARD", "asgiwork") == times


# Many channels


def look(bench: Bench, channels: int) -> None:
    names = [f"work{number}" for number in range(channels)]
    bench.repeat(lambda: bench.layer.receive(names), max(1, _CALLS // channels), channels)


def look_at_new(bench: Bench, channels: int) -> None:
    turns = itertools.count()

    def call() -> None:
        turn = next(turns)
        bench.layer.receive([f"work{turn}.{number}" for number in range(channels)])

    bench.repeat(call, max(1, _CALLS // channels), channels)


def look_and_find(bench: Bench, channels: int) -> None:
    names = [f"work{number}" for number in range(channels)]
    times = max(1, _CALLS // channels)

    def fill() -> None:
        for number in range(times):
            bench.layer.send(names[number % channels], MESSAGE)

    bench.repeat(lambda: _one(bench, names), times, channels, fill)


def _one(bench: Bench, names: Sequence[str]) -> None:
    _, message = bench.layer.receive(names)
    assert message is not None


def wait(bench: Bench, channels: int) -> None:
    _wait(bench, [f"work{number}" for number in range(channels)], channels)


def _wait(bench: Bench, names: Sequence[str], work: int) -> None:
    """Measure blocking receives that get a message when they have waited for some time."""
    wanted: SimpleQueue[bool] = SimpleQueue()
    entry = bench.layer.serialize(MESSAGE)
    redis = RawConnection(bench.ports[0])

    def wake() -> None:
        while wanted.get():
            time.sleep(_WAIT_SECONDS + len(names) * _WAIT_SECONDS_EACH)
            redis.call("ZADD", f"asgi{names[-1]}", time.time(), entry)

    def call() -> None:
        wanted.put(True)
        _, message = bench.layer.receive(names, block=True)
        assert message is not None

    waking = threading.Thread(target=wake)
    waking.start()
    bench.repeat(call, max(1, _WAITS // work), work)
    wanted.put(False)
    waking.join()


# Shards


def send_to_shards(bench: Bench, shards: int) -> None:
    bench.repeat(lambda: bench.layer.send("work", MESSAGE), _CALLS, prepare=bench.layer.flush)


def look_at_shards(bench: Bench, shards: int) -> None:
    bench.repeat(lambda: bench.layer.receive(["work"]), _CALLS // 10, shards)


def receive_from_shards(bench: Bench, shards: int) -> None:
    def fill() -> None:
        for _ in range(_CALLS):
            bench.layer.send("work", MESSAGE)

    bench.repeat(lambda: _one(bench, ["work"]), _CALLS, prepare=fill)


def wait_on_shards(bench: Bench, shards: int) -> None:
    _wait(bench, ["work"], shards)


def statistics_of_shards(bench: Bench, shards: int) -> None:
    bench.repeat(lambda: bench.layer.channel_statistics("work"), _CALLS // 10, shards)


def send_to_groups_on_shards(bench: Bench, shards: int) -> None:
    """Send to a hundred normal channels, which are on all shards."""
    for number in range(100):
        bench.layer.group_add("group", f"work{number}")
    bench.repeat(lambda: bench.layer.send_group("group", MESSAGE), 10, 100)


# Sizes


def _many(size: int) -> int:
    return min(_CALLS, max(1, _BYTES // size))


def send_bytes(bench: Bench, size: int, layer: RedisChannelLayer | None = None) -> None:
    layer = layer or bench.layer
    message = {"data": "x" * size}
    clear = lambda: bench.redis[0].call("DEL", "asgiwork")  # noqa: E731  used once, below
    bench.repeat(lambda: layer.send("work", message), _many(size), size, clear)


def receive_bytes(bench: Bench, size: int, layer: RedisChannelLayer | None = None) -> None:
    layer = layer or bench.layer
    message = {"data": "x" * size}

    def fill() -> None:
        for _ in range(_many(size)):
            layer.send("work", message)

    bench.repeat(lambda: layer.receive(["work"]), _many(size), size, fill)


def send_encrypted(bench: Bench, size: int) -> None:
    send_bytes(bench, size, _encrypted(bench))


def receive_encrypted(bench: Bench, size: int) -> None:
    receive_bytes(bench, size, _encrypted(bench))


def _encrypted(bench: Bench) -> RedisChannelLayer:
    return RedisChannelLayer(
        hosts=bench.urls, symmetric_encryption_keys=["key"], max_message_bytes=12_000_000, **SETTINGS
    )


def send_bytes_to_group(bench: Bench, size: int) -> None:
    names = [f"specific.{number:032x}!x" for number in range(_MEMBERS)]
    for name in names:
        bench.layer.group_add("group", name)
    queues = [f"asgi{name[:-1]}" for name in names]
    message = {"data": "x" * size}
    bench.repeat(
        lambda: bench.layer.send_group("group", message),
        max(1, _many(size) // _MEMBERS),
        size * _MEMBERS,
        lambda: bench.redis[0].call("UNLINK", *queues),
    )
