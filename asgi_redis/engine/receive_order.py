"""
The order of messages where several threads read the same process-local queue.

Redis returns a queue in order, but its replies reach the threads in any order. The rest of a group's message, which
is in the buffer for its other channels, must come before messages that were sent later. So each call registers before
it asks Redis, and ends its registration when it has buffered or returned the messages that it took. A call takes
buffered messages only after the calls that registered earlier have ended theirs.
"""

from __future__ import annotations

import time
import weakref
from collections import deque
from collections.abc import Iterator

from asgi_redis.engine.receive_call import ReceiveCall
from asgi_redis.process.time_limits import HANG_TIMEOUT_SECONDS
from asgi_redis.process.wakeup import WakeupPipe, poll


class ReceiveOrder:
    """The calls of one process that have asked Redis; ``idle`` has pipes to use."""

    def __init__(self, idle: deque[WakeupPipe]) -> None:
        self._idle = idle
        # By reference: the end of an interrupted call may never be noted here.
        self._calls: dict[weakref.ref[ReceiveCall], None] = {}
        self._behind: set[WakeupPipe] = set()

    def begin(self, call: ReceiveCall) -> None:
        """Register a call, before it asks."""
        if call.channels.process_local:
            call.is_registered = True
            self._calls[weakref.ref(call)] = None

    def end(self, call: ReceiveCall) -> None:
        """End the registration, when the messages of the call are buffered."""
        if call.is_registered:
            self._calls.pop(weakref.ref(call), None)
            for pipe in list(self._behind):
                pipe.wake()
            call.is_registered = False  # last: after an interruption this is called again

    def is_alone(self) -> bool:
        """Return whether no more than one call has asked."""
        return len(self._calls) < 2

    def _others(self, call: ReceiveCall) -> Iterator[ReceiveCall]:
        for reference in list(self._calls):
            other = reference()
            if other is None:
                self._calls.pop(reference, None)
            elif other is not call and not other.channels.process_local.isdisjoint(call.channels.process_local):
                yield other

    def have_taken(self, call: ReceiveCall) -> list[ReceiveCall]:
        """Return the other calls that may hold messages of the same queues."""
        return [other for other in self._others(call) if _may_have_taken(other)]

    def have_waiting(self, call: ReceiveCall) -> bool:
        """Return whether another call seems to wait for messages of the same queues."""
        return not all(map(_may_have_taken, self._others(call)))

    def wait(self, call: ReceiveCall) -> None:
        """Wait, up to a second, until the other calls of now have ended."""
        others = self.have_taken(call) if self._calls else []
        if not others:
            return
        deadline = time.monotonic() + HANG_TIMEOUT_SECONDS
        try:
            pipe = self._idle.pop()
        except IndexError:
            pipe = WakeupPipe()
        self._behind.add(pipe)
        try:
            while any(other.is_registered and _may_have_taken(other) for other in others):
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    return
                if poll([pipe], remaining):
                    pipe.clear()
        finally:
            self._behind.discard(pipe)
            self._idle.append(pipe)


def _may_have_taken(call: ReceiveCall) -> bool:
    """Return whether a call may hold messages; a wait that goes on has taken none."""
    return any(take.may_have_taken() for take in list(call.takes))
