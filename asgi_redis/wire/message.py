"""Messages and statistics, as calls take and return them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional, TypedDict, Union

Message = dict[str, Any]
Received = Union[tuple[str, Message], tuple[None, None]]
"""A message with its channel, or twice None."""
Batch = list[tuple[str, Message]]
"""Messages, each with its channel."""
Limits = Optional[Mapping[str, int]]
"""The most messages to take from single channels; 0 leaves a channel out."""


class GlobalStatistics(TypedDict):
    """Counters: messages sent, refused because a channel was full, and found expired."""

    messages_count: int
    channel_full_count: int
    messages_expired: int


class ChannelStatistics(GlobalStatistics):
    """The counters of one channel, and the number and greatest age of its messages."""

    messages_pending: int
    messages_max_age: float
