"""
One process of a fleet: ``python -m tests.support.mixed.member KIND SETTINGS PLAN``, the last two as JSON.

KIND is ``stock`` (channels_redis), ``aio`` (this package's asynchronous layer; both in two event loops) or ``sync``
(its synchronous one, in threads). It prints the process-local channels that it has added to the group "fleet", a
JSON list, and reads those to send to, another line: of all members, or none. Then each loop sends
``PLAN["rounds"]`` messages to the group, to each of these channels and to each of ``PLAN["normal"]``, and receives,
from its own channels and from ``PLAN["reads"]``, until it gets ``{"stop": True}`` from each. It prints "sent", and
in the end what came: pairs of channel and message id.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from channels_redis.core import RedisChannelLayer as StockLayer

from asgi_redis import RedisChannelLayer
from asgi_redis.aio import RedisChannelLayer as AsyncLayer

LOOPS = 2
LOCALS = 3  # process-local channels for each loop

Pairs = list[tuple[str, str]]
Plan = dict[str, Any]


def start_member(kind: str, settings: dict[str, object], plan: Plan) -> subprocess.Popen[str]:
    """Starts such a process."""
    command = [sys.executable, "-m", "tests.support.mixed.member", kind, json.dumps(settings), json.dumps(plan)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


class Meeting:
    """Where the loops or threads of one process wait for each other, and for the other processes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._mine: list[str] = []
        self._all: Future[list[str]] = Future()
        self._sent = 0

    def exchange(self, channels: list[str]) -> Future[list[str]]:
        """Gives the channels of one loop; the future has those to send to."""
        with self._lock:
            self._mine += channels
            if len(self._mine) == LOOPS * LOCALS:
                self._print(json.dumps(self._mine))
                self._all.set_result(json.loads(sys.stdin.readline()))
        return self._all

    def have_sent(self) -> None:
        with self._lock:
            self._sent += 1
            if self._sent == LOOPS:
                self._print("sent")

    def _print(self, text: str) -> None:
        print(text, flush=True)  # noqa: T201  its output


def messages(plan: Plan, loop: int, channels: list[str]) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Yields what one loop sends: the name of the call, its target, and the message."""
    for number in range(plan["rounds"]):
        if channels:
            yield "group_send", "fleet", {"id": f"{plan['name']}.{loop}.{number} to all"}
        for channel in (*channels, *plan["normal"]):
            yield "send", channel, {"id": f"{plan['name']}.{loop}.{number}"}


async def run_loop(layer: Any, plan: Plan, loop: int, meeting: Meeting) -> Pairs:
    """A member with an asynchronous layer, in one of its loops."""
    pairs: Pairs = []

    async def read(channel: str) -> None:
        while True:
            message = await layer.receive(channel)
            if "stop" in message:
                return
            pairs.append((channel, message["id"]))

    mine = [await layer.new_channel() for _ in range(LOCALS)]
    for channel in mine:
        await layer.group_add("fleet", channel)
    channels = await asyncio.wrap_future(meeting.exchange(mine))
    readers = asyncio.gather(*map(read, [*mine, *(plan["reads"] if loop == 0 else [])]))
    for call, target, message in messages(plan, loop, channels):
        await getattr(layer, call)(target, message)
    meeting.have_sent()
    await readers
    if not isinstance(layer, AsyncLayer):
        await layer.close_pools()  # it has connections for each loop; ours would be closed for the other loop, too
    return pairs


def run_thread(layer: RedisChannelLayer, plan: Plan, loop: int, meeting: Meeting) -> Pairs:
    """A member with the synchronous layer, in one of its threads: that sends, another receives."""
    pairs: Pairs = []
    mine = [f"thread{loop}.{layer.client_prefix}!{number}" for number in range(LOCALS)]
    for channel in mine:
        layer.group_add("fleet", channel)
    channels = meeting.exchange(mine).result()

    def read() -> None:
        waiting = {*mine, *(plan["reads"] if loop == 0 else [])}
        while waiting:
            names = sorted({layer.non_local_name(name) for name in waiting})
            channel, message = layer.receive(names, block=True)
            if message is None:
                continue
            if "stop" in message:
                waiting.discard(channel)
            else:
                pairs.append((channel, message["id"]))

    with ThreadPoolExecutor(1) as executor:
        reader = executor.submit(read)
        for call, target, message in messages(plan, loop, channels):
            getattr(layer, call)(target, message)
        meeting.have_sent()
        reader.result()
    return pairs


def runners(kind: str, settings: dict[str, Any], plan: Plan) -> list[Callable[[], Pairs]]:
    """Returns what is to be run, each in a thread of its own."""
    meeting = Meeting()
    if kind == "sync":
        layer = RedisChannelLayer(**settings)
        return [lambda loop=loop: run_thread(layer, plan, loop, meeting) for loop in range(LOOPS)]
    # One of the stock ones must not receive in two loops.
    layers = [AsyncLayer(**settings)] * LOOPS if kind == "aio" else [StockLayer(**settings) for _ in range(LOOPS)]
    return [
        lambda layer=layer, loop=loop: asyncio.run(run_loop(layer, plan, loop, meeting))
        for loop, layer in enumerate(layers)
    ]


def main(kind: str, settings: str, plan: str) -> None:
    todo = runners(kind, json.loads(settings), json.loads(plan))
    with ThreadPoolExecutor(len(todo)) as executor:
        futures = [executor.submit(run) for run in todo]
        pairs = [pair for future in futures for pair in future.result()]
    print(json.dumps(pairs))  # noqa: T201  its output


if __name__ == "__main__":
    main(*sys.argv[1:])
