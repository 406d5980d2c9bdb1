"""
The keys of a layer over a Redis Cluster, where a shard is a hash tag.

All keys of shard ``n`` begin with the tag ``{prefix:n}``, so that they are in one hash slot, and on one node at a
time. See "Hash tags" in https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/
"""

from __future__ import annotations

from asgi_redis.exceptions import ConfigurationError
from asgi_redis.wire import scripts
from asgi_redis.wire.keys import Keys
from asgi_redis.wire.operation import Operation, command, run_script

CLAIM_SECONDS = 86400
"""How long the number of shards stays in Redis after the last process has looked at it."""


def shard_tag(prefix: str, number: int) -> str:
    """Return the hash tag of a shard."""
    return f"{{{prefix}:{number}}}"


def keys_of_shards(prefix: str, shards: int) -> list[Keys]:
    """Return the keys of each shard. Raises ``ConfigurationError`` for a wrong prefix."""
    if not prefix or "{" in prefix or "}" in prefix:
        raise ConfigurationError(f"prefix must be a str without braces, and not empty, not {prefix!r}")
    tags = [shard_tag(prefix, number) for number in range(shards)]
    return [Keys(tag, f"{tag}-meta:") for tag in tags]


def claim_shards(keys: Keys, shards: int) -> Operation:
    """Write down how many shards there are. Reads as the number that is known."""
    arguments = (b"%d" % shards, b"%d" % (1000 * CLAIM_SECONDS))
    return run_script(scripts.CLAIM_SHARDS, (keys.shards,), arguments, int)


def read_claim(key: bytes, shards: int) -> Operation:
    """Reads as the number of shards that a key tells; ``shards`` if there is no key."""
    return Operation(command(b"GET", key), lambda reply: shards if reply is None else int(reply))
