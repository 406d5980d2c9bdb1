"""The contract of a channel layer."""

from __future__ import annotations

import importlib.util
import random
import string
import warnings
from abc import abstractmethod
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any, Protocol

from asgi_redis.engine.codec import MessageDecoder, MessageEncoder
from asgi_redis.engine.layer_reader import BatchReader, LayerReader
from asgi_redis.exceptions import InvalidName
from asgi_redis.layers.classic import base_of_asgiref_1
from asgi_redis.layers.options import CommonOptions, resolve, takes
from asgi_redis.layers.sending import SendingCalls
from asgi_redis.process.awaiting import refuse_await
from asgi_redis.process.patches import refuse_eventlet
from asgi_redis.serializers import registry
from asgi_redis.wire.message import Batch, ChannelStatistics, Counter, GlobalStatistics, Message, Received

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred
    from typing_extensions import Self, Unpack

    from asgi_redis.engine.facts import Inspector, Registry

    _OfAsgiref1 = object
else:
    _OfAsgiref1 = base_of_asgiref_1()


class DelayedSends(Protocol):
    """The messages of a layer that are to be sent later."""

    def send(self, channel: str, message: Message, seconds: float) -> None:
        """Store a message that is to be sent to ``channel`` in ``seconds``."""

    def deliver(self) -> float | None:
        """Send the messages that are due; return the seconds until the next, or None."""


class BaseChannelLayer(SendingCalls, _OfAsgiref1):
    """
    The contract of a channel layer: the calls of ASGI 1.x and of workers.

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
    """The messages that are to be sent later; None for a layer that stores none."""

    registry: Registry | None = None
    """The workers and interface processes of the layer; None for a layer that has no such list."""

    inspector: Inspector | None = None
    """Looks at channels, groups and servers for a monitor; None for a layer that cannot be looked at."""

    block_timeout: float = 5.0
    """Seconds that ``receive(block=True)`` waits."""

    random_prefix_length = 0
    """Bytes before each serialised message, by which equal messages differ."""

    entries_expire = True
    """Whether an encrypted entry that is older than ``expiry`` and ten seconds is not decrypted."""

    @takes(CommonOptions)
    def __init__(self, **options: Unpack[CommonOptions]) -> None:
        refuse_eventlet()
        settings = resolve(self, CommonOptions, options)
        super().__init__(settings)
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

    @property
    def blpop_timeout(self) -> float:
        """The name of ``block_timeout`` in asgi_redis 1.4.3."""
        return self.block_timeout

    @blpop_timeout.setter
    def blpop_timeout(self, seconds: float) -> None:
        self.block_timeout = seconds

    # Receiving

    @abstractmethod
    def receive_batch(self, channels: Collection[str], limit: int, timeout: float = 0) -> Batch:
        """
        Take several messages at once, one from each channel in turn.

        No channel starves: their order changes with every call.

        Args:
            channels: Names. A name that ends in ``!`` receives everything under that prefix.
            limit: The most messages to take.
            timeout: Seconds to wait for a message where there is none.

        Returns:
            (channel, message) tuples.
        """

    @abstractmethod
    def unblock(self) -> None:
        """End all receive calls that wait in this process, as if their time had run out."""

    def receive(self, channels: Collection[str], block: bool = False) -> Received:
        """
        Take the next message from any of ``channels``.

        Args:
            channels: Names. A name that ends in ``!`` receives everything under that prefix.
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
        """Return a message that was received in vain to its channel."""
        self.send(channel, message)

    def reader(self) -> LayerReader:
        """Return a reader for one thread of a worker."""
        return BatchReader(self)

    def new_channel(self, pattern: str) -> str:
        """Return a new single-reader name from ``pattern``, which must end in ``?``."""
        if not isinstance(pattern, str) or not pattern.endswith("?"):
            raise InvalidName(f"the pattern of a new channel must end in ?, unlike {pattern!r}")
        name = pattern + "".join(random.SystemRandom().choices(string.ascii_letters, k=12))
        self.valid_channel_name(name)
        return name

    # The extensions "statistics" and "flush"

    def global_statistics(self) -> GlobalStatistics:
        """Return the counters of all channels, which are kept for about a day."""
        raise self._lacks("statistics")

    def channel_statistics(self, channel: str) -> ChannelStatistics:
        """
        Return the counters of ``channel``, and the number and age of its messages.

        ``GlobalStatistics`` names the counters, which are kept for about an hour after the last message.
        ``messages_max_age`` is in seconds.
        """
        raise self._lacks("statistics")

    def many_channel_statistics(self, channels: Iterable[str]) -> dict[str, ChannelStatistics]:
        """Return the ``channel_statistics`` of each of ``channels``."""
        return {channel: self.channel_statistics(channel) for channel in channels}

    def count(self, channel: str, counter: Counter, number: int = 1) -> None:
        """Add to a counter of ``channel``, if the layer has any. Never waits, nor raises."""

    def flush_counts(self) -> None:
        """Write the counts of this process now. Raises nothing."""

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

    # The end

    def close(self) -> None:
        """Release connections and files. The layer stays usable."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __str__(self) -> str:
        return f"{type(self).__name__}()"
