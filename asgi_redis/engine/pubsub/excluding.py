"""Messages of a group that are not for all of its channels."""

from __future__ import annotations

from asgi_redis.engine.codec import MessageDecoder
from asgi_redis.wire.message import Message
from asgi_redis.wire.pubsub import EXCLUDE_KEY


class ExcludingDecoder(MessageDecoder):
    """A decoder that leaves out the messages of groups which exclude the channel."""

    def decode_or_drop(self, channel: str, entry: bytes) -> Message | None:
        """Return the message; None when it was dropped, or excludes ``channel``."""
        message = super().decode_or_drop(channel, entry)
        if message is None or EXCLUDE_KEY not in message:
            return message
        excluded = message.pop(EXCLUDE_KEY)
        return None if isinstance(excluded, list) and channel in excluded else message
