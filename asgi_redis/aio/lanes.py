"""
Lanes: small sets of queues, each received by a thread of its own.

Each message, and each new receive, changes the request that a lane's thread makes, and Redis looks at every queue in
a request. A lane therefore holds few queues, so the cost of a message does not grow with the number of channels.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from asgi_redis.aio.waiters import Aim, Popper, Waiting

_QUEUES = 32  # in a lane
_AT_ONCE = 256  # messages
_KNOWN_FOR = 1.0  # seconds that a layer counts as served after it was


class Lane:
    """Some queues, and the thread that receives from them, ``popper``. The lock of the inbox guards it."""

    popper: Popper

    def __init__(self) -> None:
        self.wanted: dict[str, int] = {}
        """How many wait, and have not been told, for each queue."""
        self.newcomers: set[Waiting] = set()
        """Those who have come when it was not known whether messages are served."""
        self._aim: Aim | None = None
        self._known_until = 0.0  # the time until when messages count as served

    def is_known_to_serve(self, others: bool) -> bool:
        """Whether messages are served, as far as is known; ``others``: something else has been waited for."""
        known = not self.newcomers and (others or time.monotonic() < self._known_until)
        return known and not self.popper.is_down()

    def want(self, queue: str) -> bool:
        """One more waits; returns whether it is the first one for its queue."""
        number = self.wanted[queue] = self.wanted.get(queue, 0) + 1
        self._aim = None
        return number == 1

    def unwant(self, queue: str) -> bool:
        """One less waits; returns whether it was the last one for its queue."""
        number = self.wanted[queue] - 1
        self._aim = None
        if number:
            self.wanted[queue] = number
        else:
            del self.wanted[queue]
        return not number

    def change(self) -> None:
        """Lets the thread look at once what it is to receive."""
        self._aim = None
        self.popper.change()

    def served(self) -> None:
        """Takes note that messages are served."""
        self._known_until = time.monotonic() + _KNOWN_FOR
        if self.newcomers:
            self.newcomers.clear()
            self._aim = None

    def aim(self) -> Aim | None:
        """Returns what to receive, or None when nothing is waited for."""
        if self._aim is None and self.wanted:
            self._aim = self._make_aim()
        return self._aim

    def _make_aim(self) -> Aim:
        limits = {queue: number for queue, number in self.wanted.items() if "!" not in queue}
        # A process-local queue is read by nobody else, and what is in there may be for any of its channels. Of the
        # others no more is taken than there are takers: the rest is for other processes.
        limit = _AT_ONCE if len(limits) < len(self.wanted) else min(_AT_ONCE, sum(limits.values()))
        single = len(self.wanted) == 1
        return Aim(tuple(sorted(self.wanted)), limit, None if single or not limits else limits, bool(self.newcomers))


class Lanes:
    """
    All the lanes, ``most`` of them. The lock of the inbox guards them.

    ``make_popper`` returns the thread that receives for a lane, which is not started yet.
    """

    def __init__(self, make_popper: Callable[[Lane], Popper], most: int) -> None:
        self._make_popper = make_popper
        self._most = most
        self._lanes: list[Lane] = []
        self.by_queue: dict[str, Lane] = {}
        """The lane of each queue that is waited for."""
        self._open()

    @property
    def first(self) -> Lane:
        """The lane that is there in any case."""
        return self._lanes[0]

    def find(self, queue: str) -> Lane:
        """Returns the lane that a queue is in, or is to be in."""
        lane = self.by_queue.get(queue)
        if lane is None and len(self._lanes[0].wanted) < _QUEUES:
            return self._lanes[0]
        if lane is None:
            lane = next((lane for lane in self._lanes if len(lane.wanted) < _QUEUES), None)
        if lane is None and len(self._lanes) < self._most:
            lane = self._open()
        return lane or min(self._lanes, key=lambda lane: len(lane.wanted))

    def _open(self) -> Lane:
        lane = Lane()
        lane.popper = self._make_popper(lane)
        self._lanes.append(lane)
        return lane

    def want(self, queue: str, lane: Lane) -> bool:
        """One more waits for a queue of ``lane``; returns whether it is the first one."""
        self.by_queue[queue] = lane
        return lane.want(queue)

    def unwant(self, queue: str) -> bool:
        """One less waits for a queue; returns whether it was the last one."""
        is_last = self.by_queue[queue].unwant(queue)
        if is_last:
            del self.by_queue[queue]
        return is_last
