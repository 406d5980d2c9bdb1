"""The commands of pub/sub, with the names of channels_redis 4.3."""

from __future__ import annotations

from typing import NamedTuple

from asgi_redis.wire.operation import Operation, command

PING = command(b"PING")

EXCLUDE_KEY = "__asgi_exclude__"
"""The key, in a message to a group, of the list of the group's channels that it is not for."""


class PubSubCommands(NamedTuple):
    """A kind of pub/sub: its commands, and the word before a message and its channel."""

    publishing: bytes
    subscribing: bytes
    unsubscribing: bytes
    message: bytes

    def publish(self, name: bytes, message: bytes) -> Operation:
        """Return the operation to publish; its result is the number of connections."""
        return Operation(command(self.publishing, name, message), int)

    def subscribe(self, name: bytes) -> bytes:
        """Return the request to listen to ``name``: one name, and so one reply."""
        return command(self.subscribing, name)

    def unsubscribe(self, name: bytes) -> bytes:
        """Return the request to end listening to ``name``."""
        return command(self.unsubscribing, name)


PLAIN = PubSubCommands(b"PUBLISH", b"SUBSCRIBE", b"UNSUBSCRIBE", b"message")
SHARDED = PubSubCommands(b"SPUBLISH", b"SSUBSCRIBE", b"SUNSUBSCRIBE", b"smessage")
"""Within the slot of the name on a Redis Cluster; since Redis 7.0."""


def group_name(prefix: str, group: str) -> str:
    """Return the name on Redis of a group."""
    return f"{prefix}__group__{group}"
