"""The sweep of a monitor: finds the largest queues and groups, step by step."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping

from redis.exceptions import RedisError

from asgi_redis.engine.facts import Found, Inspector
from asgi_redis.monitor.calls import BudgetedCalls


class Largest:
    """
    The names with the largest numbers, however many names there are.

    Numbers of the same name are added up: each shard has some messages of a channel. ``count`` and ``total`` are of
    all names. They may be slightly too large: a name with a small number may be forgotten before it comes again, and
    Redis may show a key twice while it resizes its table.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._numbers: dict[str, int] = {}
        self.count = 0
        self.total = 0

    def note(self, numbers: Mapping[str, int]) -> None:
        """Note some names with their numbers."""
        for name, number in numbers.items():
            known = self._numbers.get(name)
            self._numbers[name] = number + (known or 0)
            self.count += known is None
            self.total += number
        if len(self._numbers) > 4 * self._limit:
            self._numbers = self.numbers

    @property
    def numbers(self) -> dict[str, int]:
        """The names with their numbers, the largest first."""
        return dict(heapq.nlargest(self._limit, self._numbers.items(), key=lambda pair: (pair[1], pair[0])))


class Sweep:
    """The queues and groups that one sweep has found."""

    def __init__(self, limit: int) -> None:
        self.queues = Largest(limit)
        self.groups = Largest(limit)


class Survey:
    """
    Sweeps through a layer again and again.

    ``latest`` is the last complete sweep, or before there is one the current one; ``sweeps`` counts the complete
    ones.
    """

    def __init__(self, inspector: Inspector, calls: BudgetedCalls, limit: int) -> None:
        self._inspector = inspector
        self._calls = calls
        self._limit = limit
        self._steps: Iterator[Found] | None = None
        self._current = Sweep(limit)
        self.latest = self._current
        self.sweeps = 0

    def advance(self) -> bool:
        """
        Make one step; return whether a sweep has ended with it.

        Raises ``redis.exceptions.RedisError`` at the end of a sweep where a server could not be reached. The sweep
        counts if the others had something.
        """
        if self._steps is None:
            self._current = Sweep(self._limit)
            self._steps = self._inspector.sweep()
        steps, self._steps = self._steps, None
        try:
            found = self._calls.make(lambda: next(steps, None))
        except RedisError:
            if self._current.queues.count or self._current.groups.count:
                self._end()
            raise
        if found is None:
            self._end()
            return True
        self._steps = steps
        self._current.queues.note(found.queues)
        self._current.groups.note(found.groups)
        if not self.sweeps:
            self.latest = self._current
        return False

    def _end(self) -> None:
        self.latest = self._current
        self.sweeps += 1
