"""The receivers that wait for messages of a store in memory. Its steps take turns."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from asgi_redis.process.wakeup import WakeupPipe

_IDLE = 100  # pipes that are kept for the next receivers, at most


class WaitingReceivers:
    """A pipe for each receiver that waits, by which a message wakes it."""

    def __init__(self) -> None:
        self.pipes: dict[str, set[WakeupPipe]] = {}
        """The pipes of the receivers of each queue that has some."""
        self._idle: deque[WakeupPipe] = deque(maxlen=_IDLE)

    def add(self, queues: Sequence[str]) -> WakeupPipe:
        """Return the pipe of a receiver that begins to wait for messages of ``queues``."""
        try:
            pipe = self._idle.pop()
        except IndexError:
            pipe = WakeupPipe()
        for queue in queues:
            self.pipes.setdefault(queue, set()).add(pipe)
        return pipe

    def remove(self, queues: Sequence[str], pipe: WakeupPipe) -> None:
        """Keep the pipe of a receiver that waits no longer for the next one."""
        for queue in queues:
            pipes = self.pipes.get(queue, set())
            pipes.discard(pipe)
            if not pipes:
                self.pipes.pop(queue, None)
        pipe.clear()
        self._idle.append(pipe)

    def close_idle(self) -> None:
        """Close the pipes that are not in use."""
        self._idle.clear()
