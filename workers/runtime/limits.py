"""The channels that a worker listens on, and their limits."""

from __future__ import annotations

import fnmatch
import threading
from collections.abc import Iterable, Mapping, Sequence

from asgi_redis.engine.limits import ReceiveLimits
from workers.exceptions import ConfigurationError


def chosen(names: Iterable[str], only: Iterable[str] | None, exclude: Iterable[str] | None) -> list[str]:
    """Return the names that match a glob of ``only``, if any, and none of ``exclude``."""

    def matches(name: str, globs: Iterable[str]) -> bool:
        return any(fnmatch.fnmatchcase(name, glob) for glob in globs)

    return sorted(
        name for name in names if (not only or matches(name, only)) and not (exclude and matches(name, exclude))
    )


class ChannelLimits:
    """
    Counts the messages in progress on the channels that have a limit.

    ``limits`` are (glob, number) pairs; the first that matches a channel applies to it, for each channel by itself.
    Raises ``ConfigurationError`` for a number below 1, and for a glob that matches no channel.
    """

    def __init__(self, channels: Iterable[str], limits: Iterable[tuple[str, int]] = ()) -> None:
        self._channels = tuple(sorted(channels))
        self._limits: dict[str, int] = {}
        self._busy: dict[str, int] = {}  # the number of messages in progress, without zeros
        self._full = 0  # the number of channels without room
        self._lock = threading.Lock()
        for glob, number in limits:
            matching = [name for name in self._channels if fnmatch.fnmatchcase(name, glob)]
            if not matching:
                raise ConfigurationError(f"the limit {glob}={number} matches none of the channels listened on")
            if number < 1:
                raise ConfigurationError(f"the limit of {glob} must be at least 1, not {number}")
            if any("!" in name for name in matching):
                raise ConfigurationError(
                    f"the limit {glob}={number} is for a process-local channel: it can have none"
                )
            for name in matching:
                self._limits.setdefault(name, number)
        numbers = set(self._limits.values())
        # Often all channels have the same limit: then only the channels in progress need be looked at.
        self._each = numbers.pop() if len(self._limits) == len(self._channels) and len(numbers) == 1 else None

    @property
    def by_channel(self) -> Mapping[str, int]:
        """The channels that have a limit, and their limits."""
        return self._limits

    def room(self) -> tuple[Sequence[str], Mapping[str, int] | None]:
        """
        Return the channels to receive from, and the most messages to take of each.

        The channels are always the same, or none when no channel has room. A number of 0 leaves a channel out.
        """
        if not self._limits:
            return self._channels, None
        with self._lock:
            if self._full == len(self._channels):
                return (), None
            some = {} if self._each is not None else dict(self._limits)
            for name, number in self._busy.items():
                some[name] = self._limits[name] - number
        return self._channels, ReceiveLimits(self._channels, self._each, some)

    def has(self, channel: str) -> bool:
        """Whether the channel has a limit."""
        return channel in self._limits

    def take(self, channel: str) -> None:
        """Count a message of ``channel``, which has a limit."""
        with self._lock:
            number = self._busy[channel] = self._busy.get(channel, 0) + 1
            self._full += number == self._limits[channel]

    def free(self, channel: str) -> bool:
        """Count a message less. Return whether the channel had no room until now."""
        with self._lock:
            number = self._busy[channel] - 1
            if number:
                self._busy[channel] = number
            else:
                del self._busy[channel]
            was_full = number == self._limits[channel] - 1
            self._full -= was_full
            return was_full
