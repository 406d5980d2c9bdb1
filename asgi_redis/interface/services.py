"""The parts of the interface that all connections of a process share."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from functools import partial
from typing import NamedTuple

from redis.exceptions import RedisError

from asgi_redis.aio import AsyncChannelLayer
from asgi_redis.exceptions import ChannelFull, ChannelLayerError
from asgi_redis.interface.gate import Gate
from asgi_redis.interface.notices import Notices
from asgi_redis.interface.options import InterfaceOptions
from asgi_redis.interface.replies import Replies
from asgi_redis.process import fork
from asgi_redis.wire import Witness
from asgi_redis.wire.message import Message

DISCONNECT = "websocket.disconnect"

_EXIT_TIMEOUT_SECONDS = 2.0


class Farewells:
    """
    Sends the ``websocket.disconnect`` of each websocket.

    It is sent in a task: a server that cancels the connection does not cancel it.
    """

    def __init__(self, layer: AsyncChannelLayer, gate: Gate, notices: Notices) -> None:
        self._layer = layer
        self._gate = gate
        self._notices = notices
        self.start_process()
        fork.register(self)

    def start_process(self) -> None:
        """Start without messages: they are the parent's."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._unsent: dict[str, tuple[Message, Witness]] = {}  # by reply channel

    async def send(self, message: Message, witness: Witness, timeout: float) -> None:
        """Send a message; try for ``timeout`` seconds."""
        self._unsent[message["reply_channel"]] = message, witness
        task = asyncio.get_running_loop().create_task(self._send(message, witness, timeout))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await asyncio.shield(task)

    async def _send(self, message: Message, witness: Witness, timeout: float) -> None:
        try:
            await self._gate.send(DISCONNECT, message, timeout, witness)
        except (ChannelFull, RedisError) as error:
            self._notices.add(f"Could not send the {DISCONNECT} of a websocket", message["path"], error)
        del self._unsent[message["reply_channel"]]  # not if the end of the loop has cancelled it

    async def settle(self, timeout: float) -> None:
        """Wait up to ``timeout`` seconds for the messages of this event loop."""
        loop = asyncio.get_running_loop()
        tasks = [task for task in self._tasks if task.get_loop() is loop]
        if tasks:
            await asyncio.wait(tasks, timeout=timeout)

    def send_at_exit(self, messages: Iterable[tuple[Message, Witness]]) -> None:
        """Send these and all that are not sent yet, where no event loop runs any more."""
        deadline = time.monotonic() + _EXIT_TIMEOUT_SECONDS
        layer = self._layer.layer
        unsent = {message["reply_channel"]: (message, witness) for message, witness in messages}
        for message, witness in {**unsent, **self._unsent}.values():
            try:
                # The witness tells whether a task has sent it.
                (layer.repeatable_send(DISCONNECT, message, witness) or partial(layer.send, DISCONNECT, message))()
            except (ChannelLayerError, RedisError) as error:
                self._notices.add(f"Could not send the {DISCONNECT} of a websocket", message["path"], error)
            if time.monotonic() >= deadline:
                return


class Services(NamedTuple):
    """The parts that all connections share."""

    settings: InterfaceOptions
    layer: AsyncChannelLayer
    gate: Gate
    replies: Replies
    farewells: Farewells
    notices: Notices

    @classmethod
    def on(cls, layer: AsyncChannelLayer, settings: InterfaceOptions) -> Services:
        """Return the services over a layer."""
        gate = Gate(layer, settings["full_channel_timeout"], settings["outage_timeout"])
        notices = Notices()
        return cls(settings, layer, gate, Replies(layer, notices), Farewells(layer, gate, notices), notices)
