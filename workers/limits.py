"""Which channels are listened on, and how many messages of one may be worked on at a time."""

from __future__ import annotations

import fnmatch
import threading
from collections.abc import Iterable, Sequence

from workers.exceptions import ConfigurationError


def chosen(names: Iterable[str], only: Iterable[str] | None, exclude: Iterable[str] | None) -> list[str]:
    """Returns those of ``names`` that match a glob of ``only``, if there is any, and none of ``exclude``."""

    def matches(name: str, globs: Iterable[str]) -> bool:
        return any(fnmatch.fnmatchcase(name, glob) for glob in globs)

    return sorted(
        name for name in names if (not only or matches(name, only)) and not (exclude and matches(name, exclude))
    )


class Limits:
    """
    Counts what is in progress on the channels that have a limit.

    ``limits`` are (glob, number) pairs; the first that matches a channel holds for it, for each channel by itself.
    Raises ``ConfigurationError`` for a limit that is none, or matches no channel.
    """

    def __init__(self, channels: Iterable[str], limits: Iterable[tuple[str, int]] = ()) -> None:
        self._channels = sorted(channels)
        self._left: dict[str, int] = {}
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
                self._left.setdefault(name, number)

    def room(self) -> tuple[Sequence[str], dict[str, int] | None]:
        """Returns the channels that may be received from, and how many messages from which of them at most."""
        if not self._left:
            return self._channels, None
        with self._lock:
            most = {name: left for name, left in self._left.items() if left}
        return [name for name in self._channels if name in most or name not in self._left], most

    def has(self, channel: str) -> bool:
        """Whether the channel has a limit."""
        return channel in self._left

    def take(self, channel: str) -> None:
        """A message of ``channel``, which has a limit, was received."""
        with self._lock:
            self._left[channel] -= 1

    def free(self, channel: str) -> bool:
        """One is done with. Returns whether nothing could be received from the channel until now."""
        with self._lock:
            self._left[channel] += 1
            return self._left[channel] == 1
