"""The table of groups: the largest ones, with their members and processes."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping

from redis.exceptions import ResponseError

from asgi_redis.layers.base import BaseChannelLayer
from asgi_redis.monitor.calls import BudgetedCalls
from asgi_redis.monitor.readers import count_processes
from asgi_redis.monitor.snapshot import Row

_AT_ONCE = 20  # groups whose members are looked up for one picture
_MOST_MEMBERS = 1000  # of a group whose members are looked up: more would hold up Redis


class GroupTable:
    """Makes the rows of groups; the processes of a few groups are looked up each time."""

    def __init__(self, layer: BaseChannelLayer, calls: BudgetedCalls, limit: int) -> None:
        self._layer = layer
        self._calls = calls
        self._limit = limit
        self._processes: dict[str, int] = {}  # the latest to be looked up comes last

    def rows(self, members: Mapping[str, int]) -> list[Row]:
        """
        Return the rows of the groups with the most members, these first.

        ``processes`` is None where it was not looked up: in groups of more than a thousand members, and in groups
        that wait for their turn.

        Args:
            members: The numbers of members by group, the most first.
        """
        shown = dict(itertools.islice(members.items(), self._limit))
        self._processes = {group: known for group, known in self._processes.items() if group in shown}
        small = [group for group, number in shown.items() if number <= _MOST_MEMBERS]
        unknown = [group for group in small if group not in self._processes]
        known = [group for group in self._processes if shown[group] <= _MOST_MEMBERS]
        for group in [*unknown, *known][:_AT_ONCE]:
            self._processes.pop(group, None)
            count = self._calls.attempt(functools.partial(self._count_processes, group), None)
            if count is not None:
                self._processes[group] = count
        return [
            {"group": group, "members": number, "processes": self._processes.get(group)}
            for group, number in shown.items()
        ]

    def _count_processes(self, group: str) -> int | None:
        try:
            return count_processes(self._layer.group_channels(group))
        except ResponseError:
            return None  # it deletes expired members, for which a user may lack the rights
