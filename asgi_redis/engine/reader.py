"""
The reading of a worker: it goes on with the servers that serve messages, while others do not.

A server that fails is left out, tried again in the background, and taken in again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from asgi_redis.engine.health import Health
from asgi_redis.engine.layer_reader import LayerReader
from asgi_redis.engine.receive_call import Batch, FailurePolicy, Turn
from asgi_redis.engine.receiver import Receiver


class Reader(LayerReader, FailurePolicy):
    """
    Receives for one thread, and is the failure policy of its calls. Any other thread may ``unblock`` or ``close`` it.

    ``health`` is that of another reader, which this one shares.
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
        """Whether a server has answered the last call; false before the first one."""
        return bool(self._health.serving)

    @property
    def absent(self) -> Collection[int]:
        """The sources that are left out."""
        return self._health.absent

    @property
    def down(self) -> bool:
        """Whether all the servers that were tried have failed."""
        return bool(self._health.absent) and not self._health.serving

    @property
    def error(self) -> Exception | None:
        """The reason for which a server was left out, the last time that one was."""
        return self._health.error

    def watch(self, watch: Callable[[bool], object]) -> None:
        """Have ``watch`` called with True when an outage begins, and with False when all the servers serve again."""
        self._health.watch = watch

    def receive_batch(
        self,
        channels: Collection[str],
        limit: int,
        timeout: float = 0,
        limits: Mapping[str, int] | None = None,
        shared: bool = False,
    ) -> Batch:
        """
        Receive as the layer's ``receive_batch`` does, from as many servers as can be reached.

        With no server at all it waits for one, up to ``timeout`` seconds. Raises ``UnsupportedRedis``, and no
        ``RedisError``.
        """
        self.complete = not self._health.absent
        self._waits = timeout > 0 or not self.complete
        look = self._health.needs_look
        names = tuple(channels)
        try:
            batch = self._receiver.receive(names, limit, 0, self, limits, shared) if look else []
            # It need not be one that these channels are on: looking is then no reason to come back at once.
            if not batch and (timeout > 0 or not look):
                batch = self._receiver.receive(names, limit, timeout, self, limits, shared)
            return batch
        finally:
            self.woken = False

    def wake(self) -> None:
        """End the wait that is going on."""
        pipe = self.pipe
        if pipe is not None:
            pipe.wake()

    def retry(self) -> None:
        """Try at once whether the servers that are left out can be reached. Raises nothing."""
        self._health.retry()

    def close(self) -> None:
        """Stop trying to reach servers that fail, if there is no sibling that wants them."""
        self._health.detach(self)

    def settle(self, deadline: float) -> bool:
        """
        Wait for replies that servers owe to ended calls, and requeue the messages in them.

        ``deadline`` is a time of ``time.monotonic``; returns whether all replies were there by then.
        """
        return all(source.settle(deadline) for source in self._receiver.sources)

    # The failure policy

    def readable(self, turn: Turn) -> Turn:
        """Return the sources and keys that can be read at present."""
        return self._health.readable(turn, self._waits)

    def failed(self, number: int, error: Exception, keys: Sequence[bytes] = (), waiting: bool = False) -> None:
        """Leave a source out, or those of ``keys`` that are no queues; ``waiting``: a wait has failed."""
        if self._health.failed(number, error, keys, waiting):
            self.complete = False

    def served(self, number: int, waiting: bool = False) -> None:
        """Note that a source has answered; ``waiting``: to a wait."""
        self._health.served(number, waiting)
