"""The contract of a worker's reader, and a reader for any layer."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from typing import Protocol

from asgi_redis.wire.message import Batch, Limits

_LOOK_SECONDS = 1.0


class LayerReader(ABC):
    """
    Receives for one thread. Any other thread may ``unblock`` or ``close`` it.

    An outage of a server is the reader's business, and never raised.
    """

    woken = False
    """Whether ``unblock`` was called since the last ``receive_batch`` ended."""

    @property
    @abstractmethod
    def serving(self) -> bool:
        """Whether a server has answered the last call; False before the first one."""

    @property
    def complete(self) -> bool:
        """Whether the last call has left out no server."""
        return True

    @property
    def down(self) -> bool:
        """Whether all servers that were tried have failed."""
        return False

    @property
    def error(self) -> Exception | None:
        """The error of the server that failed last."""
        return None

    @abstractmethod
    def receive_batch(
        self, channels: Collection[str], limit: int, timeout: float = 0, limits: Limits = None, shared: bool = False
    ) -> Batch:
        """
        Take several messages; where there is none, wait for one.

        Args:
            channels: The names to receive from.
            limit: The most messages to take.
            timeout: Seconds to wait.
            limits: The most messages to take from single channels; 0 leaves a channel out.
            shared: Whether a ``SharedMessage`` may take the place of one for several channels of this process.
        """

    def unblock(self) -> None:
        """End the current ``receive_batch``, or else the next one."""
        self.woken = True
        self.wake()

    @abstractmethod
    def wake(self) -> None:
        """Make the ``receive_batch`` that waits look at ``woken``."""

    def retry(self) -> None:  # noqa: B027  most readers have nothing to do
        """Try to reach the servers that were left out. Raises nothing."""

    def close(self) -> None:  # noqa: B027  as above
        """End the reader: no more will be received."""

    def settle(self, deadline: float) -> bool:
        """
        Wait for replies to calls that have ended, and requeue the messages in them.

        ``deadline`` is a time of ``time.monotonic``. Return whether all replies were there by then.
        """
        return True


class BlockingLayer(Protocol):
    """The calls of a layer that ``BatchReader`` makes."""

    def receive_batch(self, channels: Collection[str], limit: int, timeout: float = 0) -> Batch:
        """Take messages, or wait for one."""

    def unblock(self) -> None:
        """End all waits of this process."""


class BatchReader(LayerReader):
    """
    A reader by a layer's ``receive_batch`` and ``unblock``.

    An ``unblock`` in the moment before a wait begins is seen after a second.
    """

    serving = False

    def __init__(self, layer: BlockingLayer) -> None:
        self._layer = layer
        self._turn = 0

    def receive_batch(
        self, channels: Collection[str], limit: int, timeout: float = 0, limits: Limits = None, shared: bool = False
    ) -> Batch:
        limits = limits or {}
        names = [name for name in channels if limits.get(name, 1) > 0]
        # The first call shows at once that messages are served.
        deadline = time.monotonic() + (timeout if self.serving else 0)
        batch = self._look(names, limit, limits)
        while names and not batch and not self.woken and (remaining := deadline - time.monotonic()) > 0:
            batch = self._layer.receive_batch(names, 1, min(remaining, _LOOK_SECONDS))
        self.serving = True
        self.woken = False
        return batch

    def _look(self, names: list[str], limit: int, limits: Mapping[str, int]) -> Batch:
        unlimited = [name for name in names if name not in limits]
        sources = [[name] for name in names if name in limits] + ([unlimited] if unlimited else [])
        batch: Batch = []
        self._turn += 1  # each source comes first in turn, or the first would starve the others
        for number in range(len(sources)):
            source = sources[(self._turn + number) % len(sources)]
            room = limit - len(batch)
            if room:
                batch += self._layer.receive_batch(source, min(room, limits.get(source[0], room)))
        return batch

    def wake(self) -> None:
        self._layer.unblock()
