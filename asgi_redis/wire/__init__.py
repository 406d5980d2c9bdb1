"""What a call means on Redis: keys, shards, members, commands and how their replies read. Nothing here does I/O."""

from asgi_redis.wire.delaying import DelayOperations, DueNow, Kept
from asgi_redis.wire.group_send import GroupFrame, GroupPart, plan_group
from asgi_redis.wire.keys import Keys
from asgi_redis.wire.memberships import MembershipOperations
from asgi_redis.wire.names import shard_of, share
from asgi_redis.wire.operation import Operation
from asgi_redis.wire.operations import (
    CHANNEL_COUNTERS_TTL,
    GLOBAL_COUNTERS_TTL,
    MOST_BYTES,
    GroupMembers,
    Operations,
    Taken,
    TakenMessages,
)
from asgi_redis.wire.receiving import ChannelSet, Unpacker

__all__ = [
    "CHANNEL_COUNTERS_TTL",
    "GLOBAL_COUNTERS_TTL",
    "MOST_BYTES",
    "ChannelSet",
    "DelayOperations",
    "DueNow",
    "GroupFrame",
    "GroupMembers",
    "GroupPart",
    "Kept",
    "Keys",
    "MembershipOperations",
    "Operation",
    "Operations",
    "Taken",
    "TakenMessages",
    "Unpacker",
    "plan_group",
    "shard_of",
    "share",
]
