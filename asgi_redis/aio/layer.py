"""
The asynchronous layers: Channels 4 back ends around synchronous layers.

Threads do the work, and no event loop owns anything: coroutines of any number of loops may use one layer, and loops
may come and go.
"""

from __future__ import annotations

import asyncio
import atexit
import functools
import time
import uuid
import weakref
from collections.abc import Callable
from typing import Any, TypeVar, Union

from asgi_redis import exceptions
from asgi_redis.aio.exceptions import ChannelFull
from asgi_redis.aio.lanes import Lane
from asgi_redis.aio.mailbox import Inbox
from asgi_redis.aio.memberships import Memberships
from asgi_redis.aio.names import Names
from asgi_redis.aio.receive_thread import Popper, Reader
from asgi_redis.aio.runner import Calls, Carrier, call_apart
from asgi_redis.layers.base import BaseChannelLayer
from asgi_redis.layers.from_setting import layer_from_setting
from asgi_redis.process import fork
from asgi_redis.wire.message import Message

T = TypeVar("T")
Part = Union[Carrier[Any], Popper, Memberships]

_KNOWN_NAMES = 1024
_PATIENCE_AT_EXIT = 1.0  # seconds
_PATIENCE = 30.0  # seconds; a request to Redis takes 20 at most


class AsyncChannelLayer(Names):
    """
    A Channels 4 back end around any of the synchronous layers, which is ``layer`` and may be used beside it.

    It is given as an object; or as a dict of ``BACKEND``, the dotted path of its class, and ``CONFIG``, its settings.

    One object may be used from any number of event loops and threads, and by processes that are forked later. While
    nobody waits in ``receive``, nothing is received. What arrives for a process-local channel that nobody waits for
    is kept in a buffer: at most its capacity, the oldest is dropped first, and no longer than ``expiry``.

    Raises ``ValueError`` for what is neither, and what the class of ``layer`` raises about its settings.
    """

    extensions = ["groups", "flush"]

    _exiting = False  # whether the interpreter ends

    threads = 4
    """How many blocking calls are made at a time."""

    ChannelFull = ChannelFull
    MessageTooLarge = exceptions.MessageTooLarge

    def __init__(self, layer: Any) -> None:
        self.layer: Any = layer_from_setting(
            layer,
            "layer",
            BaseChannelLayer,  # type: ignore[type-abstract]  # python/mypy#4717: only looked at, never made
            "a synchronous layer of asgi_redis",
            {},
        )
        layer = self.layer
        self._calls = Calls(f"calls of {type(layer).__name__}", self.threads)
        self._known_names: dict[str, int] = {}  # that were right, and in which generation of the process
        self._parts: list[Part] = [self._calls]
        make_reader, most_lanes = self._reading()
        make_popper = functools.partial(_make_popper, self._parts, make_reader, layer)
        self._inbox = Inbox(layer.non_local_name, layer.get_capacity, layer.expiry, make_popper, most_lanes)
        weakref.finalize(self, _end, self._parts).atexit = False
        _layers.add(self)

    def _reading(self) -> tuple[Callable[[], Reader], int]:
        """Returns what makes a reader, and how many threads may read."""
        return self.layer.reader, 1

    @property
    def client_prefix(self) -> str:
        """What stands before the ``!`` in the process-local channels of this process."""
        prefix: str = self.layer.client_prefix
        return prefix

    @property
    def dropped_count(self) -> int:
        """How many messages were dropped because nobody took them from their buffer."""
        return self._inbox.dropped_count

    # Sending and receiving

    async def send(self, channel: str, message: Message) -> None:
        """
        Puts ``message`` at the end of ``channel``.

        Raises ``ChannelFull``, which is that of ``channels.exceptions``, too, where Channels is installed;
        ``MessageTooLarge``, ``TypeError`` for a wrong name or value, ``ValueError`` for a reserved key, and the
        server's errors.
        """
        try:
            await self._call(self.layer.send, channel, message)
        except exceptions.ChannelFull as error:
            raise ChannelFull(str(error)) from None

    async def receive(self, channel: str) -> Message:
        """
        Returns the next message of ``channel``; waits for one.

        No message is lost by cancelling it. It goes on waiting while servers are away; only when none can be reached
        at its start does it raise the error of one. ``TypeError`` for a process-local channel of another process;
        ``LayerClosed`` when the layer is closed meanwhile.
        """
        self._check_reading(channel)
        try:
            return await self._inbox.receive(channel)
        except exceptions.LayerClosed:
            await self._wait_for_exit()
            raise

    def _check_reading(self, channel: str) -> None:
        """Raises ``TypeError`` for a name that is wrong, or that of a channel of another process."""
        fork.check()
        if isinstance(channel, str) and self._known_names.get(channel) == fork.generation:
            return
        self.require_valid_channel_name(channel)
        if "!" in channel and not self._is_own(channel):
            raise exceptions.InvalidName(
                f"{channel!r} is a channel of another process: those of this one have {self.client_prefix}! in them"
            )
        if len(self._known_names) >= _KNOWN_NAMES:
            self._known_names.clear()
        self._known_names[channel] = fork.generation

    def _is_own(self, channel: str) -> bool:
        """Whether this is a process-local channel of this process."""
        return self.non_local_name(channel).endswith(f"{self.client_prefix}!")

    async def _wait_for_exit(self) -> None:
        # Only daemon threads still run loops then, and all they could do with an error is to print it.
        if self._exiting:
            await asyncio.get_running_loop().create_future()

    async def new_channel(self, prefix: str = "specific") -> str:
        """Returns the name of a process-local channel that is in no use."""
        name = f"{prefix}.{self.client_prefix}!{uuid.uuid4().hex}"
        self.require_valid_channel_name(name)
        return name

    # Groups

    async def group_add(self, group: str, channel: str) -> None:
        """Adds ``channel`` to ``group`` for ``group_expiry`` seconds, or renews that."""
        await self._call(self.layer.group_add, group, channel)

    async def group_discard(self, group: str, channel: str) -> None:
        """Removes ``channel`` from ``group``, if it is in there."""
        await self._call(self.layer.group_discard, group, channel)

    async def group_send(self, group: str, message: Message) -> int:
        """
        Sends ``message`` to every channel of ``group``; returns for how many it was dropped, as they were full.

        Raises as ``send`` does otherwise, but no ``ChannelFull``.
        """
        dropped: int = await self._call(self.layer.send_group, group, message)
        return dropped

    # The rest

    async def flush(self) -> None:
        """Deletes all messages and groups."""
        await self._call(self.layer.flush)
        self._inbox.forget()

    async def close(self) -> None:
        """
        Ends the threads, and gives the connections back. The layer stays usable, and starts anew.

        Who waits in ``receive`` gets ``LayerClosed``. A message of a normal channel that was received for one who
        has gone is sent again, to the end of its channel. The end of the interpreter does the same, but a daemon
        thread that waits in ``receive`` is left to wait.
        """
        await call_apart(functools.partial(self._close, _PATIENCE), asyncio.get_running_loop())

    close_pools = close

    def _close(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        for part in self._parts:
            part.close(max(0.0, deadline - time.monotonic()))
        self.layer.close()

    def serialize(self, message: Message) -> bytes:
        """Returns ``message`` as it is sent."""
        serialized: bytes = self.layer.serialize(message)
        return serialized

    def deserialize(self, message: bytes) -> Any:
        """Returns the message that ``serialize`` was given."""
        return self.layer.deserialize(message)

    async def _call(self, call: Callable[..., T], *arguments: Any) -> T:
        result: T = await self._calls.submit(functools.partial(call, *arguments), asyncio.get_running_loop())
        return result

    def __str__(self) -> str:
        return f"{type(self).__name__}({self.layer})"


_layers: weakref.WeakSet[AsyncChannelLayer] = weakref.WeakSet()


def _make_popper(
    parts: list[Part], make_reader: Callable[[], Reader], layer: Any, inbox: Inbox, lane: Lane
) -> Popper:
    popper = Popper(inbox, lane, make_reader, layer.send, f"receiver of {type(layer).__name__}")
    parts.append(popper)
    return popper


def _end(parts: list[Part]) -> None:
    for part in parts:
        part.end()


@atexit.register
def _close_all() -> None:
    # A thread that runs into the end of the interpreter may spoil its exit.
    Carrier.may_start = False
    for layer in list(_layers):
        layer._exiting = True
        layer._close(_PATIENCE_AT_EXIT)
