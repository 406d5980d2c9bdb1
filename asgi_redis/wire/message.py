"""Messages and statistics, as calls take and return them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, Optional, TypedDict, Union, cast, get_args

Message = dict[str, Any]
TRACE_KEY = "__asgi_trace__"
"""The key of a sender's context, in a message that was sent in a span: a dict of str."""
Received = Union[tuple[str, Message], tuple[None, None]]
"""A message with its channel, or twice None."""
Batch = list[tuple[str, Message]]
"""Messages, each with its channel."""
Limits = Optional[Mapping[str, int]]
"""The most messages to take from single channels; 0 leaves a channel out."""


Counter = Literal[
    "messages_count",
    "channel_full_count",
    "messages_expired",
    "messages_undecodable",
    "messages_requeued",
    "messages_retried",
]
"""The name of a counter of messages, in statistics and in Redis."""
COUNTERS: tuple[Counter, ...] = get_args(Counter)


class GlobalStatistics(TypedDict):
    """
    Counters of messages.

    ``messages_count`` were sent, ``channel_full_count`` refused because a channel was full, ``messages_expired``
    found expired, ``messages_undecodable`` dropped as undecodable, ``messages_requeued`` put back, and
    ``messages_retried`` postponed by ``ConsumeLater``.
    """

    messages_count: int
    channel_full_count: int
    messages_expired: int
    messages_undecodable: int
    messages_requeued: int
    messages_retried: int


class ChannelStatistics(GlobalStatistics):
    """The counters of one channel, and the number and greatest age of its messages."""

    messages_pending: int
    messages_max_age: float


def statistics_of(counts: Iterable[int]) -> GlobalStatistics:
    """Return numbers, which are in the order of ``COUNTERS``, as statistics."""
    return cast(GlobalStatistics, dict(zip(COUNTERS, counts)))
