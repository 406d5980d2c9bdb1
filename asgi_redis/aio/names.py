"""The helpers of Channels' base class: the rules for names, and capacities."""

from __future__ import annotations

import re
from re import Pattern
from typing import Any

from asgi_redis.layers.base import BaseChannelLayer
from asgi_redis.layers.from_setting import LayerFacade
from asgi_redis.layers.options import Capacities


class Names(LayerFacade):
    """What a Channels back end tells about names; ``layer`` knows."""

    MAX_NAME_LENGTH = 100

    layer: Any

    @property
    def rules(self) -> BaseChannelLayer:
        """Who knows the rules."""
        rules: BaseChannelLayer = self.layer
        return rules

    @property
    def expiry(self) -> float:
        """For how many seconds a message is kept."""
        return self.rules.expiry

    @property
    def group_expiry(self) -> float:
        """For how many seconds a group has a member that is not added again."""
        return self.rules.group_expiry

    @property
    def capacity(self) -> int:
        """How many messages a channel holds."""
        return self.rules.capacity

    @property
    def channel_capacity(self) -> list[tuple[Pattern[str], int]]:
        """The patterns of the channels that hold another number."""
        return self.rules.channel_capacity

    def compile_capacities(self, channel_capacity: Capacities) -> list[tuple[re.Pattern[str], int]]:
        """Returns the patterns of a ``channel_capacity``, compiled, in their order, each with its capacity."""
        return self.rules.compile_capacities(channel_capacity)

    def get_capacity(self, channel: str) -> int:
        """Returns how many messages ``channel`` holds."""
        return self.rules.get_capacity(channel)

    def match_type_and_length(self, name: object) -> bool:
        """Returns whether ``name`` is a str of fewer than 100 characters."""
        return self.rules.match_type_and_length(name)

    def require_valid_channel_name(self, name: object, receive: bool = False) -> bool:
        """Returns True, or raises ``TypeError``. ``receive``: a process-local name must end at its ``!``."""
        return self.rules.valid_channel_name(name, receive)

    valid_channel_name = require_valid_channel_name

    def valid_channel_names(self, names: object, receive: bool = False) -> bool:
        """Returns True, or raises ``TypeError`` for what is not a list of valid names with at least one."""
        return self.rules.valid_channel_names(names, receive)

    def require_valid_group_name(self, name: object) -> bool:
        """Returns True, or raises ``TypeError``."""
        return self.rules.valid_group_name(name)

    valid_group_name = require_valid_group_name

    def non_local_name(self, name: str) -> str:
        """Returns the part of a name up to and including its ``!``, if it has one."""
        return self.rules.non_local_name(name)
