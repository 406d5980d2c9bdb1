"""
Channels and groups as consumers see them, and the store of pending messages.

The messages that a consumer sends go out together when it returns or raises, so that no reply arrives before the
consumer has finished. As in Channels 1, the store is driven by the signals ``consumer_started`` and
``consumer_finished``. It belongs to the context (``contextvars``) between the two signals: to the thread or greenlet
of a consumer, and to the tasks that an ``async def`` consumer starts.
"""

from __future__ import annotations

import copy
import functools
import itertools
import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from contextvars import ContextVar
from typing import Any

from redis.exceptions import ConnectionError, RedisError, TimeoutError

from asgi_redis.connection import is_unsent
from asgi_redis.integrations.django import DEFAULT_ALIAS, get_channel_layer
from asgi_redis.layers.base import BaseChannelLayer
from asgi_redis.process.awaiting import refuse_await
from asgi_redis.wire import Witness
from asgi_redis.wire.message import Message as Content
from workers.signals import consumer_finished, consumer_started

logger = logging.getLogger(__name__)

FLUSH_SECONDS = 2.0
REPLY_SECONDS = 10.0  # at the full queue of a process, which only that one empties
OUTAGE_SECONDS = 10.0
RETRY_SECONDS = 0.05

_numbers = itertools.count()


class _Destination(ABC):
    def __init__(
        self, name: str | bytes, alias: str = DEFAULT_ALIAS, channel_layer: BaseChannelLayer | None = None
    ) -> None:
        self.name = name.decode("ascii") if isinstance(name, bytes) else name
        self.channel_layer = get_channel_layer(alias) if channel_layer is None else channel_layer

    def __str__(self) -> str:
        return str(self.name)  # in tests a message may have no channel

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    @abstractmethod
    def send(self, content: Content, immediately: bool = False) -> None:
        """Send a message, or add it to the pending messages."""


class PendingMessageStore:
    """The messages of running consumers. ``dropped`` counts messages that were lost."""

    def __init__(self) -> None:
        self.dropped = 0
        self._lock = threading.Lock()
        self._batch: ContextVar[_Batch | None] = ContextVar("pending_messages", default=None)

    @property
    def active(self) -> bool:
        """Whether a consumer runs in this context."""
        batch = self._batch.get()
        return batch is not None and batch.messages is not None

    def prepare(self, **_: Any) -> None:
        """Collect messages in this context from now on."""
        self._batch.set(_Batch())

    def append(self, sender: _Destination, content: Content) -> None:
        """Add a message. Valid between ``prepare`` and ``flush`` only."""
        batch = self._batch.get()
        assert batch is not None
        assert batch.messages is not None
        batch.messages.append((sender, content))

    def flush(self, **_: Any) -> None:
        """
        Send the collected messages in order, and stop collecting.

        A full channel is retried for up to two seconds from the start of the flush. A full queue of replies is for up
        to ten, and so is a Redis that is away. All messages share these deadlines. A message to a group is not tried
        again where Redis may have seen it. A message that cannot be sent is dropped, counted and logged; no error is
        raised for it.
        """
        batch = self._batch.get()
        if batch is not None:
            messages, batch.messages = batch.messages, None
            if messages:
                self._send(messages)

    def send_collected(self) -> None:
        """Send the messages so far, as ``flush`` does, and go on collecting."""
        batch = self._batch.get()
        if batch is not None and batch.messages:
            messages, batch.messages = batch.messages, []
            self._send(messages)

    def _send(self, messages: list[tuple[_Destination, Content]]) -> None:
        dropped = _send_all(messages, time.monotonic())
        if dropped:
            with self._lock:
                self.dropped += len(dropped)
            logger.error(
                "Dropped %d of %d messages sent by a consumer, to %s. Where a channel was full too long: let "
                "more workers read it, raise its capacity, or send immediately and catch ChannelFull.",
                len(dropped),
                len(messages),
                ", ".join(sorted(set(map(repr, dropped)))),
            )


class _Batch:
    """
    The messages of one consumer; None once it is done.

    A task or thread that the consumer has started may live longer.
    """

    __slots__ = ("messages",)

    def __init__(self) -> None:
        self.messages: list[tuple[_Destination, Content]] | None = []


def _send_all(messages: list[tuple[_Destination, Content]], begin: float) -> list[_Destination]:
    """Send messages in order; return the destinations of dropped messages."""
    dropped: list[_Destination] = []
    for position, (sender, content) in enumerate(messages):
        try:
            send_persistently(sender, content, begin)
        except RedisError as error:
            # Past the deadline, each of the other messages would wait for an unreachable Redis while it occupies
            # the slot.
            logger.error("Could not send to %r: %s: %s", sender, type(error).__name__, error)
            dropped.append(sender)
            if time.monotonic() >= begin + FLUSH_SECONDS:
                dropped.extend(left for left, _ in messages[position + 1 :])
                break
        except sender.channel_layer.ChannelFull:
            dropped.append(sender)
        except Exception:  # one message that the layer refuses must not cost the ones after it
            logger.exception("Could not send to %r", sender)
            dropped.append(sender)
    return dropped


def send_persistently(sender: _Destination, content: Content, begin: float, seconds: float | None = None) -> None:
    """
    Send a message; try again where that cannot send it twice.

    Raises the errors of the layer.

    Args:
        sender: The channel or group.
        content: The message.
        begin: The time (``time.monotonic``) from which it is tried.
        seconds: How long it is tried, in the place of the times of pending messages.
    """
    attempt, repeatable = _attempt(sender, content)
    while True:
        try:
            attempt()
        except sender.channel_layer.ChannelFull:
            left = begin + (seconds or (REPLY_SECONDS if "!" in sender.name else FLUSH_SECONDS)) - time.monotonic()
            if left <= 0:
                raise
        except RedisError as error:
            left = begin + (seconds or OUTAGE_SECONDS) - time.monotonic()
            lost = isinstance(error, (ConnectionError, TimeoutError))  # the answer, perhaps
            if left <= 0 or not (is_unsent(error) or (repeatable and lost)):
                raise
        else:
            return
        time.sleep(min(RETRY_SECONDS, left))


def _attempt(sender: _Destination, content: Content) -> tuple[Callable[[], None], bool]:
    """Return a function that sends, and whether it may be called after a lost reply."""
    layer = sender.channel_layer
    if isinstance(sender, Channel) and isinstance(layer, BaseChannelLayer):
        # A slot sends one message after the other, and the numbers of a process rise.
        witness = Witness(f"{layer.client_prefix}.{threading.get_ident()}", next(_numbers))
        repeatable = layer.repeatable_send(sender.name, content, witness)
        if repeatable is not None:
            return repeatable, True
    return functools.partial(sender.send, content, immediately=True), False


pending_message_store = PendingMessageStore()
consumer_started.connect(pending_message_store.prepare)
consumer_finished.connect(pending_message_store.flush)


class Channel(_Destination):
    """A channel to send to, on the layer of an alias or on a given layer."""

    def send(self, content: Content, immediately: bool = False) -> None:
        """
        Send a message: at once, but in a consumer when it is done.

        Args:
            content: The message.
            immediately: Whether to send at once in a consumer, too.

        Raises:
            TypeError: ``content`` is not a dict.
            ChannelFull: The message goes at once, and the channel is full. Likewise for other errors of the layer.
        """
        refuse_await()
        if not isinstance(content, dict):
            raise TypeError(f"a message is a dict, not {type(content).__name__}")
        if immediately or not pending_message_store.active:
            self.channel_layer.send(self.name, content)
        else:
            pending_message_store.append(self, content)


class Group(_Destination):
    """A group of channels to send to at once, by its name, as a ``Channel`` is."""

    excluded: Collection[str] = ()
    """The members that do not get its messages."""

    def add(self, channel: Channel | str) -> None:
        """Add a channel at once, until it is discarded or the layer's ``group_expiry``."""
        refuse_await()
        self.channel_layer.group_add(self.name, _name_of(channel))

    def discard(self, channel: Channel | str) -> None:
        """Remove a channel at once; a channel that is not a member is no error."""
        refuse_await()
        self.channel_layer.group_discard(self.name, _name_of(channel))

    def send(self, content: Content, immediately: bool = False, exclude: Collection[Channel | str] = ()) -> None:
        """
        Send to all members but full channels, at the same time as ``Channel.send``.

        Args:
            content: The message.
            immediately: Whether to send at once in a consumer, too.
            exclude: Channels that do not get the message, such as ``[message.reply_channel]``.

        Raises:
            TypeError: ``exclude`` is a channel instead of a list, or holds a name that no channel can have.
            ValueError: ``content`` is not a dict. (In Channels 1 as here, ``Channel.send`` raises ``TypeError``.)
        """
        refuse_await()
        if not isinstance(content, dict):
            raise ValueError(f"a message is a dict, not {type(content).__name__}")
        group = self if exclude == () else self._without(exclude)
        if not immediately and pending_message_store.active:
            pending_message_store.append(group, content)
        elif group.excluded:
            self.channel_layer.send_group(self.name, content, exclude=group.excluded)
        else:
            self.channel_layer.send_group(self.name, content)  # layers of others may not have ``exclude``

    def _without(self, exclude: Collection[Channel | str]) -> Group:
        """Return a group that sends to all members but these."""
        if isinstance(exclude, (str, bytes, Channel)):
            raise TypeError(f"exclude is a list of channels: write exclude=[{exclude!r}]")
        group = copy.copy(self)
        group.excluded = [_name_of(channel) for channel in exclude]
        if isinstance(self.channel_layer, BaseChannelLayer):
            self.channel_layer.check_exclude(group.excluded)
        return group


def _name_of(channel: Channel | str) -> str:
    return channel.name if isinstance(channel, Channel) else channel
