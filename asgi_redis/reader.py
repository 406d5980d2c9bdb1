"""
The reading of a worker: it goes on with the servers that serve messages, while others do not.

A shard that fails is left out, tried again in the background, and taken in again. Its outage makes two lines in the
log.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import weakref
from collections.abc import Callable, Collection, Mapping, Sequence
from queue import Empty, SimpleQueue

from redis.exceptions import RedisError, ResponseError

from asgi_redis.connection import Shard, as_exception
from asgi_redis.misused_keys import MisusedKeys
from asgi_redis.outage import Outage
from asgi_redis.receiver import Batch, Receiver, Turn
from asgi_redis.wire import Operation

Place = tuple[object, Callable[[], object]]


class Reader:
    """
    Receives for one thread. Any other may ``unblock`` or ``close`` it.

    ``serving`` is whether a server has answered the last call; false before the first one. ``others`` are further
    places that ``receiver`` takes messages from, numbered after the shards: what the log calls each, and a call that
    raises unless it can be reached.
    """

    def __init__(
        self, receiver: Receiver, shards: Sequence[Shard], probe: Operation, others: Sequence[Place] = ()
    ) -> None:
        self.absent: set[int] = set()
        self.complete = False
        """Whether the last call has looked at all the servers."""
        self.woken = False
        self.error: Exception | None = None
        """Why a server was left out, the last time that one was."""
        self.watch: Callable[[bool], object] | None = None
        """Is called with True when an outage begins, and with False when all the servers serve again."""
        self._told = False
        self._receiver = receiver
        self._shards = shards
        self._places: list[Place] = [(shard.host, functools.partial(shard.execute, probe)) for shard in shards]
        self._places += others
        self._outages = [Outage(name) for name, _ in self._places]
        self._misused = MisusedKeys(shards)
        self._serving: set[int] = set()
        self._cannot_wait: set[int] = set()  # shards where a wait has failed, and none has succeeded since
        # The delays of those that are left out, and that no thread tries again as yet: none is needed until another
        # call is made, or one waits.
        self._untried: dict[int, float] = {}
        self._waits = False
        self._closed: SimpleQueue[None] = SimpleQueue()  # whose ``put`` may be called from a finaliser
        weakref.finalize(self, self._closed.put, None).atexit = False

    @property
    def serving(self) -> bool:
        """Whether a server has answered the last call; false before the first one."""
        return bool(self._serving)

    @property
    def down(self) -> bool:
        """Whether all the servers that were tried have failed."""
        return bool(self.absent) and not self._serving

    def receive_batch(
        self,
        channels: Collection[str],
        limit: int,
        timeout: float = 0,
        most: Mapping[str, int] | None = None,
    ) -> Batch:
        """
        Does what ``RedisChannelLayer.receive_batch`` does, with as many servers as can be reached.

        Takes no more than ``most[channel]`` from a channel that is in there, at least 1. With no server at all it
        waits for one, up to ``timeout`` seconds. Raises ``UnsupportedRedis``, and no ``RedisError``.
        """
        self.complete = not self.absent
        self._waits = timeout > 0 or bool(self.absent)
        # A server that is new, or has come back, shows at once that it serves messages.
        look = not (self._serving or self.absent) or any(
            outage.lasts and shard not in self.absent for shard, outage in enumerate(self._outages)
        )
        try:
            batch = self._receiver.receive(tuple(channels), limit, 0, most, self) if look else []
            # It need not be one that these channels are on: looking is then no reason to come back at once.
            if not batch and (timeout > 0 or not look):
                batch = self._receiver.receive(tuple(channels), limit, timeout, most, self)
            return batch
        finally:
            self.woken = False

    def unblock(self) -> None:
        """Ends ``receive_batch`` as if the time had run out; the next one, when none is going on."""
        self.woken = True
        self._receiver.wake()

    def retry(self) -> None:
        """Tries at once whether the servers that are left out can be reached. Raises nothing."""
        for shard in list(self.absent):
            try:
                self._try(shard)
            except Exception as error:  # noqa: BLE001  whatever it is, it is for who asks why
                self.error = error
            else:
                self.absent.discard(shard)
                self._untried.pop(shard, None)

    def close(self) -> None:
        """Tries no longer to reach servers that fail."""
        self._closed.put(None)

    def settle(self, deadline: float) -> bool:
        """
        Waits for replies that servers owe to calls which have ended; returns whether all are there by ``deadline``.

        A message in them is put back. ``deadline`` is a time of ``time.monotonic``.
        """
        return all(shard.settle(deadline) for shard in self._shards)

    def readable(self, turn: Turn) -> Turn:
        """Returns what of the shards and their keys can be read at present."""
        if self.absent:
            if self._waits:
                self._start_retrying()
            turn = [one for one in turn if one[0] not in self.absent]
        return self._misused.without(turn)

    def failed(self, shard: int, error: Exception, keys: Sequence[bytes] = (), waiting: bool = False) -> None:
        """
        Leaves a shard out, or those of ``keys`` that are no queues, and tries again in a while.

        ``waiting`` is whether it was a wait that has failed. The outage lasts until one succeeds then, however often
        something else does.
        """
        if isinstance(error, ResponseError) and "WRONGTYPE" in str(error) and self._misused.find(shard, keys):
            self.served(shard)
            return
        if waiting:
            self._cannot_wait.add(shard)
        self._serving.discard(shard)
        self.complete = False
        self.error = error
        delay = self._outages[shard].failed(error)
        self._tell()
        if shard not in self.absent:
            self.absent.add(shard)
            self._untried[shard] = delay

    def _start_retrying(self) -> None:
        while self._untried:
            shard, delay = self._untried.popitem()
            name = f"outage of {self._places[shard][0]}"
            arguments = (weakref.ref(self), shard, delay, self._closed)
            try:
                threading.Thread(target=_keep_retrying, args=arguments, name=name, daemon=True).start()
            except RuntimeError:  # there may be no more threads: the next call is to come upon the error again
                self.absent.discard(shard)
                raise

    def served(self, shard: int, waiting: bool = False) -> None:
        """Takes note that a shard has answered, to a wait perhaps."""
        if waiting and shard in self._cannot_wait:
            self._cannot_wait.discard(shard)
            self._serving.discard(shard)
        if shard not in self._serving:
            self._serving.add(shard)
            if shard not in self._cannot_wait:
                self._outages[shard].succeeded()
                self._tell()

    def _tell(self) -> None:
        lasts = any(outage.lasts for outage in self._outages)
        if lasts != self._told:
            self._told = lasts
            if self.watch is not None:
                self.watch(lasts)

    def _try(self, shard: int) -> None:
        """Raises unless the server can be reached, and finds out whether one can wait there again."""
        self._places[shard][1]()
        if shard in self._cannot_wait:
            with contextlib.suppress(RedisError):  # what waits there is found by looking meanwhile
                self._receiver.try_to_wait(shard)
                self._cannot_wait.discard(shard)

    def _retry(self, shard: int) -> float | None:
        """Tries a server that is left out; returns the seconds to wait before the next attempt, if it fails."""
        try:
            self._try(shard)
        except BaseException as error:  # noqa: BLE001  of a provider of credentials; nobody else tries again
            return self._outages[shard].failed(as_exception(error))
        self.absent.discard(shard)
        self.unblock()
        return None


def _keep_retrying(
    reference: weakref.ref[Reader], shard: int, delay: float | None, closed: SimpleQueue[None]
) -> None:
    """Tries until a reader goes on with a shard, is closed, or is gone: it is held only while it tries."""
    while delay is not None and _is_empty_for(delay, closed):
        reader = reference()
        delay = None if reader is None else reader._retry(shard)
        del reader


def _is_empty_for(seconds: float, closed: SimpleQueue[None]) -> bool:
    try:
        closed.get(timeout=seconds)
    except Empty:
        return True
    closed.put(None)  # for the threads of other shards
    return False
