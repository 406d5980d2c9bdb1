"""Messages of groups: the same for several channels of a process, but not for all."""

from __future__ import annotations

from asgi_redis.engine.codec import MessageDecoder
from asgi_redis.wire.message import Message
from asgi_redis.wire.pubsub import EXCLUDE_KEY

_UNCHANGEABLE = {str, bytes, int, float, bool, type(None)}


class GroupDecoder(MessageDecoder):
    """
    A decoder that leaves out the messages of groups which exclude the channel.

    The channels of a group have one entry in common. It is decoded for two of them, and the others get copies, unless
    it holds what one of them could change for all.
    """

    _last: tuple[bytes, Message | None] = (b"", None)

    def decode_or_drop(self, channel: str, entry: bytes) -> Message | None:
        """Return the message; None when it was dropped, or excludes ``channel``."""
        last, common = self._last
        if common is not None and entry is last:
            return common.copy()
        message = super().decode_or_drop(channel, entry)
        if entry is last:
            if message is not None and _UNCHANGEABLE.issuperset(map(type, message.values())):
                self._last = entry, message.copy()
        else:
            self._last = entry, None
        if message is None or EXCLUDE_KEY not in message:
            return message
        excluded = message.pop(EXCLUDE_KEY)
        return None if isinstance(excluded, list) and channel in excluded else message
