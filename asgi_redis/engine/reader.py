"""
The reader of a worker, which goes on with the servers that serve messages.

A server that fails is left out, tried again in the background, and taken in again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from asgi_redis.engine.health import Health
from asgi_redis.engine.layer_reader import LayerReader
from asgi_redis.engine.receive_call import FailurePolicy, Turn
from asgi_redis.engine.receiver import Receiver
from asgi_redis.wire.message import Batch, Limits


class Reader(LayerReader, FailurePolicy):
    """
    Receives for one thread, and is the failure policy of its calls.

    Any other thread may ``unblock`` or ``close`` it. ``health`` is that of another reader, which this one shares.
    """

    leaves_out = True
    complete = False
    _waits = False

    def __init__(self, receiver: Receiver, health: Health | None = None) -> None:
        self._receiver = receiver
        self._health = Health(receiver.sources) if health is None else health
        self._health.attach(self)

    def sibling(self) -> Reader:
        """Return a reader for another thread, which knows of the same outages."""
        return Reader(self._receiver, self._health)

    @property
    def serving(self) -> bool:
        return bool(self._health.serving)

    @property
    def absent(self) -> Collection[int]:
        return self._health.absent

    @property
    def down(self) -> bool:
        return bool(self._health.absent) and not self._health.serving

    @property
    def error(self) -> Exception | None:
        return self._health.error

    def watch(self, watch: Callable[[bool], object]) -> None:
        """Call ``watch`` with True when an outage begins, with False when it is over."""
        self._health.watch = watch

    def receive_batch(
        self, channels: Collection[str], limit: int, timeout: float = 0, limits: Limits = None, shared: bool = False
    ) -> Batch:
        """
        Receive messages from all servers that can be reached.

        With no server at all it waits for one, up to ``timeout`` seconds. Raises ``UnsupportedRedis``, and no
        ``RedisError``.
        """
        self.complete = not self._health.absent
        self._waits = timeout > 0 or not self.complete
        look = self._health.needs_look
        names = tuple(channels)
        try:
            batch = self._receiver.receive(names, limit, 0, self, limits, shared) if look else []
            # The server may have none of these channels: looking is then no reason to return at once.
            if not batch and (timeout > 0 or not look):
                batch = self._receiver.receive(names, limit, timeout, self, limits, shared)
            return batch
        finally:
            self.woken = False

    def wake(self) -> None:
        pipe = self.pipe
        if pipe is not None:
            pipe.wake()

    def retry(self) -> None:
        self._health.retry()

    def close(self) -> None:
        """End the attempts to reach servers, unless a sibling needs them."""
        self._health.detach(self)

    def settle(self, deadline: float) -> bool:
        is_settled = all(source.settle(deadline) for source in self._receiver.sources)
        if is_settled:
            self._receiver.flush_counts()
        return is_settled

    # The failure policy

    def readable(self, turn: Turn) -> Turn:
        return self._health.readable(turn, self._waits)

    def failed(self, number: int, error: Exception, keys: Sequence[bytes] = (), waiting: bool = False) -> None:
        if self._health.failed(number, error, keys, waiting):
            self.complete = False

    def served(self, number: int, waiting: bool = False) -> None:
        self._health.served(number, waiting)
