"""The channel layer of ``docs/howto/own_layer.rst``: messages and groups in the memory of one process."""

import random
import threading
import time
from collections import defaultdict, deque
from collections.abc import Collection
from typing import Any

from asgi_redis.layers.base import BaseChannelLayer
from asgi_redis.process import fork
from asgi_redis.wire.message import Batch, Message


class ToyChannelLayer(BaseChannelLayer):
    """A channel layer for the threads of one process."""

    extensions = ["groups"]
    crosses_processes = False

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.start_process()
        fork.register(self)  # a forked process starts with an empty layer

    def start_process(self) -> None:
        self._changed = threading.Condition()
        self._queues: dict[str, deque[tuple[float, str, bytes]]] = defaultdict(deque)
        self._groups: dict[str, dict[str, float]] = defaultdict(dict)
        self._stops = 0

    def send(self, channel: str, message: Message) -> None:
        self.valid_channel_name(channel)
        self.check_message(message)
        with self._changed:
            queue = self._live(self.non_local_name(channel))
            if len(queue) >= self.get_capacity(channel):
                raise self.ChannelFull(f"channel {channel} is full")
            queue.append((time.monotonic(), channel, self.encoder.encode(message)))
            self._changed.notify_all()

    def receive_batch(self, channels: Collection[str], limit: int, timeout: float = 0) -> Batch:
        self.check_receive(channels, limit, timeout)
        names = [name for name in dict.fromkeys(channels) if self.valid_channel_name(name, receive=True)]
        random.shuffle(names)  # no channel starves
        taken: list[tuple[float, str, bytes]] = []
        with self._changed:
            old = self._stops
            self._changed.wait_for(lambda: self._stops > old or not names or any(map(self._live, names)), timeout)
            while len(taken) < limit and (queues := list(filter(None, map(self._live, names)))):
                taken += [queue.popleft() for queue in queues[: limit - len(taken)]]
        return self.decoder.decode_all((channel, entry) for _, channel, entry in taken)

    def _live(self, name: str) -> deque[tuple[float, str, bytes]]:
        queue = self._queues[name]
        while queue and time.monotonic() - queue[0][0] > self.expiry:
            queue.popleft()
        return queue

    def unblock(self) -> None:
        with self._changed:
            self._stops += 1
            self._changed.notify_all()

    def group_add(self, group: str, channel: str) -> None:
        if self.valid_group_name(group) and self.valid_channel_name(channel):
            self._groups[group][channel] = time.monotonic()

    def group_discard(self, group: str, channel: str) -> None:
        if self.valid_group_name(group) and self.valid_channel_name(channel):
            self._groups[group].pop(channel, None)

    def group_channels(self, group: str) -> list[str]:
        self.valid_group_name(group)
        since = time.monotonic() - self.group_expiry
        return [channel for channel, added in list(self._groups[group].items()) if added >= since]
