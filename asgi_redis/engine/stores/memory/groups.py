"""The groups of a store in memory. Its steps take turns."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection

from asgi_redis.wire.expiry import is_expired

_SWEPT = 2  # groups that are looked at for each that may be new


class MemoryGroups:
    """The channels of each group. Times are those of the caller."""

    def __init__(self) -> None:
        # The end holds the groups that were added or swept last. Channels: the latest added last.
        self._groups: OrderedDict[str, OrderedDict[str, float]] = OrderedDict()

    def add(self, group: str, channel: str, now: float, group_expiry: float) -> None:
        """Add a channel to a group, or renew it."""
        channels = self._groups.setdefault(group, OrderedDict())
        channels[channel] = now
        channels.move_to_end(channel)
        for _ in range(min(_SWEPT, len(self._groups))):
            self._sweep(next(iter(self._groups)), now, group_expiry)

    def discard(self, group: str, channel: str) -> None:
        """Remove a channel from a group, if it is in there."""
        channels = self._groups.get(group)
        if channels is not None:
            channels.pop(channel, None)
            if not channels:
                del self._groups[group]

    def channels(self, group: str, now: float, group_expiry: float) -> Collection[str]:
        """Return the channels of a group that were added within ``group_expiry`` seconds."""
        if group not in self._groups:
            return ()
        return self._sweep(group, now, group_expiry)

    def groups(self) -> list[str]:
        """Return the names of all groups."""
        return list(dict.keys(self._groups))  # in no order, which is fifty times as fast

    def _sweep(self, group: str, now: float, group_expiry: float) -> Collection[str]:
        channels = self._groups[group]
        while channels and is_expired(now - next(iter(channels.values())), group_expiry):
            channels.popitem(last=False)
        if channels:
            self._groups.move_to_end(group)
        else:
            del self._groups[group]
        return channels
