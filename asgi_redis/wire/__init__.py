"""The meaning of calls on Redis: keys, commands, replies. Nothing here does I/O."""

from asgi_redis.wire.channel_set import ChannelSet
from asgi_redis.wire.delayed import DelayedEntry, DelayOperations, DueNow
from asgi_redis.wire.group_send import GroupFrame, GroupPart, GroupSendOperations, plan_group
from asgi_redis.wire.groups import GroupOperations
from asgi_redis.wire.keys import Keys
from asgi_redis.wire.memberships import MembershipOperations
from asgi_redis.wire.names import shard_of, share
from asgi_redis.wire.one_key_each import one_key_each, read_parts
from asgi_redis.wire.operation import Operation
from asgi_redis.wire.registry import REPORT_EXPIRY_SECONDS, RegistryOperations
from asgi_redis.wire.send import MAX_SCRIPT_BYTES, SendOperations, Witness
from asgi_redis.wire.shards import claim_shards, keys_of_shards, shard_tag
from asgi_redis.wire.statistics import StatisticsOperations
from asgi_redis.wire.taking import ReceiveOperations, Taken, TakenMessages

__all__ = [
    "MAX_SCRIPT_BYTES",
    "REPORT_EXPIRY_SECONDS",
    "ChannelSet",
    "DelayOperations",
    "DelayedEntry",
    "DueNow",
    "GroupFrame",
    "GroupOperations",
    "GroupPart",
    "GroupSendOperations",
    "Keys",
    "MembershipOperations",
    "Operation",
    "ReceiveOperations",
    "RegistryOperations",
    "SendOperations",
    "StatisticsOperations",
    "Taken",
    "TakenMessages",
    "Witness",
    "claim_shards",
    "keys_of_shards",
    "one_key_each",
    "plan_group",
    "read_parts",
    "shard_of",
    "shard_tag",
    "share",
]
