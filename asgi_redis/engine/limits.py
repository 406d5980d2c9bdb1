"""The limits of a reader by channel, and of a look at Redis by queue."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from asgi_redis.wire import Taken
from asgi_redis.wire.message import Limits


class ReceiveLimits(Mapping[str, int]):
    """
    The number of messages that may be taken from each limited channel.

    0 or less is none. ``each`` holds for ``channels`` that ``some`` does not name; None: they have no limit. So it is
    small, however many channels there are.
    """

    def __init__(self, channels: Collection[str], each: int | None, some: Mapping[str, int]) -> None:
        self.each = each
        self.some = some
        self._channels = channels

    def __getitem__(self, channel: str) -> int:
        left = self.some.get(channel, self.each)
        if left is None:
            raise KeyError(channel)
        return left

    def __iter__(self) -> Iterator[str]:
        return iter(self._channels if self.each is not None else self.some)

    def __len__(self) -> int:
        return len(self._channels if self.each is not None else self.some)


def exhausted(limits: Limits) -> set[str]:
    """Return the channels from which nothing may be taken."""
    some = limits.some if isinstance(limits, ReceiveLimits) else limits or {}
    return {name for name, left in some.items() if left <= 0}


class QueueLimits:
    """The limits of one look at Redis, by queue."""

    def __init__(self, limits: Mapping[str, int]) -> None:
        self._each, some = (limits.each, limits.some) if isinstance(limits, ReceiveLimits) else (None, limits)
        self._left = {name.encode(): number for name, number in some.items()}

    def readable(self, queues: Sequence[bytes]) -> list[bytes]:
        """Return the queues of which something may be taken yet."""
        return [queue for queue in queues if self._left.get(queue, 1) > 0]

    def of(self, queues: Sequence[bytes], room: int) -> list[int]:
        """Return the limit of each queue, or one for all, or none, for ``room`` messages."""
        each, left = self._each, self._left
        if room == 1:
            return []  # no queue gives more
        if all(number <= 0 for number in left.values()):  # such queues are not among these any more
            return [] if each is None else [each]  # one limit is for all
        return [left.get(queue, room if each is None else each) for queue in queues]

    def count(self, taken: Sequence[Taken], limit: int) -> None:
        """Count messages that a call has taken, which wants up to ``limit``."""
        each = limit if self._each is None else self._each
        for one in taken:
            self._left[one.queue] = self._left.get(one.queue, each) - 1
