"""The error of a full channel, which is that of Channels, too, where Channels is installed."""

from __future__ import annotations

from asgi_redis import exceptions

_kinds: list[type[Exception]] = [exceptions.ChannelFull]
try:
    from channels.exceptions import ChannelFull as _ChannelFull  # type: ignore[import-untyped]  # has no types
except ImportError:
    pass
else:
    _kinds.append(_ChannelFull)


class ChannelFull(*_kinds):  # type: ignore[misc]  # what its bases are depends on what is installed
    """The channel holds as many messages as its capacity allows; this one was not sent."""
