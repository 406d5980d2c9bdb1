"""
The calls of ``RedisChannelLayer`` as plans: their requests, and their results.

A plan does no I/O, so the blocking layer and the asynchronous one share it, and differ in the runner alone:
``asgi_redis.connection.run_plan`` and ``asgi_redis.aio.runner.run_plan``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from asgi_redis.connection import Plan, Shard
from asgi_redis.engine.codec import MessageEncoder
from asgi_redis.engine.group_send import GroupSender
from asgi_redis.engine.known_groups import KnownGroups
from asgi_redis.engine.rules import CallRules
from asgi_redis.engine.send import Sender
from asgi_redis.integrations.traced_calls import traced_attempts
from asgi_redis.wire import GroupOperations, Keys, Witness, shard_of
from asgi_redis.wire.message import Message


class RedisPlans:
    """
    The plans of one layer.

    ``shards`` hold its data; ``keys`` make the names that these have there, for each shard.
    """

    def __init__(
        self, shards: Sequence[Shard], keys: Sequence[Keys], encoder: MessageEncoder, rules: CallRules
    ) -> None:
        self.shards = shards
        self.keys = keys
        self._groups = [GroupOperations(of_shard, rules.group_expiry) for of_shard in keys]
        self._sender = Sender(shards, keys, encoder, rules)
        self._group_sender = GroupSender(shards, keys, encoder, rules)
        self._known_groups = KnownGroups(shards, keys, encoder, rules)
        self._rules = rules

    def send(self, channel: str, message: Message) -> Plan[None]:
        """Send a message to a channel. Raises ``ChannelFull``."""
        return self._sender.send(channel, message)

    @traced_attempts
    def once(self, channel: str, message: Message, witness: Witness) -> Callable[[], Plan[None]]:
        """Return a function that plans to send a message, which arrives once at most."""
        rules = self._rules
        rules.valid_channel_name(channel)
        rules.check_message(message)
        sending = self._sender.once(channel, message, witness)

        def attempt() -> Plan[None]:
            if not (yield from sending.attempt()):
                raise self._sender.full(channel)

        return attempt

    def group_add(self, group: str, channel: str) -> Plan[None]:
        """Add a channel to a group, or renew its membership."""
        self._check_membership(group, channel)
        number = self.group_shard(group)
        yield [(self.shards[number], self._groups[number].add(group, channel))]

    def group_discard(self, group: str, channel: str) -> Plan[None]:
        """Remove a channel from a group."""
        self._check_membership(group, channel)
        number = self.group_shard(group)
        yield [(self.shards[number], self._groups[number].discard(group, channel))]

    def _check_membership(self, group: str, channel: str) -> None:
        self._rules.valid_group_name(group)
        self._rules.valid_channel_name(channel)

    def group_send(self, group: str, message: Message, exclude: Collection[str] = ()) -> Plan[int]:
        """Send a message to the members of a group; returns how many of them were full."""
        rules, known_groups = self._rules, self._known_groups
        rules.check_message(message)
        rules.valid_group_name(group)
        if exclude == ():
            known = yield from known_groups.send(group, message)
            if known is not None:
                missed, number = known
                dropped = (yield from self._group_sender.count(missed)) if missed else 0
                rules.log_dropped(dropped, number, group)
                return dropped
        members = yield from self.receivers(group, exclude)
        if exclude == ():
            known_groups.note(group, self.group_shard(group), members)
        dropped = yield from self._group_sender.send(members, message)
        rules.log_dropped(dropped, len(members), group)
        return dropped

    def send_to_members(self, members: Sequence[bytes], message: Message) -> Plan[int]:
        """Send a message to some members of a group; returns how many of them were full."""
        return self._group_sender.send(members, message)

    def receivers(self, group: str, exclude: Collection[str]) -> Plan[list[bytes]]:
        """Return the members of a group, except those of ``exclude``."""
        self._rules.valid_group_name(group)
        excluded = {name.encode() for name in self._rules.check_exclude(exclude)}
        members = yield from self._members(group)
        return [name for name in members if name not in excluded] if excluded else members

    def group_members(self, group: str) -> Plan[list[bytes]]:
        """Return the names in a group whose membership has not expired."""
        self._rules.valid_group_name(group)
        return self._members(group)

    def group_count(self, group: str) -> Plan[int]:
        """Return how many memberships in a group have not expired, in one round trip."""
        self._rules.valid_group_name(group)
        number = self.group_shard(group)
        (count,) = yield [(self.shards[number], self._groups[number].count(group))]
        return count  # type: ignore[no-any-return]  # an operation reads as anything

    def _members(self, group: str) -> Plan[list[bytes]]:
        number = self.group_shard(group)
        shard, operations = self.shards[number], self._groups[number]
        while True:
            (found,) = yield [(shard, operations.members(group))]
            if not found.expired:
                break
            while (yield [(shard, operations.expire(group))])[0]:
                pass
        members: list[bytes] = found.names
        if found.more:
            members = yield from self._scan_members(group, number)
        # Another program may have put anything in there.
        if b"".join(members).isascii() and max(map(len, members), default=0) < 100:
            return members
        return [name for name in members if name.isascii() and len(name) < 100]

    def _scan_members(self, group: str, number: int) -> Plan[list[bytes]]:
        scores: dict[bytes, float] = {}
        cursor = b"0"
        while True:
            ((cursor, found),) = yield [(self.shards[number], self._groups[number].scan(group, cursor))]
            scores.update(found)
            if cursor == b"0":
                return sorted(scores, key=scores.__getitem__)

    def group_shard(self, group: str) -> int:
        """Return the number of the shard that holds a group."""
        return shard_of(group.encode(), len(self.shards))
