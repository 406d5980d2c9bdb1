"""The contract of a channel layer, and the helpers of the ASGI 1.x base layer."""

from __future__ import annotations

import fnmatch
import importlib.util
import logging
import random
import re
import string
import uuid
import warnings
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable
from re import Pattern
from typing import TYPE_CHECKING, Any, Protocol

from asgi_redis.engine.codec import MessageDecoder, MessageEncoder
from asgi_redis.engine.layer_reader import BatchReader, LayerReader
from asgi_redis.exceptions import (
    ChannelFull,
    InvalidMessage,
    InvalidName,
    MessageTooLarge,
    ReservedKey,
    UnsupportedExtension,
)
from asgi_redis.layers.classic import ClassicNames, base_of_asgiref_1
from asgi_redis.layers.options import Capacities, CommonOptions, resolve, takes
from asgi_redis.process import fork
from asgi_redis.process.awaiting import refuse_await
from asgi_redis.process.patches import refuse_eventlet
from asgi_redis.serializers import registry
from asgi_redis.wire.expiry import MAX_WAIT_SECONDS
from asgi_redis.wire.message import Batch, ChannelStatistics, GlobalStatistics, Message, Received
from asgi_redis.wire.names import check_channel_name, check_group_name, has_valid_length, queue_of

logger = logging.getLogger("asgi_redis")


class DelayedSends(Protocol):
    """The messages of a layer that are to be sent later."""

    def send(self, channel: str, message: Message, seconds: float) -> None:
        """Keep a message for ``channel`` until ``seconds`` from now."""

    def deliver(self) -> float | None:
        """Send what is due; return the seconds until the next message is, None where there is none."""


if TYPE_CHECKING:
    from twisted.internet.defer import Deferred
    from typing_extensions import Self, Unpack

    _OfAsgiref1 = object
else:
    _OfAsgiref1 = base_of_asgiref_1()


class BaseChannelLayer(ClassicNames, ABC, _OfAsgiref1):
    """
    The contract of a channel layer: the calls of ASGI 1.x, and those of workers and asynchronous layers.

    A layer defines ``send``, ``receive_batch`` and ``unblock``, and the calls of the ``extensions`` that it has:
    ``group_add``, ``group_discard`` and ``group_channels`` for "groups", ``flush`` for "flush", ``global_statistics``
    and ``channel_statistics`` for "statistics". Calls of an extension that it does not have raise
    ``UnsupportedExtension``. Everything else has a default here, which a layer overrides to do it faster.
    """

    STAT_MESSAGES_COUNT = "messages_count"
    STAT_MESSAGES_PENDING = "messages_pending"
    STAT_MESSAGES_MAX_AGE = "messages_max_age"
    STAT_CHANNEL_FULL = "channel_full_count"

    extensions = ["groups", "flush", "statistics"]
    if importlib.util.find_spec("twisted"):
        extensions.append("twisted")

    crosses_processes = True
    """Whether a message can be received by another process than its sender's."""

    delayed: DelayedSends | None = None
    """The messages that are to be sent later; None for a layer that keeps none."""

    random_prefix_length = 0
    """Bytes before each serialised message, by which equal messages differ."""

    entries_expire = True
    """Whether an encrypted entry that is older than ``expiry`` and ten seconds is not decrypted."""

    block_timeout: float = 5.0
    """Seconds that ``receive(block=True)`` waits."""

    ChannelFull = ChannelFull
    MessageTooLarge = MessageTooLarge

    @takes(CommonOptions)
    def __init__(self, **options: Unpack[CommonOptions]) -> None:
        refuse_eventlet()
        settings = resolve(self, CommonOptions, options)
        self.expiry = settings["expiry"]
        self.group_expiry = settings["group_expiry"]
        self.capacity = settings["capacity"]
        self.channel_capacity = self.compile_capacities(settings["channel_capacity"] or {})
        self.max_message_bytes = settings["max_message_bytes"]
        self._serializer = registry.get_serializer(
            settings["serializer_format"],
            symmetric_encryption_keys=settings["symmetric_encryption_keys"],
            random_prefix_length=self.random_prefix_length,
            expiry=self.expiry if self.entries_expire else None,
        )
        self.encoder = MessageEncoder(self._serializer, self.max_message_bytes, self.random_prefix_length)
        """Makes the entries of queues, and refuses messages that cannot be sent."""
        self.decoder = MessageDecoder(self._serializer)
        """Makes messages of entries; drops, counts and logs those that cannot be decoded."""
        self._client_prefix = fork.Own(_new_client_prefix)

    @property
    def client_prefix(self) -> str:
        """What this process puts before the ``!`` of its process-local channels, different in every process."""
        return self._client_prefix.value

    def compile_capacities(self, channel_capacity: Capacities) -> list[tuple[Pattern[str], int]]:
        """
        Returns the patterns of ``channel_capacity`` compiled, in their order, each with its capacity.

        A str is a glob, as in ``fnmatch``; a compiled pattern is matched at the start of the name.
        """
        return [
            (re.compile(fnmatch.translate(pattern)) if isinstance(pattern, str) else pattern, capacity)
            for pattern, capacity in channel_capacity.items()
        ]

    def get_capacity(self, channel: str) -> int:
        """Returns the capacity of ``channel``: that of the first pattern that matches, or the default."""
        for pattern, capacity in self.channel_capacity:
            if pattern.match(channel):
                return capacity
        return self.capacity

    @property
    def blpop_timeout(self) -> float:
        """The name of ``block_timeout`` in asgi_redis 1.4.3."""
        return self.block_timeout

    @blpop_timeout.setter
    def blpop_timeout(self, seconds: float) -> None:
        self.block_timeout = seconds

    # Sending and receiving

    @abstractmethod
    def send(self, channel: str, message: Message) -> None:
        """
        Put ``message`` at the end of ``channel``.

        Raises:
            ChannelFull: The channel holds as many messages as its capacity.
            MessageTooLarge: The serialised message is larger than ``max_message_bytes``.
            TypeError: The name is not valid, or the message holds a value that cannot be serialised.
            ValueError: The message holds the reserved key ``__asgi_channel__``.

        """

    @abstractmethod
    def receive_batch(self, channels: Collection[str], limit: int, timeout: float = 0) -> Batch:
        """
        Take up to ``limit`` messages at once; where there is none, wait up to ``timeout`` seconds for one.

        No channel starves: their order changes with every call.
        """

    @abstractmethod
    def unblock(self) -> None:
        """End all waits of this process in a receive call, as if their time had run out."""

    def receive(self, channels: Collection[str], block: bool = False) -> Received:
        """
        Take the next message from any of ``channels``.

        Args:
            channels: Names; one that ends in ``!`` receives everything under that prefix.
            block: Whether to wait up to ``block_timeout`` seconds for a message.

        Returns:
            The full name of the channel and the message, or (None, None).

        """
        refuse_await()
        received = self.receive_batch(channels, 1, self.block_timeout if block else 0)
        return received[0] if received else (None, None)

    def receive_many(self, channels: Collection[str], block: bool = False) -> Received:
        """Receive as ``receive`` does: its deprecated name, as in ASGI 1.x."""
        refuse_await()
        warnings.warn("receive_many is deprecated; use receive", DeprecationWarning, stacklevel=2)
        return self.receive(channels, block)

    def receive_twisted(self, channels: Collection[str]) -> Deferred[Received]:
        """Return a Deferred of ``receive(channels, block=True)``. Needs Twisted."""
        from asgi_redis.layers.twisted import receive_twisted

        return receive_twisted(self, channels)

    def requeue(self, channel: str, message: Message) -> None:
        """Give a message that was received and not used to the next reader; by default it is sent again."""
        self.send(channel, message)

    def reader(self) -> LayerReader:
        """Return a reader for one thread of a worker."""
        return BatchReader(self)

    def new_channel(self, pattern: str) -> str:
        """Return a single-reader channel name that is in no use. Raises ``TypeError`` unless it ends in ``?``."""
        if not isinstance(pattern, str) or not pattern.endswith("?"):
            raise InvalidName(f"the pattern of a new channel must end in ?, unlike {pattern!r}")
        name = pattern + "".join(random.SystemRandom().choices(string.ascii_letters, k=12))
        self.valid_channel_name(name)
        return name

    # The extension "groups"

    def group_add(self, group: str, channel: str) -> None:
        """Add ``channel`` to ``group`` for ``group_expiry`` seconds, or renew its membership."""
        raise self._lacks("groups")

    def group_discard(self, group: str, channel: str) -> None:
        """Remove ``channel`` from ``group``, if it is a member."""
        raise self._lacks("groups")

    def group_channels(self, group: str) -> list[str]:
        """Return the channels of ``group`` whose membership has not expired."""
        raise self._lacks("groups")

    def send_group(self, group: str, message: Message) -> int:
        """
        Send ``message`` to every channel of ``group``.

        Returns the number of channels for which the message was dropped because they were full. Raises as ``send``
        does otherwise.
        """
        self.check_message(message)
        channels = self.group_channels(group)
        dropped = 0
        for channel in channels:
            try:
                self.send(channel, message)
            except self.ChannelFull:
                dropped += 1
        self.log_dropped(dropped, len(channels), group)
        return dropped

    def group_send(self, group: str, message: Message) -> int:
        """Send as ``send_group`` does: its name in Channels 4."""
        return self.send_group(group, message)

    # The extensions "statistics" and "flush"

    def global_statistics(self) -> GlobalStatistics:
        """Return the counters of all channels."""
        raise self._lacks("statistics")

    def channel_statistics(self, channel: str) -> ChannelStatistics:
        """Return the counters of ``channel``, and what waits in it now."""
        raise self._lacks("statistics")

    def many_channel_statistics(self, channels: Iterable[str]) -> dict[str, ChannelStatistics]:
        """
        Return the ``channel_statistics`` of each of ``channels``.

        A channel that Redis refuses, because its key has another type, is left out.
        """
        return {channel: self.channel_statistics(channel) for channel in channels}

    @property
    def undecodable_count(self) -> int | None:
        """How many messages this process dropped that could not be decoded, if known."""
        return self.decoder.undecodable_count

    def flush(self) -> None:
        """Delete all messages, groups and counters."""
        raise self._lacks("flush")

    # Serialisation

    def serialize(self, message: Message) -> bytes:
        """Return ``message`` as an entry of a queue."""
        return self._serializer.serialize(message)

    def deserialize(self, message: bytes) -> Any:
        """Return the message of an entry."""
        return self._serializer.deserialize(message)

    def _lacks(self, extension: str) -> UnsupportedExtension:
        return UnsupportedExtension(f"{type(self).__name__} does not have the extension {extension!r}")

    # The end

    def close(self) -> None:
        """Release connections and whatever else is open. The layer stays usable."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __str__(self) -> str:
        return f"{type(self).__name__}()"

    # Names, messages and arguments

    def match_type_and_length(self, name: object) -> bool:
        """Returns whether ``name`` is a str of fewer than 100 characters."""
        return has_valid_length(name)

    def valid_channel_name(self, name: object, receive: bool = False) -> bool:
        """
        Returns True, or raises ``TypeError`` with the name and the rule that it breaks.

        ``receive`` asks for a name to read from, where a process-local name ends at its ``!``.
        """
        check_channel_name(name, receive)
        return True

    def valid_channel_names(self, names: object, receive: bool = False) -> bool:
        """Returns True, or raises ``TypeError`` for what is not a list of valid names with at least one."""
        if not isinstance(names, list) or not names:
            raise InvalidName(f"channel names must be a list with at least one name, not {names!r}")
        return all(self.valid_channel_name(name, receive=receive) for name in names)

    def valid_group_name(self, name: object) -> bool:
        """Returns True, or raises ``TypeError`` with the name and the rule that it breaks."""
        check_group_name(name)
        return True

    def non_local_name(self, name: str) -> str:
        """Returns the name of the queue that ``name`` is kept in: the part up to and including the ``!``, if any."""
        return queue_of(name)

    def check_receive(self, channels: object, limit: object, timeout: object = 0) -> None:
        """
        Raises ``TypeError`` for a bare name instead of a list.

        Raises ``ValueError`` for a limit that is no whole number above 0, and a timeout that is no number of seconds
        or more than ``MAX_WAIT_SECONDS``.
        """
        if isinstance(channels, str):
            raise InvalidName(f"channels must be a list of names, not the str {channels!r}")
        is_number = type(timeout) is int or type(timeout) is float
        if is_number and timeout <= MAX_WAIT_SECONDS and type(limit) is int and limit > 0:  # type: ignore[operator]
            return  # as most often: found out quickly
        if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
            raise ValueError(f"limit must be 1 message or more, not {limit!r}")
        if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not timeout <= MAX_WAIT_SECONDS:
            raise ValueError(f"timeout must be a number of seconds, at most {MAX_WAIT_SECONDS}, not {timeout!r}")

    def log_dropped(self, dropped: int, members: int, group: str) -> None:
        """Notes for how many of a group's channels a message was dropped."""
        if dropped:
            logger.info("%s of %s channels over capacity in group %s", dropped, members, group)

    def check_message(self, message: object) -> None:
        """Raises ``TypeError`` for what is not a dict, and ``ValueError`` for a message with the reserved key."""
        if not isinstance(message, dict):
            raise InvalidMessage(f"a message must be a dict, not {type(message).__name__}")
        if "__asgi_channel__" in message:
            raise ReservedKey("a message must not hold the key '__asgi_channel__': the wire format keeps it")


def _new_client_prefix() -> str:
    return uuid.uuid4().hex
