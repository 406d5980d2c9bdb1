"""Health of the servers of one layer: which of them answer, as seen by the layer's readers."""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Protocol
from weakref import WeakSet

from redis.exceptions import RedisError

from asgi_redis.connection import as_exception
from asgi_redis.connection.redis_py import is_wrong_type
from asgi_redis.engine.outage import Outage
from asgi_redis.engine.receive_call import Source, Turn
from asgi_redis.engine.wrong_type_keys import WrongTypeKeys
from asgi_redis.process import fork


class Reads(Protocol):
    """What reads from the servers."""

    def unblock(self) -> None:
        """Ends a read that waits, or else the next one."""


class Health:
    """
    The servers that fail are left out, tried again in the background, and taken in again.

    An outage makes two lines in the log, however many read from the server. ``others`` are further places that
    messages are taken from, numbered after the shards: what the log calls each, and a call that raises unless it can
    be reached. ``try_to_wait`` raises unless one can wait at the shard of a number.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        self.watch: Callable[[bool], object] | None = None
        """Is called with True when an outage begins, and with False when all the servers serve again."""
        self._sources = sources
        self._wrong_type = WrongTypeKeys(sources)
        self.start_process()
        fork.register(self)

    def start_process(self) -> None:
        """Starts without knowing of any outage: the threads that try again are the parent's."""
        self.absent: set[int] = set()
        """The numbers of those that are left out."""
        self.serving: set[int] = set()
        """The numbers of those that have answered."""
        self.error: Exception | None = None
        """Why a server was left out, the last time that one was."""
        self._cannot_wait: set[int] = set()  # where a wait has failed, and none has succeeded since
        self._outages = [Outage(source.name) for source in self._sources]
        # The delays of those that are left out, and that no thread tries again as yet: none is needed until another
        # call is made, or one waits.
        self._untried: dict[int, float] = {}
        self._told = False
        self._readers: WeakSet[Reads] = WeakSet()
        self._lock = threading.Lock()
        self._open()

    def _open(self) -> None:
        self._closed: SimpleQueue[None] = SimpleQueue()  # whose ``put`` may be called from a finaliser
        weakref.finalize(self, self._closed.put, None).atexit = False

    def attach(self, reader: Reads) -> None:
        """Has ``reader`` unblocked when a server comes back."""
        with self._lock:
            self._readers.add(reader)
            if not self._closed.empty():
                self._untried.update(dict.fromkeys(self.absent, 0.0))
                self._open()

    def detach(self, reader: Reads) -> None:
        """Tries no longer to reach servers that fail when nothing reads from them any more."""
        with self._lock:
            self._readers.discard(reader)
            if not self._readers:
                self._closed.put(None)

    @property
    def needs_look(self) -> bool:
        """Whether a server is new or has come back, and is to show at once that it serves messages."""
        if not (self.serving or self.absent):
            return True
        return self._told and any(
            outage.lasts and number not in self.absent for number, outage in enumerate(self._outages)
        )

    def readable(self, turn: Turn, waits: bool) -> Turn:
        """Returns what of the shards and their keys can be read at present; ``waits``: by a call that waits."""
        if self.absent:
            if waits and self._untried:
                self._start_retrying()
            turn = [one for one in turn if one[0] not in self.absent]
        return self._wrong_type.without(turn)

    def failed(self, number: int, error: Exception, keys: Sequence[bytes], waiting: bool) -> bool:
        """
        Leaves a server out, or those of ``keys`` that are no queues, and tries again in a while.

        ``waiting`` is whether it was a wait that has failed. The outage lasts until one succeeds then, however often
        something else does. Returns whether the server was left out.
        """
        if is_wrong_type(error) and self._wrong_type.find(number, keys):
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
        self._tell()
        return True

    def _start_retrying(self) -> None:
        with self._lock:
            untried, self._untried = self._untried, {}
        for number, delay in untried.items():
            name = f"outage of {self._sources[number].name}"
            arguments = (weakref.ref(self), number, delay, self._closed)
            try:
                threading.Thread(target=_keep_retrying, args=arguments, name=name, daemon=True).start()
            except RuntimeError:  # there may be no more threads: the next call is to come upon the error again
                self.absent.difference_update(untried)
                raise

    def served(self, number: int, waiting: bool) -> None:
        """Takes note that a server has answered, to a wait perhaps."""
        if number in self.serving and not (waiting and number in self._cannot_wait):
            return
        with self._lock:
            if number in self.absent:
                return  # what has failed since was asked later
            if waiting:
                self._cannot_wait.discard(number)
            self.serving.add(number)
            if number not in self._cannot_wait:
                self._outages[number].succeeded()
        self._tell()

    def retry(self) -> None:
        """Tries at once whether the servers that are left out can be reached. Raises nothing."""
        for number in list(self.absent):
            try:
                self._try(number)
            except Exception as error:  # noqa: BLE001  whatever it is, it is for who asks why
                self.error = error
            else:
                self.absent.discard(number)
                self._untried.pop(number, None)

    def _tell(self) -> None:
        with self._lock:
            lasts = any(outage.lasts for outage in self._outages)
            is_news, self._told = lasts != self._told, lasts
        if is_news and self.watch is not None:
            self.watch(lasts)

    def _try(self, number: int) -> None:
        """Raises unless the server can be reached, and finds out whether one can wait there again."""
        source = self._sources[number]
        source.probe()
        if number in self._cannot_wait:
            with contextlib.suppress(RedisError):  # messages that wait there are found by looking meanwhile
                source.try_to_wait()
                self._cannot_wait.discard(number)

    def _retry(self, number: int) -> float | None:
        """Tries a server that is left out; returns the seconds to wait before the next attempt, if it fails."""
        try:
            self._try(number)
        except BaseException as error:  # noqa: BLE001  of a provider of credentials; nothing else tries again
            return self._outages[number].failed(as_exception(error))
        self.absent.discard(number)
        for reader in list(self._readers):
            reader.unblock()
        return None


def _keep_retrying(
    reference: weakref.ref[Health], number: int, delay: float | None, closed: SimpleQueue[None]
) -> None:
    """Tries until a server is taken in again, or nothing reads any more: what reads is held only while it tries."""
    while delay is not None and _is_empty_for(delay, closed):
        health = reference()
        delay = None if health is None else health._retry(number)
        del health


def _is_empty_for(seconds: float, closed: SimpleQueue[None]) -> bool:
    try:
        closed.get(timeout=seconds)
    except Empty:
        return True
    closed.put(None)  # for the threads of other servers
    return False
