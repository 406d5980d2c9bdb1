"""Unpacking the entries of queues: which messages they hold, for which channels."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Collection
from typing import Any

from redis.exceptions import RedisError

from asgi_redis.engine.codec import MessageDecoder
from asgi_redis.engine.dropped import DroppedMessages
from asgi_redis.engine.fanout import FanOutBuffer, Lost, SharedMessage
from asgi_redis.engine.receive_call import ReceiveCall
from asgi_redis.engine.receive_order import ReceiveOrder
from asgi_redis.exceptions import UndecodableMessage
from asgi_redis.process.wakeup import WakeupPipe
from asgi_redis.wire import Taken
from asgi_redis.wire.message import Batch, Message
from asgi_redis.wire.names import are_channels_of, is_channel_name
from asgi_redis.wire.server import ping

logger = logging.getLogger("asgi_redis")

_FEW_NAMES = 10
_PING = ping()


class Unpacker:
    """
    Decodes the entries of queues, and drops entries that are no messages.

    An entry of a process-local queue may be for several channels of the process: it is buffered for their readers.
    ``expiry`` is in seconds; ``wake`` is called when there are messages for other calls, and ``expired`` with the
    queue and the number of messages that expire in the buffer.
    """

    def __init__(self, decoder: MessageDecoder, expiry: float, wake: Callable[[], object], expired: Lost) -> None:
        self._decoder = decoder
        self._expiry = expiry
        self._wake = wake
        self._count_expired = expired
        self._crowded_out = DroppedMessages("that its group's members have not received in time")

    def start_process(self, idle_pipes: deque[WakeupPipe]) -> None:
        """Set up the parts that processes must not share."""
        self.order = ReceiveOrder(idle_pipes)
        self.clear_buffer()

    def clear_buffer(self) -> None:
        """Drop the buffered messages."""
        why = "more than the process holds"
        self.buffer = FanOutBuffer(
            lambda queue, number: self._crowded_out.add(queue, why, number), self._count_expired
        )

    def unpack(self, call: ReceiveCall) -> Batch:
        """Return the messages that a call has taken, and buffer the rest for others."""
        received: Batch = []
        alone, has_buffered = not call.is_registered or self._is_alone(call), False
        for take in call.takes:
            entries = take.taken or []
            position = 0
            while position < len(entries):
                one = entries[position]
                try:
                    queue, channels, message, payload = decode_entry(self._decoder, one)
                except Exception as error:  # noqa: BLE001  a serialiser may raise anything; no reader may die of it
                    self._decoder.drop(one.queue.decode(), error)
                    del entries[position]
                    continue
                is_shared = len(channels) > 1 or queue in self.buffer.queues
                if not is_shared and (alone or queue not in call.channels.process_local):
                    received.append((channels[0], message))
                    position += 1
                    continue
                expires = time.monotonic() + self._expiry - one.age
                shared = SharedMessage(queue, channels, payload, self.message, expires, message)
                self.buffer.put(shared, float(one.score), entries, position)
                has_buffered = True
        if call.is_registered:
            self.order.end(call)
        if has_buffered:
            received += self.take_buffered(call, call.limit - len(received))
            if self.buffer.queues:
                self._wake()  # another thread may be waiting for the rest
        return received

    def _is_alone(self, call: ReceiveCall) -> bool:
        """Return whether no other call may hold earlier messages of the same queues."""
        if self.order.is_alone():
            return True
        if self.order.have_waiting(call):
            _let_replies_come(call)
        return not self.order.have_taken(call)

    def take_buffered(self, call: ReceiveCall, limit: int) -> Batch:
        """Return up to ``limit`` buffered messages."""
        received: list[tuple[str, Any]] = []  # with a SharedMessage where the call wants these
        if not self.buffer.queues:
            return received
        newest = self.buffer.newest()
        self.order.wait(call)
        first = len(call.shares)
        names: Collection[str] = call.channels.names
        if call.full:
            names = [name for name in names if name not in call.full]
        self.buffer.take(names, limit, call.shares, newest)
        for shared, channel in call.shares[first:]:
            if call.shared and "!" in channel:
                received.append((channel, shared))
                continue
            try:
                received.append((channel, shared.message()))
            except Exception as error:  # noqa: BLE001  as in unpacking
                self._decoder.drop(channel, error)
        return received

    def message(self, payload: bytes) -> Message:
        """Return the message of a payload, a new object each time."""
        message = self._decoder.decode(payload)
        message.pop("__asgi_channel__", None)
        return message


def decode_entry(decoder: MessageDecoder, taken: Taken) -> tuple[str, list[str], Message, bytes]:
    """
    Return the queue of an entry, its channels, its message and its payload.

    A process-local queue's message names its channel, or all of them when it was sent to a group.
    Raises ``UndecodableMessage``, or any error of the serialiser.
    """
    queue = taken.queue.decode()
    payload = decoder.payload(taken.member)
    message = decoder.decode(payload)
    names = message.pop("__asgi_channel__", queue)
    if not queue.endswith("!"):
        return queue, [queue], message, payload
    if isinstance(names, str) and names.startswith(queue) and is_channel_name(names):
        return queue, [names], message, payload  # nearly always
    if isinstance(names, str):
        names = [names]
    if not isinstance(names, list) or not are_channels_of(queue, names):
        raise UndecodableMessage("a wrong __asgi_channel__")
    if len(names) > 1:
        names = list(dict.fromkeys(names))
    if decoder.encode is not None and len(names) > _FEW_NAMES and sum(map(len, names)) > len(payload) // 4:
        payload = decoder.encode(message)  # or all the names would be read again for each of them
    return queue, names, message, payload


def _let_replies_come(call: ReceiveCall) -> None:
    """Make a round trip: the replies to earlier requests have come then, too."""
    for take in call.takes:
        if take.taken:
            try:
                take.server.execute(_PING, fail_fast=True)
            except RedisError as error:
                logger.debug("The order of what was received is not sure: %s", error)
