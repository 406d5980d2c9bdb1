"""How many messages a reader may take from each channel, and a look at Redis from each queue."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from asgi_redis.wire import Taken


class ReceiveLimits(Mapping[str, int]):
    """
    The rest of the limits of ``channels``: by name, for the limited ones; 0 or less for none.

    ``each`` holds for channels that ``some`` does not name; None: they have no limit. So it is small, however many
    channels there are.
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


def exhausted(limits: Mapping[str, int] | None) -> set[str]:
    """Return the channels from which nothing may be taken."""
    some = limits.some if isinstance(limits, ReceiveLimits) else limits or {}
    return {name for name, left in some.items() if left <= 0}


class QueueLimits:
    """The limits of one look at Redis, by the keys of the queues, which ``key`` makes of names."""

    def __init__(self, limits: Mapping[str, int], key: Callable[[bytes], bytes]) -> None:
        self._each, some = (limits.each, limits.some) if isinstance(limits, ReceiveLimits) else (None, limits)
        self._left = {key(name.encode()): number for name, number in some.items()}

    def readable(self, keys: Sequence[bytes]) -> list[bytes]:
        """Return the queues of which something may be taken yet."""
        return [key for key in keys if self._left.get(key, 1) > 0]

    def of(self, keys: Sequence[bytes], room: int) -> list[int]:
        """Return how many messages each queue may give, where ``room`` are wanted; a single number is for all."""
        each, left = self._each, self._left
        if room == 1:
            return []  # which all of them may
        if all(number <= 0 for number in left.values()):  # those are not among them any more
            return [] if each is None else [each]
        return [left.get(key, room if each is None else each) for key in keys]

    def count(self, taken: Sequence[Taken], limit: int) -> None:
        """Note that messages were taken by a call that wants up to ``limit``."""
        each = limit if self._each is None else self._each
        for one in taken:
            self._left[one.key] = self._left.get(one.key, each) - 1
