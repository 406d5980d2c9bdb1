"""The timed loops for asynchronous subjects: all in one event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import Any, Callable

from .loops import MAX_CHUNKS, PING, PONG, SETTLE_SECONDS
from .meter import Meter, own_cpu_seconds
from .rounds import Rounds

Call = Callable[[], Awaitable[Any]]


class AsyncLoops:
    """As ``Loops``, but with coroutines and tasks; entering the loop is not timed."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self._loop)

    def once(self, call: Call) -> Any:
        return self._loop.run_until_complete(call())

    def burst(self, call: Call, most: int, seconds: float) -> int:
        return self._loop.run_until_complete(_burst(call, most, seconds))

    def chunks(self, call: Call, prepare: Callable[[], Any], chunk: int, seconds: float, meter: Meter) -> None:
        async def run() -> None:
            for _ in range(MAX_CHUNKS):
                prepare()
                left = seconds - meter.seconds
                with meter:
                    meter.calls += await _burst(call, chunk, left)
                if meter.seconds >= seconds:
                    break

        self._loop.run_until_complete(run())

    def together(self, call: Call, count: int, most: int, seconds: float, meter: Meter) -> None:
        async def run() -> None:
            await asyncio.gather(*(call() for _ in range(count)))
            with meter:
                bursts = (_burst(call, most // count, seconds) for _ in range(count))
                meter.calls += sum(await asyncio.gather(*bursts))

        self._loop.run_until_complete(run())

    def ping(self, subject: Any, message: dict[str, Any], seconds: float) -> Rounds:
        async def run() -> Rounds:
            rounds = Rounds(seconds)
            while not rounds.over:
                with rounds:
                    await subject.send(PING, message)
                    await subject.receive(PONG, True)
            return rounds

        return self._loop.run_until_complete(run())

    def echo(self, subject: Any) -> None:
        async def run() -> None:
            while True:
                await subject.send(PONG, await subject.receive(PING, True))

        self._loop.run_until_complete(run())

    def idle(self, receive: Call, seconds: float) -> float:
        async def block() -> None:
            while True:
                await receive()

        async def run() -> float:
            blocked = asyncio.ensure_future(block())
            await asyncio.sleep(SETTLE_SECONDS)
            before = own_cpu_seconds()
            await asyncio.sleep(seconds)
            spent = own_cpu_seconds() - before
            blocked.cancel()
            return spent / seconds

        return self._loop.run_until_complete(run())


async def _burst(call: Call, most: int, seconds: float) -> int:
    clock = time.perf_counter
    deadline = clock() + seconds
    calls = 0
    while calls < most:
        await call()
        calls += 1
        if clock() >= deadline:
            break
    return calls
