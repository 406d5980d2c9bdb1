"""A cache that is bounded by the bytes of what is in it, and not only by the number."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Callable, Generic, TypeVar

T = TypeVar("T")

_SETS = 64
_SETS_BYTES = 32 << 20
_NAME_BYTES = 300  # that a channel takes up in what is made of a set, beside its name


class SizedCache(Generic[T]):
    """
    Keeps values while they have no more than ``most_bytes`` together, and are no more than ``most``: the newest.

    Needs no lock, which a fork might find held: what is in it is replaced as a whole.
    """

    def __init__(self, most_bytes: int, most: int = 16) -> None:
        self._most_bytes = most_bytes
        self._most = most
        self._values: dict[Hashable, tuple[T, int]] = {}

    def get(self, key: Hashable) -> T | None:
        """Returns the value that was put under ``key``, if it is still there."""
        found = self._values.get(key)
        return None if found is None else found[0]

    def put(self, key: Hashable, value: T, size: int) -> None:
        """Keeps a value of ``size`` bytes; not one that is too large by itself."""
        if size > self._most_bytes:
            return
        values = {**self._values, key: (value, size)}
        while len(values) > self._most or sum(size for _, size in values.values()) > self._most_bytes:
            del values[next(iter(values))]
        self._values = values

    def __len__(self) -> int:
        return len(self._values)


class ChannelSets(Generic[T]):
    """
    What ``make`` makes of sets of channels, kept for the next call with the same names in the same order.

    Calling it raises what ``make`` does, also for a name that cannot even be looked up.
    """

    def __init__(self, make: Callable[[tuple[str, ...]], T]) -> None:
        self._make = make
        self._made: SizedCache[T] = SizedCache(_SETS_BYTES, _SETS)

    def __call__(self, channels: tuple[str, ...]) -> T:
        """Returns what is made of ``channels``."""
        try:
            kept = self._made._values.get(channels)  # not by ``get``: each receive does this
        except TypeError:
            return self._make(channels)
        if kept is not None:
            return kept[0]
        made = self._make(channels)
        self._made.put(channels, made, sum(map(len, channels)) + _NAME_BYTES * len(channels))
        return made
