"""The rules of a layer that its sending and receiving sides ask for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from asgi_redis import exceptions


class CallRules(Protocol):
    """The rules of a layer for its arguments; a project's subclass may override them."""

    ChannelFull: type[exceptions.ChannelFull]
    expiry: float
    group_expiry: float

    @property
    def keeps_capacities(self) -> bool:
        """Whether the capacity of a channel stays as it is, and may be cached."""

    def valid_channel_name(self, name: object, receive: bool = False) -> bool:
        """Return True, or raise ``TypeError``."""

    def valid_group_name(self, name: object) -> bool:
        """Return True, or raise ``TypeError``."""

    def check_message(self, message: object) -> None:
        """Raise ``TypeError`` or ``ValueError`` for a message that must not be sent."""

    def check_exclude(self, exclude: object) -> frozenset[str]:
        """Return the names of a message's excluded channels, or raise ``TypeError``."""

    def get_capacity(self, channel: str) -> int:
        """Return how many messages ``channel`` holds."""

    def get_capacities(self, channels: Sequence[bytes]) -> Sequence[int]:
        """Return how many messages each channel holds."""

    def log_dropped(self, dropped: int, members: int, group: str) -> None:
        """Log that ``dropped`` of the ``members`` of a group were full."""
