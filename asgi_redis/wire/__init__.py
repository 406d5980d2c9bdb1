"""
The meaning of calls on Redis: keys, commands, replies. Nothing here does I/O.

What few processes need is imported from its module: ``delayed``, ``inspection``, ``memberships``, ``registry``,
``shards``.
"""

from asgi_redis.wire.channel_set import ChannelSet
from asgi_redis.wire.group_send import GroupFrame, GroupPart, GroupParts, GroupSendOperations, plan_group
from asgi_redis.wire.groups import GroupOperations
from asgi_redis.wire.keys import Keys
from asgi_redis.wire.names import shard_of, share
from asgi_redis.wire.one_key_each import one_key_each, read_parts
from asgi_redis.wire.operation import Operation
from asgi_redis.wire.send import MAX_SCRIPT_BYTES, SendOperations, Witness
from asgi_redis.wire.statistics import StatisticsOperations
from asgi_redis.wire.taking import ReceiveOperations, Taken, TakenMessages

__all__ = [
    "MAX_SCRIPT_BYTES",
    "ChannelSet",
    "GroupFrame",
    "GroupOperations",
    "GroupPart",
    "GroupParts",
    "GroupSendOperations",
    "Keys",
    "Operation",
    "ReceiveOperations",
    "SendOperations",
    "StatisticsOperations",
    "Taken",
    "TakenMessages",
    "Witness",
    "one_key_each",
    "plan_group",
    "read_parts",
    "shard_of",
    "share",
]
