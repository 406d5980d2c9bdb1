"""The calls of a layer that send: to a channel, and to the channels of a group."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection

from asgi_redis.exceptions import UnsupportedExtension
from asgi_redis.integrations.traced_calls import TracedCalls
from asgi_redis.layers.rules import LayerRules
from asgi_redis.wire import Witness
from asgi_redis.wire.message import Message


class SendingCalls(TracedCalls, LayerRules, ABC):
    """The sending calls of a layer, and those of its groups."""

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

    def repeatable_send(self, channel: str, message: Message, witness: Witness) -> Callable[[], None] | None:
        """
        Return a function that sends ``message``, and may be called again.

        However often it is called after errors, the message is sent once at most. It raises
        ``redis.exceptions.RedisError`` where an error was ten seconds less than ``expiry`` ago, or half of an
        ``expiry`` below 20: then it is too late to tell. None where the layer can never tell, after an error, whether
        a message was sent.

        Args:
            channel: The channel.
            message: The message.
            witness: The sender, a name for one thread or connection, and the number of the message, which rises.
        """
        return None

    # The extension "groups"

    def group_add(self, group: str, channel: str) -> None:
        """Add ``channel`` to ``group`` for ``group_expiry`` seconds, or renew that."""
        raise self._lacks("groups")

    def group_discard(self, group: str, channel: str) -> None:
        """Remove ``channel`` from ``group``, if it is a member."""
        raise self._lacks("groups")

    def group_channels(self, group: str) -> list[str]:
        """Return the channels of ``group`` whose membership has not expired."""
        raise self._lacks("groups")

    def group_count(self, group: str) -> int:
        """Return the number of memberships in ``group`` that have not expired."""
        return len(self.group_channels(group))

    def send_group(self, group: str, message: Message, exclude: Collection[str] = ()) -> int:
        """
        Send ``message`` to every channel of ``group``, except those of ``exclude``.

        Channels that are full are left out and counted, and never raise ``ChannelFull``. Other errors are raised as
        by ``send``: those of the message before anything was sent.

        Args:
            group: The group.
            message: The message.
            exclude: Full names of channels that do not get it, whether they are members or not.

        Returns:
            The number of channels for which the message was dropped.
        """
        self.check_message(message)
        excluded = self.check_exclude(exclude)
        channels = [channel for channel in self.group_channels(group) if channel not in excluded]
        dropped = 0
        for channel in channels:
            try:
                self.send(channel, message)
            except self.ChannelFull:
                dropped += 1
        self.log_dropped(dropped, len(channels), group)
        return dropped

    def group_send(self, group: str, message: Message, exclude: Collection[str] = ()) -> int:
        """Send as ``send_group`` does: its name in Channels 4."""
        # A subclass may have a send_group without ``exclude``.
        return self.send_group(group, message, exclude) if exclude != () else self.send_group(group, message)

    def _lacks(self, extension: str) -> UnsupportedExtension:
        return UnsupportedExtension(f"{type(self).__name__} does not have the extension {extension!r}")
