"""Caches that are bounded by bytes, and not only by the number of values."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Callable, Generic, TypeVar

T = TypeVar("T")

_SETS = 64
_SETS_BYTES = 32 << 20
_CHANNEL_BYTES = 300  # that a channel takes up in the result of a set, in addition to its name


class SizedCache(Generic[T]):
    """
    Keeps the newest ``limit`` values, of ``byte_limit`` bytes together.

    Needs no lock, which a fork might find held: its contents are replaced as a whole.
    """

    def __init__(self, byte_limit: int, limit: int = 16) -> None:
        self._byte_limit = byte_limit
        self._limit = limit
        self._values: dict[Hashable, tuple[T, int]] = {}

    def get(self, key: Hashable) -> T | None:
        """Return the value that was put under ``key``, if it is still there."""
        found = self._values.get(key)
        return None if found is None else found[0]

    def put(self, key: Hashable, value: T, size: int) -> None:
        """Put a value of ``size`` bytes, unless it is too large by itself."""
        if size > self._byte_limit:
            return
        values = {**self._values, key: (value, size)}
        while len(values) > self._limit or sum(size for _, size in values.values()) > self._byte_limit:
            del values[next(iter(values))]
        self._values = values

    def __len__(self) -> int:
        return len(self._values)


class ChannelSets(SizedCache[T]):
    """Results of ``make`` for tuples of channels, cached for the next call."""

    def __init__(self, make: Callable[[tuple[str, ...]], T]) -> None:
        super().__init__(_SETS_BYTES, _SETS)
        self._make = make

    def __call__(self, channels: tuple[str, ...]) -> T:
        """Return the result for ``channels``."""
        try:
            found = self._values.get(channels)
        except TypeError:
            return self._make(channels)
        if found is not None:
            return found[0]
        made = self._make(channels)
        self.put(channels, made, sum(map(len, channels)) + _CHANNEL_BYTES * len(channels))
        return made
