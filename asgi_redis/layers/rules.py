"""The rules of a layer: options, capacities, checks of names and messages."""

from __future__ import annotations

import fnmatch
import logging
import re
import uuid
from collections.abc import Iterable, Sequence
from re import Pattern

from asgi_redis.exceptions import ChannelFull, InvalidMessage, InvalidName, MessageTooLarge, ReservedKey
from asgi_redis.layers.classic import ClassicNames
from asgi_redis.layers.options import Capacities, CommonOptions
from asgi_redis.process import fork
from asgi_redis.wire.expiry import MAX_WAIT_SECONDS
from asgi_redis.wire.names import check_channel_name, check_group_name, has_valid_length, queue_of

logger = logging.getLogger("asgi_redis")


class LayerRules(ClassicNames):
    """The options as attributes, and the helpers of the ASGI 1.x base layer."""

    ChannelFull = ChannelFull
    MessageTooLarge = MessageTooLarge

    def __init__(self, settings: CommonOptions) -> None:
        self.expiry = settings["expiry"]
        self.group_expiry = settings["group_expiry"]
        self.capacity = settings["capacity"]
        self.channel_capacity = self.compile_capacities(settings["channel_capacity"] or {})
        self.max_message_bytes = settings["max_message_bytes"]
        self._client_prefix = fork.Own(lambda: uuid.uuid4().hex)

    @property
    def client_prefix(self) -> str:
        """The part before the ``!`` in process-local channels of this process."""
        return self._client_prefix.value

    # Capacities

    def compile_capacities(self, channel_capacity: Capacities) -> list[tuple[Pattern[str], int]]:
        """
        Return the patterns compiled, in their order, each with its capacity.

        A str is a glob, as in ``fnmatch``; a compiled pattern is matched at the start of the name.
        """
        return [
            (re.compile(fnmatch.translate(pattern)) if isinstance(pattern, str) else pattern, capacity)
            for pattern, capacity in channel_capacity.items()
        ]

    def get_capacity(self, channel: str) -> int:
        """Return the capacity of the first pattern that matches, or the default."""
        for pattern, capacity in self.channel_capacity:
            if pattern.match(channel):
                return capacity
        return self.capacity

    def get_capacities(self, channels: Sequence[bytes]) -> Sequence[int]:
        """Return the capacity of each channel."""
        if not self.channel_capacity and type(self).get_capacity is LayerRules.get_capacity:
            return [self.capacity] * len(channels)
        return [self.get_capacity(channel.decode()) for channel in channels]

    # Names

    def match_type_and_length(self, name: object) -> bool:
        """Return whether ``name`` is a str of fewer than 100 characters."""
        return has_valid_length(name)

    def valid_channel_name(self, name: object, receive: bool = False) -> bool:
        """
        Return True, or raise ``TypeError`` with the name and the rule that it breaks.

        With ``receive``, a process-local name must end at its ``!``.
        """
        check_channel_name(name, receive)
        return True

    def valid_channel_names(self, names: object, receive: bool = False) -> bool:
        """Return True, or raise ``TypeError`` unless it is a list of valid names."""
        if not isinstance(names, list) or not names:
            raise InvalidName(f"channel names must be a list with at least one name, not {names!r}")
        return all(self.valid_channel_name(name, receive=receive) for name in names)

    def valid_group_name(self, name: object) -> bool:
        """Return True, or raise ``TypeError`` with the name and the rule that it breaks."""
        check_group_name(name)
        return True

    def non_local_name(self, name: str) -> str:
        """Return the name of its queue: the part up to and including the ``!``, if any."""
        return queue_of(name)

    # Messages and arguments

    def check_message(self, message: object) -> None:
        """Raise ``TypeError`` unless it is a dict, ``ValueError`` for the reserved key."""
        if not isinstance(message, dict):
            raise InvalidMessage(f"a message must be a dict, not {type(message).__name__}")
        if "__asgi_channel__" in message:
            raise ReservedKey("a message must not hold the key '__asgi_channel__': the wire format keeps it")

    def check_exclude(self, exclude: object) -> frozenset[str]:
        """Return the names of a message's excluded channels, or raise ``TypeError``."""
        if exclude == ():
            return frozenset()
        if isinstance(exclude, (str, bytes)):
            raise InvalidName(f"exclude must be a list of channel names: write exclude=[{exclude!r}]")
        if not isinstance(exclude, Iterable):
            raise InvalidName(f"exclude must be a list of channel names, not {exclude!r}")
        names = list(exclude)
        for name in names:
            self.valid_channel_name(name)
        return frozenset(names)

    def check_receive(self, channels: object, limit: object, timeout: object = 0) -> None:
        """
        Check the arguments of a receive call; not the names.

        Raises:
            TypeError: ``channels`` is a str.
            ValueError: ``limit`` is no whole number above 0, or ``timeout`` no number up to ``MAX_WAIT_SECONDS``.
        """
        if isinstance(channels, str):
            raise InvalidName(f"channels must be a list of names, not the str {channels!r}")
        is_number = type(timeout) is int or type(timeout) is float
        if is_number and timeout <= MAX_WAIT_SECONDS and type(limit) is int and limit > 0:  # type: ignore[operator]
            return  # the usual case, decided quickly
        if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
            raise ValueError(f"limit must be 1 message or more, not {limit!r}")
        if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not timeout <= MAX_WAIT_SECONDS:
            raise ValueError(f"timeout must be a number of seconds, at most {MAX_WAIT_SECONDS}, not {timeout!r}")

    def log_dropped(self, dropped: int, members: int, group: str) -> None:
        """Log that ``dropped`` of the ``members`` of a group were full."""
        if dropped:
            logger.info("%s of %s channels over capacity in group %s", dropped, members, group)
