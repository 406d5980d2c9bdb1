"""
The order of messages where several threads of one process read the same process-local queue.

Redis hands out a queue in order, but its replies reach the threads in any order. The rest of a group's message, which
the process keeps for its other channels, must come before messages that were sent later. So each call registers
before it asks Redis, and ends its registration when it has kept what it took. A call takes kept messages only after
the calls that registered earlier have ended theirs.
"""

from __future__ import annotations

import time
import weakref
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

from asgi_redis.process.time_limits import HANG_TIMEOUT_SECONDS
from asgi_redis.process.wakeup import WakeupPipe, poll

if TYPE_CHECKING:
    from asgi_redis.engine.receive_request import ReceiveCall


class Ask:
    """The requests of one call, from when they are made until what they have taken is kept or handed out."""

    __slots__ = ("_call", "_first", "names")

    def __init__(self, call: ReceiveCall) -> None:
        self.names = call.reading.local
        self._call = weakref.ref(call)  # one that an interruption has ended may be told by nobody
        self._first = len(call.requests)

    def may_have_taken(self) -> bool:
        """Whether something may have been taken that is not kept yet; a wait that goes on has taken nothing."""
        call = self._call()
        return call is not None and any(one.may_have_taken() for one in call.requests[self._first :])


class Asks:
    """The calls of one process that have asked; ``idle`` has waiters to use."""

    def __init__(self, idle: deque[WakeupPipe]) -> None:
        self._idle = idle
        self._open: dict[Ask, None] = {}
        self._behind: set[WakeupPipe] = set()

    def begin(self, call: ReceiveCall) -> None:
        """To be told before a call asks."""
        if call.reading.local:
            call.ask = Ask(call)
            self._open[call.ask] = None

    def end(self, call: ReceiveCall) -> None:
        """To be told when what a call has taken is kept, or nothing was."""
        ask = call.ask
        if ask is not None:
            self._open.pop(ask, None)  # first: an interruption may come here, and this is called again
            call.ask = None
            for waiter in list(self._behind):
                waiter.wake()

    def alone(self) -> bool:
        """Whether no more than one call has asked."""
        return len(self._open) < 2

    def _same(self, call: ReceiveCall) -> Iterator[Ask]:
        for ask in list(self._open):
            if ask is not call.ask and not ask.names.isdisjoint(call.reading.local):
                yield ask

    def others(self, call: ReceiveCall) -> list[Ask]:
        """Returns the other calls that may have taken something from the same queues."""
        return [ask for ask in self._same(call) if ask.may_have_taken()]

    def have_waiting(self, call: ReceiveCall) -> bool:
        """Whether another call waits for messages of the same queues, as far as its connection shows."""
        return not all(ask.may_have_taken() for ask in self._same(call))

    def wait(self, call: ReceiveCall) -> None:
        """Waits until the others that have asked by now have kept what they took; for a second at most."""
        others = self.others(call) if self._open else []
        if not others:
            return
        deadline = time.monotonic() + HANG_TIMEOUT_SECONDS
        try:
            waiter = self._idle.pop()
        except IndexError:
            waiter = WakeupPipe()
        self._behind.add(waiter)
        try:
            while any(ask in self._open and ask.may_have_taken() for ask in others):
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    return
                if poll([waiter], remaining):
                    waiter.clear()
        finally:
            self._behind.discard(waiter)
            self._idle.append(waiter)
