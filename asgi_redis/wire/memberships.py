"""
The operations by which a process joins groups, renews its memberships, and puts back what Redis has lost.

Each join of a process has a number. A ledger, one small key for each process and shard, tells which joins the data
contain. So a membership that is missing was lost with the data where they do not contain its join, and was removed by
another process where they do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from asgi_redis.wire import scripts
from asgi_redis.wire.keys import Keys
from asgi_redis.wire.operation import Operation, command, number, script_head

_LEDGER_SHARE = 0.75  # of the lease: the ledger is gone before a membership expires that was not renewed


class Membership(NamedTuple):
    """A channel in a group, by its latest join."""

    group: str
    channel: str
    number: int


class MembershipOperations:
    """
    Makes the operations of one process. ``process_name`` returns what its channels have in their names.

    ``lease`` is how many seconds a membership lasts unless it is renewed. Its score is back-dated, so that every
    process drops it then that has the same ``group_expiry``.
    """

    def __init__(self, keys: Keys, process_name: Callable[[], str], group_expiry: float, lease: float) -> None:
        self._keys = keys
        self._process_name = process_name
        self._ledger_ttl = b"%d" % max(1, math.floor(1000 * _LEDGER_SHARE * lease))
        self._durations = number(group_expiry), number(lease)

    @property
    def _ledger(self) -> bytes:
        return self._keys.ledger(self._process_name())

    def join(self, membership: Membership) -> Operation:
        """Adds a member. The numbers of joins must grow in the order in which Redis gets them."""
        keys = self._keys.group(membership.group), self._ledger
        arguments = (membership.channel.encode(), *self._durations, b"%d" % membership.number, self._ledger_ttl)
        return Operation(script_head(scripts.JOIN_GROUP, keys, arguments), bool, 1, scripts.JOIN_GROUP)

    def look(self) -> Operation:
        """Reads as the numbers of the last round and the last join that the data contain; 0 for none."""
        return Operation(command(b"HMGET", self._ledger, b"round", b"last"), _read_look)

    def begin(self, last: int, turn: int) -> Operation:
        """Begins round ``turn``; ``last`` is the number of the last join."""
        arguments = b"%d" % last, b"%d" % turn, self._ledger_ttl
        return Operation(script_head(scripts.BEGIN_ROUND, (self._ledger,), arguments), bool, 1, scripts.BEGIN_ROUND)

    def renew(self, memberships: Sequence[Membership]) -> Operation:
        """Renews memberships, or puts them back. Reads as those that were removed by another process."""
        keys = [self._ledger, *(self._keys.group(one.group) for one in memberships)]
        arguments = [*self._durations, *(one.channel.encode() for one in memberships)]
        arguments += (b"%d" % one.number for one in memberships)

        def read(positions: list[int]) -> list[Membership]:
            return [memberships[position - 1] for position in positions]

        return Operation(script_head(scripts.RENEW_MEMBERSHIPS, keys, arguments), read, 1, scripts.RENEW_MEMBERSHIPS)

    def end(self, last: int, turn: int) -> Operation:
        """Ends round ``turn``, as it was begun. Reads as whether the data are still those that it began with."""
        arguments = b"%d" % last, b"%d" % turn, self._ledger_ttl
        return Operation(script_head(scripts.END_ROUND, (self._ledger,), arguments), bool, 1, scripts.END_ROUND)


def _read_look(reply: list[Any]) -> tuple[int, int]:
    turn, last = reply
    return int(turn or 0), int(last or 0)
