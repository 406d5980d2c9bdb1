"""The helpers of Channels' base class: the rules for names, and capacities."""

from __future__ import annotations

from re import Pattern

from asgi_redis.layers.base import BaseChannelLayer
from asgi_redis.layers.from_setting import LayerFacade
from asgi_redis.layers.options import Capacities


class Names(LayerFacade):
    """The rules of a Channels back end, which are those of ``layer``."""

    MAX_NAME_LENGTH = 100

    layer: BaseChannelLayer

    @property
    def expiry(self) -> float:
        """For how many seconds a message is kept."""
        return self.layer.expiry

    @property
    def group_expiry(self) -> float:
        """For how many seconds a membership lasts that is not renewed."""
        return self.layer.group_expiry

    @property
    def capacity(self) -> int:
        """How many messages a channel holds."""
        return self.layer.capacity

    @property
    def channel_capacity(self) -> list[tuple[Pattern[str], int]]:
        """The patterns of the channels that have another capacity, with it."""
        return self.layer.channel_capacity

    def compile_capacities(self, channel_capacity: Capacities) -> list[tuple[Pattern[str], int]]:
        """Return the patterns of ``channel_capacity``, compiled, each with its capacity."""
        return self.layer.compile_capacities(channel_capacity)

    def get_capacity(self, channel: str) -> int:
        """Return how many messages ``channel`` holds."""
        return self.layer.get_capacity(channel)

    def match_type_and_length(self, name: object) -> bool:
        """Return whether ``name`` is a str of fewer than 100 characters."""
        return self.layer.match_type_and_length(name)

    def require_valid_channel_name(self, name: object, receive: bool = False) -> bool:
        """Return True, or raise ``TypeError``; see ``layer.valid_channel_name``."""
        return self.layer.valid_channel_name(name, receive)

    valid_channel_name = require_valid_channel_name

    def valid_channel_names(self, names: object, receive: bool = False) -> bool:
        """Return True, or raise ``TypeError`` unless it is a list of valid names."""
        return self.layer.valid_channel_names(names, receive)

    def require_valid_group_name(self, name: object) -> bool:
        """Return True, or raise ``TypeError``."""
        return self.layer.valid_group_name(name)

    valid_group_name = require_valid_group_name

    def non_local_name(self, name: str) -> str:
        """Return the part of a name up to and including its ``!``, if it has one."""
        return self.layer.non_local_name(name)
