"""
The operations by which a process joins groups and renews its memberships.

Each join of a process has a number. A ledger, one small key for each process and shard, tells which joins the data in
Redis contain. A missing membership was lost with the data where they do not contain its join; where they do, another
process has removed it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Optional

from asgi_redis.wire import scripts
from asgi_redis.wire.keys import Keys
from asgi_redis.wire.operation import Operation, command, number, run_script

Again = Callable[[], Optional[Operation]]
"""``Operation.again``."""

_LEDGER_SHARE = 0.75  # of the lease: the ledger is gone before a membership expires that was not renewed


class Membership(NamedTuple):
    """A channel in a group, by its latest join."""

    group: str
    channel: str
    number: int


class MembershipOperations:
    """
    Makes the operations of one process, whose channels have its name in theirs.

    ``lease`` is how many seconds a membership lasts unless it is renewed. Its score is back-dated, so that all
    processes with the same ``group_expiry`` drop it then.
    """

    def __init__(self, keys: Keys, process_name: Callable[[], str], group_expiry: float, lease: float) -> None:
        self._keys = keys
        self._process_name = process_name
        self._ledger_ttl = b"%d" % max(1, math.floor(1000 * _LEDGER_SHARE * lease))
        self._durations = number(group_expiry), number(lease)

    @property
    def _ledger(self) -> bytes:
        return self._keys.ledger(self._process_name())

    def join(self, membership: Membership, again: Again | None = None) -> Operation:
        """Add a member. The numbers of joins must grow in the order of the requests."""
        keys = self._keys.group(membership.group), self._ledger
        arguments = (membership.channel.encode(), *self._durations, b"%d" % membership.number, self._ledger_ttl)
        return run_script(scripts.JOIN_GROUP, keys, arguments, bool, again)

    def look(self) -> Operation:
        """Reads as the numbers of the last round and the last join in the data, or 0."""
        return Operation(command(b"HMGET", self._ledger, b"round", b"last"), _read_look)

    def begin(self, last: int, turn: int) -> Operation:
        """Begin round ``turn``; ``last`` is the number of the last join."""
        arguments = b"%d" % last, b"%d" % turn, self._ledger_ttl
        return run_script(scripts.BEGIN_ROUND, (self._ledger,), arguments)

    def renew(self, memberships: Sequence[Membership], again: Again | None = None) -> Operation:
        """Renew memberships, or put them back. Reads as the removed ones."""
        keys = [self._ledger, *(self._keys.group(one.group) for one in memberships)]
        arguments = [*self._durations, *(one.channel.encode() for one in memberships)]
        arguments += (b"%d" % one.number for one in memberships)

        def read(positions: list[int]) -> list[Membership]:
            return [memberships[position - 1] for position in positions]

        return run_script(scripts.RENEW_MEMBERSHIPS, keys, arguments, read, again)

    def end(self, last: int, turn: int) -> Operation:
        """End round ``turn``. Reads as whether no data were lost since it began."""
        arguments = b"%d" % last, b"%d" % turn, self._ledger_ttl
        return run_script(scripts.END_ROUND, (self._ledger,), arguments)


def _read_look(reply: list[Any]) -> tuple[int, int]:
    turn, last = reply
    return int(turn or 0), int(last or 0)
