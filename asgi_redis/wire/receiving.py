"""Which queues a receive looks into, in which order, and which channels a message that was taken is for."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable
from typing import Any

from asgi_redis.exceptions import UndecodableMessage
from asgi_redis.wire.keys import Keys
from asgi_redis.wire.names import is_channel_name
from asgi_redis.wire.taking import Taken

_FEW_NAMES = 10


class ChannelSet:
    """
    The queues of one set of channels, shard by shard.

    Redis serves queues in the order that it is given, so the order moves on with every call: each queue, and each
    shard, comes first in turn, and a busy one cannot starve the others.
    """

    def __init__(self, channels: Iterable[str], keys: Keys, shards: int) -> None:
        self.names = dict.fromkeys(channels)
        self.local = frozenset(name for name in self.names if "!" in name)
        by_shard: dict[int, list[bytes]] = {}
        for name in self.names:
            key, places = keys.place(name, shards)
            for shard in places:
                by_shard.setdefault(shard, []).append(key)
        self._by_shard = list(by_shard.items())
        self.shards = len(by_shard)
        # From anywhere: whoever comes with other channels each time would always begin with the first.
        self._turns = itertools.count(random.randrange(1 << 16))

    def turn(self) -> list[tuple[int, list[bytes]]]:
        """Returns each shard with the keys of its queues, in the order of this turn; not to be changed."""
        by_shard = self._by_shard
        if len(self.names) == 1 and self.shards == 1:
            return by_shard
        turn = next(self._turns)
        start = turn % len(by_shard)
        turn //= len(by_shard)
        order = by_shard[start:] + by_shard[:start]
        return [(shard, keys[turn % len(keys) :] + keys[: turn % len(keys)]) for shard, keys in order]


class Unpacker:
    """
    Turns what was taken off a queue into messages, each with the full name of its channel.

    ``payload`` makes of a member what ``decode`` makes a message of. ``encode`` makes of a message what ``decode``
    reads, if it is known how.
    """

    def __init__(
        self,
        keys: Keys,
        payload: Callable[[bytes], bytes],
        decode: Callable[[bytes], dict[str, Any]],
        encode: Callable[[Any], bytes] | None = None,
    ) -> None:
        self._keys = keys
        self._encode = encode
        self._payload = payload
        self._decode = decode

    def __call__(self, taken: Taken) -> tuple[str, list[str], dict[str, Any], bytes]:
        """
        Returns the name of the queue, the channels that an entry is for, at least one, the message, and its payload.

        A process-local queue's message names its channel, or all of them when it was sent to a group.
        Raises ``UndecodableMessage``, or what the serialiser raises.
        """
        queue = self._keys.queue_name(taken.key)
        payload = self._payload(taken.member)
        message = self._decode(payload)
        names = message.pop("__asgi_channel__", queue)
        if not queue.endswith("!"):
            return queue, [queue], message, payload
        if isinstance(names, str) and names.startswith(queue) and is_channel_name(names):
            return queue, [names], message, payload  # nearly always
        if isinstance(names, str):
            names = [names]
        if not isinstance(names, list) or not names or not all(map(is_channel_name, names)):
            raise UndecodableMessage("a wrong __asgi_channel__")
        if len(names) > 1:
            names = list(dict.fromkeys(names))
        if not all(name.startswith(queue) for name in names):
            raise UndecodableMessage("an __asgi_channel__ of another process")
        if self._encode is not None and len(names) > _FEW_NAMES and sum(map(len, names)) > len(payload) // 4:
            payload = self._encode(message)  # or all the names would be read again for each of them
        return queue, names, message, payload

    def message(self, payload: bytes) -> dict[str, Any]:
        """Returns the message, a new object each time, that was unpacked with this payload."""
        message = self._decode(payload)
        message.pop("__asgi_channel__", None)
        return message
