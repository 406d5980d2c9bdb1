"""
What a consumer has sent, kept until it is done.

A consumer's messages go out together when it returns, or raises, so that nobody answers one before the
consumer has finished what it announces. As in Channels 1, the store works by the signals ``consumer_started``
and ``consumer_finished``, and belongs to the thread (or, with gevent's patches, the greenlet) between the
two.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any, Protocol

from redis.exceptions import RedisError

from workers.layers import ChannelLayer
from workers.signals import consumer_finished, consumer_started

logger = logging.getLogger(__name__)

RETRY_SECONDS = 2.0
RETRY_INTERVAL = 0.05


class Sender(Protocol):
    """A ``Channel`` or a ``Group``."""

    channel_layer: ChannelLayer

    def send(self, content: dict[str, Any], immediately: bool = False) -> None:
        """Sends, or keeps for later."""


class PendingMessages:
    """The store. ``dropped`` is how many messages this process could not send after all."""

    def __init__(self) -> None:
        self.dropped = 0
        self._lock = threading.Lock()
        self._local = threading.local()

    @property
    def active(self) -> bool:
        """Whether a consumer is running in this thread."""
        return getattr(self._local, "messages", None) is not None

    def prepare(self, **_: Any) -> None:
        """Starts keeping messages in this thread."""
        self._local.messages = []

    def append(self, sender: Sender, content: dict[str, Any]) -> None:
        """Keeps a message. Only between ``prepare`` and ``flush``."""
        self._local.messages.append((sender, content))

    def flush(self, **_: Any) -> None:
        """
        Sends what was kept, in order, and keeps nothing from now on.

        A full channel is tried again until two seconds after the start of the flush, one deadline for all its
        messages. What cannot be sent is dropped, counted and logged; it never raises for it.
        """
        messages = getattr(self._local, "messages", None) or []
        self._local.messages = None
        if not messages:
            return
        deadline = time.monotonic() + RETRY_SECONDS
        dropped: list[str] = []
        for position, (sender, content) in enumerate(messages):
            try:
                _send(sender, content, deadline)
            except RedisError as error:
                # Not sent again: Redis may have seen it. Past the deadline the others would each wait for a
                # Redis that is away, with the slot in their hands.
                logger.error("Could not send to %r: %s: %s", sender, type(error).__name__, error)
                dropped.append(repr(sender))
                if time.monotonic() >= deadline:
                    dropped.extend(repr(left) for left, _ in messages[position + 1 :])
                    break
            except sender.channel_layer.ChannelFull:
                dropped.append(repr(sender))
            except Exception:  # one message that the layer refuses must not cost the ones after it
                logger.exception("Could not send to %r", sender)
                dropped.append(repr(sender))
        if dropped:
            with self._lock:
                self.dropped += len(dropped)
            logger.error(
                "Dropped %d of %d messages sent by a consumer, to %s. Where a channel was full for %g s: let "
                "more workers read it, raise its capacity, or send immediately and catch ChannelFull.",
                len(dropped),
                len(messages),
                ", ".join(sorted(set(dropped))),
                RETRY_SECONDS,
            )


def _send(sender: Sender, content: dict[str, Any], deadline: float) -> None:
    while True:
        try:
            sender.send(content, immediately=True)
        except sender.channel_layer.ChannelFull:
            left = deadline - time.monotonic()
            if left <= 0:
                raise
            time.sleep(min(RETRY_INTERVAL, left))
        else:
            return


pending_messages = PendingMessages()
consumer_started.connect(pending_messages.prepare)
consumer_finished.connect(pending_messages.flush)
