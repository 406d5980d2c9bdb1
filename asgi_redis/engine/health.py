"""The health of a layer's sources: which of them answer its readers."""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Protocol
from weakref import WeakSet

from redis.exceptions import RedisError

from asgi_redis.connection import as_exception
from asgi_redis.connection.redis_py import is_wrong_type
from asgi_redis.engine.outage import Outage, OutageLog
from asgi_redis.engine.receive_call import Source, Turn
from asgi_redis.engine.wrong_type_keys import WrongTypeKeys
from asgi_redis.exceptions import ChannelLayerError
from asgi_redis.process import fork


class Unblockable(Protocol):
    """A reader, as far as its health knows it."""

    def unblock(self) -> None:
        """End a read that waits, or else the next one."""


class Health:
    """
    Leaves sources that fail out, and tries them in the background until they serve.

    An outage makes two lines in the log, however many readers share the health, and one of a cluster, however many
    shards it has. Sources are known by their numbers.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        self.watch: Callable[[bool], object] | None = None
        """Is called with True when an outage begins, and with False when all sources serve again."""
        self._sources = sources
        self._wrong_type = WrongTypeKeys(sources)
        self.start_process()
        fork.register(self)

    def start_process(self) -> None:
        """Start without outages: the threads that try again are the parent's."""
        self.absent: set[int] = set()
        """The sources that are left out."""
        self.serving: set[int] = set()
        """The sources that have answered."""
        self.error: Exception | None = None
        """The error for which a source was last left out."""
        self._cannot_wait: set[int] = set()  # where a wait has failed, and none has succeeded since
        places = [str(source.place) for source in self._sources]
        logs = {place: OutageLog(place, number) for place, number in Counter(places).items()}
        self._outages = [Outage(logs[place]) for place in places]
        # The delays of absent sources that no thread tries again yet: none is needed until another call is made, or
        # a call waits.
        self._untried: dict[int, float] = {}
        self._has_notified = False
        self._readers: WeakSet[Unblockable] = WeakSet()
        self._lock = threading.Lock()
        self._open()

    def _open(self) -> None:
        self._closed: SimpleQueue[None] = SimpleQueue()  # whose ``put`` may be called from a finaliser
        weakref.finalize(self, self._closed.put, None).atexit = False

    def attach(self, reader: Unblockable) -> None:
        """Have ``reader`` unblocked when a source comes back."""
        with self._lock:
            self._readers.add(reader)
            if not self._closed.empty():
                self._untried.update(dict.fromkeys(self.absent, 0.0))
                self._open()

    def detach(self, reader: Unblockable) -> None:
        """End the attempts to reach sources when no reader is left."""
        with self._lock:
            self._readers.discard(reader)
            if not self._readers:
                self._closed.put(None)

    @property
    def needs_look(self) -> bool:
        """Whether a source is new or has come back, and is to show at once that it serves."""
        if not (self.serving or self.absent):
            return True
        return self._has_notified and any(
            outage.lasts and number not in self.absent for number, outage in enumerate(self._outages)
        )

    def readable(self, turn: Turn, waits: bool) -> Turn:
        """Return the sources and queues that can be read at present."""
        if self.absent:
            if waits and self._untried:
                self._start_retrying()
            turn = [one for one in turn if one[0] not in self.absent]
        return self._wrong_type.without(turn)

    def failed(self, number: int, error: Exception, queues: Sequence[bytes], waiting: bool) -> bool:
        """
        Leave a source out, or those of ``queues`` whose keys are none.

        ``waiting``: a wait has failed; then the outage lasts until a wait succeeds. Returns whether the source was
        left out.
        """
        if is_wrong_type(error) and self._wrong_type.find(number, queues):
            self.served(number, waiting=False)
            return False
        with self._lock:
            if waiting:
                self._cannot_wait.add(number)
            self.serving.discard(number)
            self.error = error
            if number not in self.absent:
                self._untried[number] = self._outages[number].failed(error)
                self.absent.add(number)
        self._notify()
        return True

    def _start_retrying(self) -> None:
        with self._lock:
            untried, self._untried = self._untried, {}
        for number, delay in untried.items():
            name = f"outage of {self._sources[number].name}"
            arguments = (weakref.ref(self), number, delay, self._closed)
            try:
                threading.Thread(target=_keep_retrying, args=arguments, name=name, daemon=True).start()
            except RuntimeError:  # there may be no more threads: the next call is to meet the error again
                self.absent.difference_update(untried)
                raise

    def served(self, number: int, waiting: bool) -> None:
        """Note that a source has answered; ``waiting``: to a wait."""
        if number in self.serving and not (waiting and number in self._cannot_wait):
            return
        with self._lock:
            if number in self.absent:
                return  # a request that has failed since was sent later
            if waiting:
                self._cannot_wait.discard(number)
            self.serving.add(number)
            if number not in self._cannot_wait:
                self._outages[number].succeeded()
        self._notify()

    def retry(self) -> None:
        """Try at once to reach the sources that are left out. Raises nothing."""
        for number in list(self.absent):
            try:
                self._try(number)
            except Exception as error:  # noqa: BLE001  a store has its own errors; the reader tells them
                self.error = error
            else:
                self.absent.discard(number)
                self._untried.pop(number, None)

    def _notify(self) -> None:
        with self._lock:
            lasts = any(outage.lasts for outage in self._outages)
            is_news, self._has_notified = lasts != self._has_notified, lasts
        if is_news and self.watch is not None:
            self.watch(lasts)

    def _try(self, number: int) -> None:
        """Raise an error unless the source can be reached; see whether one can wait there."""
        source = self._sources[number]
        source.probe()
        if number in self._cannot_wait:
            with contextlib.suppress(RedisError):  # messages that wait there are found by looking meanwhile
                source.try_to_wait()
                self._cannot_wait.discard(number)

    def retry_later(self, number: int) -> float | None:
        """Try a source; return the seconds until the next attempt, if it fails."""
        try:
            self._try(number)
        except ChannelLayerError:
            pass  # no outage: the reader's next call is to raise it
        except BaseException as error:  # noqa: BLE001  of a provider of credentials; no other thread tries again
            return self._outages[number].failed(as_exception(error))
        self.absent.discard(number)
        for reader in list(self._readers):
            reader.unblock()
        return None


def _keep_retrying(
    reference: weakref.ref[Health], number: int, delay: float | None, closed: SimpleQueue[None]
) -> None:
    """Try until a source is back, or no reader is left: they are held only meanwhile."""
    while delay is not None and _is_empty_for(delay, closed):
        health = reference()
        delay = None if health is None else health.retry_later(number)
        del health


def _is_empty_for(seconds: float, closed: SimpleQueue[None]) -> bool:
    try:
        closed.get(timeout=seconds)
    except Empty:
        return True
    closed.put(None)  # for the threads of other sources
    return False
