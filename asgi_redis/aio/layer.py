"""
A Channels 4 back end around any synchronous layer, the base of the others.

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
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, TypeVar

from asgi_redis import exceptions
from asgi_redis.aio.mailbox import Mailboxes
from asgi_redis.aio.names import Names
from asgi_redis.aio.receive_thread import ReceiverSettings, ReceiveThreads
from asgi_redis.aio.runner import BlockingCalls, Closable, IOThreads, call_in_thread
from asgi_redis.connection import as_exception
from asgi_redis.engine.layer_reader import LayerReader
from asgi_redis.integrations.traced_calls import TracedCalls
from asgi_redis.layers.base import BaseChannelLayer
from asgi_redis.layers.from_setting import layer_from_setting
from asgi_redis.layers.memory import InMemoryChannelLayer
from asgi_redis.process import fork
from asgi_redis.wire import Witness
from asgi_redis.wire.message import Message

T = TypeVar("T")

ChannelFull = exceptions.channel_full_for_channels()

_MAX_KNOWN_NAMES = 1024
_EXIT_TIMEOUT_SECONDS = 1.0
_CLOSE_TIMEOUT_SECONDS = 30.0  # a request to Redis takes 20 at most


class AsyncChannelLayer(TracedCalls, Names):
    """
    A Channels 4 back end around any of the synchronous layers.

    One object may be used from any number of event loops and threads, and by processes that are forked later. Nothing
    is received while no coroutine waits in ``receive``. Messages for a process-local channel that no coroutine waits
    for are kept in its mailbox: at most its capacity, for ``expiry`` seconds; the oldest are dropped first.

    Args:
        layer: The synchronous layer, which may be used as well; or a dict of ``BACKEND``, the dotted path of its
            class, and ``CONFIG``, its settings.

    Raises:
        ValueError: ``layer`` is neither. Wrong settings raise the errors of the layer's class.
    """

    extensions = ["groups", "flush"]

    threads = 4
    """How many blocking calls are made at a time."""

    ChannelFull = ChannelFull
    MessageTooLarge = exceptions.MessageTooLarge

    def __init__(self, layer: BaseChannelLayer | Mapping[str, Any]) -> None:
        self.layer = layer_from_setting(
            layer,
            "layer",
            BaseChannelLayer,  # type: ignore[type-abstract]  # python/mypy#4717: only looked at, never made
            "a synchronous layer of asgi_redis",
            {},
        )
        self._never_waits = isinstance(self.layer, InMemoryChannelLayer)  # its calls do not block a loop
        self._exiting = False  # whether the interpreter ends
        name = type(self.layer).__name__
        self._calls = BlockingCalls(f"calls of {name}", self.threads)
        self._known_names: dict[str, int] = {}  # valid ones, and in which generation of the process
        make_reader, max_threads = self._reader_factory()
        send_back = functools.partial(_send_back, self.layer)
        settings = ReceiverSettings(make_reader, send_back, f"receiver of {name}", max_threads)
        make_receiver = functools.partial(ReceiveThreads, settings)
        self._mailboxes = Mailboxes(self.layer.get_capacity, self.layer.expiry, make_receiver)
        self._parts: list[Closable] = [self._calls, self._mailboxes]
        weakref.finalize(self, _end, self._parts).atexit = False
        _layers.add(self)

    def _reader_factory(self) -> tuple[Callable[[], LayerReader], int]:
        """Return the function that makes a reader, and how many threads may receive."""
        return self.layer.reader, 1

    @property
    def client_prefix(self) -> str:
        """The part before the ``!`` in the process-local channels of this process."""
        return self.layer.client_prefix

    @property
    def dropped_count(self) -> int:
        """How many messages were dropped because no coroutine has taken them."""
        return self._mailboxes.dropped_count

    # Sending and receiving

    async def send(self, channel: str, message: Message) -> None:
        """
        Put ``message`` at the end of ``channel``.

        Raises:
            ChannelFull: Also a ``channels.exceptions.ChannelFull`` where Channels is installed.
            MessageTooLarge: The message is larger than ``max_message_bytes``.
            TypeError: The name is not valid, or a value cannot be serialised.
            ValueError: The message has a reserved key.
        """
        try:
            await self._call(self.layer.send, channel, message)
        except exceptions.ChannelFull as error:
            raise ChannelFull(str(error)) from None

    def repeatable_send(
        self, channel: str, message: Message, witness: Witness
    ) -> Callable[[], Awaitable[None]] | None:
        """Return a coroutine function; see ``BaseChannelLayer.repeatable_send``."""
        attempt = self.layer.repeatable_send(channel, message, witness)
        return None if attempt is None else functools.partial(self._call, attempt)

    async def receive(self, channel: str) -> Message:
        """
        Return the next message of ``channel``; wait for one.

        No message is lost by cancelling it. It waits through outages of the servers; only when none can be reached at
        its start does it raise the error of one.

        Raises:
            TypeError: The channel is a process-local one of another process.
            LayerClosed: The layer was closed meanwhile.
        """
        self._check_receive(channel)
        try:
            return await self._mailboxes.receive(channel)
        except exceptions.LayerClosed:
            await self._wait_for_exit()
            raise

    def _check_receive(self, channel: str) -> None:
        """Raise ``TypeError`` unless this process may receive from ``channel``."""
        fork.check()
        if isinstance(channel, str) and self._known_names.get(channel) == fork.generation:
            return
        self.require_valid_channel_name(channel)
        if "!" in channel and not self._is_own(channel):
            raise exceptions.InvalidName(
                f"{channel!r} is a channel of another process: those of this one have {self.client_prefix}! in them"
            )
        if len(self._known_names) >= _MAX_KNOWN_NAMES:
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
        """Return the name of a process-local channel that is in no use."""
        name = f"{prefix}.{self.client_prefix}!{uuid.uuid4().hex}"
        self.require_valid_channel_name(name)
        return name

    # Groups

    async def group_add(self, group: str, channel: str) -> None:
        """Add ``channel`` to ``group`` for ``group_expiry`` seconds, or renew that."""
        await self._call(self.layer.group_add, group, channel)

    async def group_discard(self, group: str, channel: str) -> None:
        """Remove ``channel`` from ``group``, if it is in there."""
        await self._call(self.layer.group_discard, group, channel)

    async def group_channels(self, group: str) -> list[str]:
        """Return the channels of ``group`` whose membership has not expired."""
        return await self._call(self.layer.group_channels, group)

    async def group_count(self, group: str) -> int:
        """Return the number of memberships in ``group`` that have not expired."""
        return await self._call(self.layer.group_count, group)

    async def group_send(self, group: str, message: Message, exclude: Collection[str] = ()) -> int:
        """
        Send ``message`` to every channel of ``group``, except those of ``exclude``.

        Raises as ``send`` does, but no ``ChannelFull``.

        Returns:
            The number of channels for which it was dropped, because they were full.
        """
        if exclude == ():
            return await self._call(
                self.layer.send_group, group, message
            )  # also where a project's layer excludes none
        return await self._call(self.layer.send_group, group, message, exclude)

    # The rest

    async def flush(self) -> None:
        """Delete all messages and groups."""
        await self._call(self.layer.flush)
        self._mailboxes.clear()

    async def close(self) -> None:
        """
        End the threads, and release the connections.

        The layer stays usable, and starts anew. A ``receive`` that waits raises ``LayerClosed``. A message of a
        normal channel that was received and not taken is sent again, to the end of its channel. The end of the
        interpreter does the same, but leaves a daemon thread that waits in ``receive`` waiting.
        """
        await call_in_thread(functools.partial(self._close, _CLOSE_TIMEOUT_SECONDS), asyncio.get_running_loop())

    close_pools = close

    def close_at_exit(self) -> None:
        """Close the layer at the end of the interpreter."""
        self._exiting = True
        self._close(_EXIT_TIMEOUT_SECONDS)

    def _close(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        for part in self._parts:
            part.close(max(0.0, deadline - time.monotonic()))
        self.layer.close()

    def serialize(self, message: Message) -> bytes:
        """Return ``message`` as it is sent."""
        return self.layer.serialize(message)

    def deserialize(self, message: bytes) -> Any:
        """Return the message that ``serialize`` was given."""
        return self.layer.deserialize(message)

    async def _call(self, call: Callable[..., T], *arguments: Any) -> T:
        if self._never_waits:
            try:
                return call(*arguments)
            except BaseException as error:
                failure = as_exception(error)  # as from a thread: nothing in here ends the loop
                if failure is error:
                    raise
                raise failure from error
        return await self._calls.submit(functools.partial(call, *arguments), asyncio.get_running_loop())

    def __str__(self) -> str:
        return f"{type(self).__name__}({self.layer})"


def _send_back(layer: BaseChannelLayer, channel: str, message: Message) -> None:
    layer.send(channel, message)
    layer.count(channel, "messages_requeued")


_layers: weakref.WeakSet[AsyncChannelLayer] = weakref.WeakSet()


def _end(parts: list[Closable]) -> None:
    for part in parts:
        part.end()


@atexit.register
def _close_all() -> None:
    # A thread that runs into the end of the interpreter may spoil its exit.
    IOThreads.may_start = False
    for layer in list(_layers):
        layer.close_at_exit()
