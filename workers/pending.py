"""
What a consumer has sent, kept until it is done.

A consumer's messages go out together when it returns, or raises, so that nobody answers one before the
consumer has finished what it announces. As in Channels 1, the store works by the signals ``consumer_started``
and ``consumer_finished``. What is kept belongs to the context (``contextvars``) between the two: a consumer's
thread or greenlet, and the tasks that an ``async def`` consumer starts.
"""

from __future__ import annotations

import logging
import threading
import time
from contextvars import ContextVar
from typing import Any, Protocol

from redis.exceptions import RedisError

from workers.asgi import ChannelLayer
from workers.signals import consumer_finished, consumer_started

logger = logging.getLogger(__name__)

RETRY_SECONDS = 2.0
RETRY_INTERVAL = 0.05


class Sender(Protocol):
    """A ``Channel`` or a ``Group``."""

    channel_layer: ChannelLayer

    def send(self, content: dict[str, Any], immediately: bool = False) -> None:
        """Sends, or keeps for later."""


class _Kept:
    """What one consumer has sent; ``messages`` is None when it is done. A task or thread of its may outlive that."""

    __slots__ = ("messages",)

    def __init__(self) -> None:
        self.messages: list[tuple[Sender, dict[str, Any]]] | None = []


class PendingMessages:
    """The store. ``dropped`` is how many messages this process could not send after all."""

    def __init__(self) -> None:
        self.dropped = 0
        self._lock = threading.Lock()
        self._kept: ContextVar[_Kept | None] = ContextVar("kept", default=None)

    @property
    def active(self) -> bool:
        """Whether this is the context of a running consumer."""
        kept = self._kept.get()
        return kept is not None and kept.messages is not None

    def prepare(self, **_: Any) -> None:
        """Starts keeping messages in this context."""
        self._kept.set(_Kept())

    def append(self, sender: Sender, content: dict[str, Any]) -> None:
        """Keeps a message. Only between ``prepare`` and ``flush``."""
        kept = self._kept.get()
        assert kept is not None
        assert kept.messages is not None
        kept.messages.append((sender, content))

    def flush(self, **_: Any) -> None:
        """
        Sends what was kept, in order, and keeps nothing from now on.

        A full channel is tried again until two seconds after the start of the flush, one deadline for all its
        messages. What cannot be sent is dropped, counted and logged; it never raises for it.
        """
        kept = self._kept.get()
        if kept is None:
            return
        messages, kept.messages = kept.messages, None
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
