"""Groups with many members, and many groups."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Coroutine, Iterable
from typing import Any

from asgi_redis.aio import RedisChannelLayer

from .bench import MESSAGE, SETTINGS, Bench

_CALLS = 500  # in a round
_KEY = "asgi:group:group"
OWN = "specific.%032x!x"  # each member in another process
ONE = "specific.00000000000000000000000000000000!%032x"  # all of them in one


def join(bench: Bench, members: int, form: str) -> None:
    bench.fill(_KEY, members, form)
    bench.repeat(lambda: bench.layer.group_add("group", form % 0), _CALLS)


def list_members(bench: Bench, members: int, form: str) -> None:
    bench.fill(_KEY, members, form)
    bench.repeat(lambda: bench.layer.group_channels("group"), _times(members), members)


def send(bench: Bench, members: int, form: str) -> None:
    """Send to the same members again and again, to empty queues first."""

    def prepare() -> None:
        bench.redis[0].call("FLUSHALL")
        bench.fill(_KEY, members, form)

    bench.repeat(lambda: bench.layer.send_group("group", MESSAGE), _times(members), members, prepare)


def send_to_new_members(bench: Bench, members: int, form: str) -> None:
    """Send once to members that this process has not sent to before."""
    turns = itertools.count(1)

    def prepare() -> None:
        bench.redis[0].call("FLUSHALL")
        bench.fill(_KEY, members, form.replace(".", f".{next(turns)}."))

    bench.measure(lambda: bench.layer.send_group("group", MESSAGE), members, prepare)


def hand_out(bench: Bench, members: int, form: str) -> None:
    """Receive a message to the group, once for each member in this process."""
    bench.fill(_KEY, members, form)
    queue = [form.partition("!")[0] + "!"]

    def call() -> None:
        for _ in range(members):
            _, message = bench.layer.receive(queue)
            assert message is not None

    bench.measure(call, members, lambda: bench.layer.send_group("group", MESSAGE))


def _times(members: int) -> int:
    return max(1, _CALLS // members)


# Many groups


def join_groups(bench: Bench, groups: int) -> None:
    names = [f"group{number}" for number in range(groups)]
    bench.start_memory()

    def call() -> None:
        for name in names:
            bench.layer.group_add(name, "member")

    bench.measure(call, groups)


def send_to_groups(bench: Bench, groups: int) -> None:
    names = [f"group{number}" for number in range(groups)]
    for number, name in enumerate(names):
        bench.layer.group_add(name, f"member{number}")
    bench.start_memory()

    def call() -> None:
        for name in names:
            bench.layer.send_group(name, MESSAGE)

    bench.measure(call, groups)


def join_and_send_async(bench: Bench, groups: int) -> None:
    """Let a channel of an asynchronous layer join all groups, and send to each; then leave them."""
    names = [f"group{number}" for number in range(groups)]
    bench.start_memory()
    layer = RedisChannelLayer(hosts=bench.urls, **SETTINGS)
    loop = asyncio.new_event_loop()
    member = loop.run_until_complete(layer.new_channel())

    async def call() -> None:
        for name in names:
            await layer.group_add(name, member)
        for name in names:
            await layer.group_send(name, MESSAGE)
        await _at_once(layer.receive(member) for _ in names)
        for name in names:
            await layer.group_discard(name, member)

    bench.measure(lambda: loop.run_until_complete(call()), groups)
    loop.run_until_complete(layer.close_pools())
    loop.close()


async def _at_once(calls: Iterable[Coroutine[Any, Any, Any]]) -> None:
    await asyncio.gather(*calls)
