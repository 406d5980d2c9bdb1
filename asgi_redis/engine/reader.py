"""
The reading of a worker: it goes on with the servers that serve messages, while others do not.

A server that fails is left out, tried again in the background, and taken in again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from asgi_redis.connection import Shard
from asgi_redis.engine.health import Health, Place
from asgi_redis.engine.layer_reader import LayerReader
from asgi_redis.engine.receive_request import Batch, Turn
from asgi_redis.engine.receiver import Receiver
from asgi_redis.process.wakeup import WakeupPipe
from asgi_redis.wire import Operation


class Reader(LayerReader):
    """
    Receives for one thread. Any other may ``unblock`` or ``close`` it.

    ``others`` are further places that ``receiver`` takes messages from, see ``Health``; ``health`` is that of another
    reader which this one shares it with.
    """

    complete = False

    def __init__(
        self,
        receiver: Receiver,
        shards: Sequence[Shard],
        probe: Operation,
        others: Sequence[Place] = (),
        health: Health | None = None,
    ) -> None:
        self.woken = False
        self._waits = False
        self.waiter: WakeupPipe | None = None
        """What ends the wait that is going on."""
        self._receiver = receiver
        self._shards = shards
        self._probe = probe
        self._health = Health(shards, probe, receiver.try_to_wait, others) if health is None else health
        self._health.attach(self)

    def sibling(self) -> Reader:
        """Returns a reader for another thread, which knows of the same outages."""
        return Reader(self._receiver, self._shards, self._probe, health=self._health)

    @property
    def serving(self) -> bool:
        """Whether a server has answered the last call; false before the first one."""
        return bool(self._health.serving)

    @property
    def absent(self) -> Collection[int]:
        """The shards, and what is beside them, that are left out."""
        return self._health.absent

    @property
    def down(self) -> bool:
        """Whether all the servers that were tried have failed."""
        return bool(self._health.absent) and not self._health.serving

    @property
    def error(self) -> Exception | None:
        """Why a server was left out, the last time that one was."""
        return self._health.error

    def watch(self, watch: Callable[[bool], object]) -> None:
        """Has ``watch`` called with True when an outage begins, and with False when all the servers serve again."""
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
        Does what ``RedisChannelLayer.receive_batch`` does, with as many servers as can be reached.

        Takes no more than ``limits[channel]`` from a channel that is in there, none for 0. With no server at all it
        waits for one, up to ``timeout`` seconds. Raises ``UnsupportedRedis``, and no ``RedisError``.

        With ``shared``, a ``SharedMessage`` takes the place of one that is for several channels of this process.
        """
        self.complete = not self._health.absent
        self._waits = timeout > 0 or not self.complete
        look = self._health.needs_look
        try:
            batch = self._receiver.receive(tuple(channels), limit, 0, limits, self, None, shared) if look else []
            # It need not be one that these channels are on: looking is then no reason to come back at once.
            if not batch and (timeout > 0 or not look):
                batch = self._receiver.receive(tuple(channels), limit, timeout, limits, self, None, shared)
            return batch
        finally:
            self.woken = False

    def unblock(self) -> None:
        """Ends ``receive_batch`` as if the time had run out; the next one, when none is going on."""
        self.woken = True
        waiter = self.waiter
        if waiter is not None:
            waiter.wake()

    def retry(self) -> None:
        """Tries at once whether the servers that are left out can be reached. Raises nothing."""
        self._health.retry()

    def close(self) -> None:
        """Tries no longer to reach servers that fail, if there is no sibling that wants them."""
        self._health.detach(self)

    def settle(self, deadline: float) -> bool:
        """
        Waits for replies that servers owe to calls which have ended; returns whether all are there by ``deadline``.

        A message in them is put back. ``deadline`` is a time of ``time.monotonic``.
        """
        return all(shard.background_replies.settle(deadline) for shard in self._shards)

    def readable(self, turn: Turn) -> Turn:
        """Returns what of the shards and their keys can be read at present."""
        return self._health.readable(turn, self._waits)

    def failed(self, shard: int, error: Exception, keys: Sequence[bytes] = (), waiting: bool = False) -> None:
        """
        Leaves a shard out, or those of ``keys`` that are no queues, and tries again in a while.

        ``waiting`` is whether it was a wait that has failed.
        """
        if self._health.failed(shard, error, keys, waiting):
            self.complete = False

    def served(self, shard: int, waiting: bool = False) -> None:
        """Takes note that a shard has answered, to a wait perhaps."""
        self._health.served(shard, waiting)
