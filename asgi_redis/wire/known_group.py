"""The operation that sends to a group if its members are as they were before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from asgi_redis.wire import scripts
from asgi_redis.wire.group_send import GroupPart, GroupParts
from asgi_redis.wire.keys import Keys
from asgi_redis.wire.operation import Operation, bulk, bulks, number
from asgi_redis.wire.send import send_arguments

_COMMON = 9  # arguments of the script for all queues


class KnownGroup(NamedTuple):
    """A request to send to a group, if it has the known members, without its head."""

    before: bytes
    after: bytes
    parts: GroupParts

    def read(self, left_out: Any) -> list[GroupPart] | None:
        """Return the parts that were left out; None where the members have changed."""
        if not left_out:
            return None if left_out == 0 else []
        part = self.parts.part
        return [part(one - 1) if isinstance(one, int) else part(one[0] - 1, one[1].decode()) for one in left_out]

    def send(self, head: bytes) -> Operation:
        """Reads as ``read`` does."""
        packed = b"%b$%d\r\n%b\r\n%b" % (self.before, len(head), head, self.after)
        return Operation(packed, self.read, 1, scripts.SEND_KNOWN_GROUP)


def known_group(
    keys: Keys,
    group: str,
    members: Sequence[bytes],
    parts: GroupParts,
    tails: Sequence[bytes],
    expiry: float,
    group_expiry: float,
) -> KnownGroup:
    """Return the request; ``parts`` are all queues, each completed by its tail."""
    queues = parts.queues
    words = 3 + 2 * len(queues) + 2 + 2 * len(queues) + _COMMON
    before = (
        b"*%d\r\n" % words,
        bulks((b"EVALSHA", scripts.SEND_KNOWN_GROUP.sha, b"%d" % (2 * len(queues) + 2))),
        bulks(queues, keys.queue_prefix),
        bulks(queues, keys.counters_prefix),
        bulks((keys.global_counters, keys.group(group), *send_arguments(expiry), b"1")),
    )
    after = (
        bulks(tails),
        bulks([b"%d" % capacity for capacity in parts.capacities]),
        bulk(b"\n".join(members)),
        bulks((b"%d" % len(members), number(group_expiry))),
    )
    return KnownGroup(b"".join(before), b"".join(after), parts)
