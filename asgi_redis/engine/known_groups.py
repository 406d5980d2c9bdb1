"""Sends in one round trip to small groups whose members stay the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from asgi_redis.connection import Plan, Shard
from asgi_redis.engine.codec import MessageEncoder
from asgi_redis.engine.rules import CallRules
from asgi_redis.wire import MAX_SCRIPT_BYTES, GroupPart, Keys, plan_group
from asgi_redis.wire.known_group import KnownGroup, known_group
from asgi_redis.wire.message import Message

_MEMBERS = 16  # of a group; a script takes longer than a plain command to look at more
_ALL_MEMBERS = 20_000  # of all known groups; each takes 0.6 to 1.5 KB


class _Found(NamedTuple):
    """The members at the last send; a ``request`` if they were the same before."""

    members: list[bytes]
    shard: int
    request: KnownGroup | None = None
    longest_tail: int = 0


class KnownGroups:
    """
    The small groups of one layer that had the same members at the last two sends.

    A script checks that a group still has them, and sends. Where they have changed it does nothing, and the group is
    unknown again. Only groups all of whose queues are on the shard of the group can be known.
    """

    def __init__(
        self, shards: Sequence[Shard], keys: Sequence[Keys], encoder: MessageEncoder, rules: CallRules
    ) -> None:
        self._shards = shards
        self._keys = keys
        self._encoder = encoder
        self._rules = rules
        self._found: dict[str, _Found] = {}
        self._number = 0  # of the members of all of them, about: threads may count at the same time

    def note(self, group: str, shard: int, members: list[bytes]) -> None:
        """Take note of the members that a send has found on the shard of the group."""
        # While a slot of a cluster moves, a node refuses a script with keys of which it has some.
        if not 0 < len(members) <= _MEMBERS or not self._rules.keeps_capacities or self._shards[shard].moves:
            return
        before = self._found.get(group)
        is_same = before is not None and before.members == members
        found = self._make(group, shard, members) if is_same else _Found(members, shard)
        self._forget(group)
        if self._number >= _ALL_MEMBERS:
            self._found.clear()
            self._number = 0
        self._found[group] = found
        self._number += len(members)

    def _forget(self, group: str) -> None:
        found = self._found.pop(group, None)
        if found is not None:
            self._number -= len(found.members)

    def _make(self, group: str, shard: int, members: list[bytes]) -> _Found:
        rules, spliceable = self._rules, self._encoder.spliceable
        name_bytes = self._encoder.max_message_bytes
        placed = plan_group(members, len(self._shards), 0, rules.get_capacities, name_bytes)
        if spliceable is None or len(placed) != 1 or placed[0].shard != shard or placed[0].elsewhere:
            return _Found(members, shard)
        (parts,) = placed
        if sum(map(len, parts.channels)) < len(members):
            return _Found(members, shard)  # another program has put names into the group that no channel has
        tails = spliceable.tails(parts.channels)
        request = known_group(self._keys[shard], group, members, parts, tails, rules.expiry, rules.group_expiry)
        return _Found(members, shard, request, len(spliceable.tail([max(members, key=len)])))

    def send(self, group: str, message: Message) -> Plan[tuple[list[GroupPart], int] | None]:
        """
        Return the queues that were full or refused, and the number of members.

        None, where nothing was sent: the group is unknown, or has changed.
        """
        found = self._found.get(group)
        if found is None or found.request is None:
            return None
        head = self._encoder.head(message)
        if len(head) * len(found.members) > MAX_SCRIPT_BYTES:
            return None
        self._encoder.check(message, len(head) + found.longest_tail)
        (left_out,) = yield [(self._shards[found.shard], found.request.send(head))]
        if left_out is None:
            self._forget(group)
            return None
        return left_out, len(found.members)
