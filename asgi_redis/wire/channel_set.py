"""The queues that a receive looks into, and their order."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable

from asgi_redis.wire.names import place


class ChannelSet:
    """
    The names of the queues of one set of channels, shard by shard.

    Redis serves queues in the given order, so the order moves on with every call: each queue, and each shard, comes
    first in turn, and a busy one cannot starve the others. The channels ``here`` are on this machine instead.
    """

    def __init__(self, channels: Iterable[str], shards: int, here: tuple[str, ...] = ()) -> None:
        self.names = dict.fromkeys(channels)
        self.here = here
        self.process_local = frozenset(name for name in self.names if "!" in name)
        by_shard: dict[int, list[bytes]] = {}
        for name in self.names:
            queue, places = place(name, shards)
            for shard in places:
                by_shard.setdefault(shard, []).append(queue)
        self._by_shard = list(by_shard.items())
        self.is_spread = len(by_shard) > 1 or bool(here)
        """Whether the queues may be in several places."""
        # From anywhere: a reader with other channels each time would always begin with the first.
        self._turns = itertools.count(random.randrange(1 << 16))
        self._here_turns = itertools.count(random.randrange(2))

    def turn(self) -> list[tuple[int, list[bytes]]]:
        """Return each shard with its queues, in the order of this turn."""
        by_shard = self._by_shard
        if len(self.names) <= 1 and len(by_shard) <= 1:
            return by_shard
        turn = next(self._turns)
        start = turn % len(by_shard)
        turn //= len(by_shard)
        order = by_shard[start:] + by_shard[:start]
        return [(shard, queues[turn % len(queues) :] + queues[: turn % len(queues)]) for shard, queues in order]

    def is_here_first(self) -> bool:
        """Return whether this machine comes first in this turn."""
        # Every other time: a busy machine would starve Redis.
        return not self.names or bool(next(self._here_turns) % 2)
