"""A receiver that waits for messages in the queues of a store."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import lmdb

from asgi_redis.engine.stores.lmdb import waiters
from asgi_redis.engine.stores.lmdb.environment import Environment
from asgi_redis.engine.stores.lmdb.messages import take
from asgi_redis.engine.stores.lmdb.queues import discard
from asgi_redis.engine.stores.lmdb.records import Txn
from asgi_redis.engine.stores.lmdb.sharing import EnvironmentUser
from asgi_redis.engine.stores.store import Taken
from asgi_redis.exceptions import UnusableStore
from asgi_redis.wire.message import Limits

logger = logging.getLogger("asgi_redis")


class LMDBListener:
    """Waits at a wakeup socket, which is kept for the next listener."""

    look_seconds = waiters.LOOK_SECONDS

    def __init__(self, store: EnvironmentUser, queues: Sequence[str]) -> None:
        self._store = store
        self._queues = queues
        self._waits = False
        self._acquire_socket()

    def _acquire_socket(self) -> None:
        while True:
            self._environment = self._store.environment()
            try:
                self._wakeup = self._environment.sockets.acquire()
            except FileNotFoundError:
                self._environment.close()  # the store has been removed since
            else:
                return

    def fileno(self) -> int:
        """Return the socket to poll."""
        return self._wakeup.socket.fileno()

    def pop(self, queues: Sequence[str], limit: int, expiry: float, limits: Limits = None) -> Taken:
        """Take messages; begin to wait where there is none."""
        while True:
            if self._waits:
                self._wakeup.clear()  # before it is noted that it waits, so that no later datagram is missed
            self._waits = True
            taken, complete, environment = self._store.transact(
                _take_or_wait, self._environment, self._wakeup.address, queues, limit, expiry, limits
            )
            if environment is not self._environment:
                # The files were removed, the sockets with them.
                self._environment.sockets.release(self._wakeup)
                self._acquire_socket()
            elif taken:
                self._waits = False
                return taken
            elif complete:
                return taken

    def wake(self) -> None:
        """Make it readable; for any thread, and for signal handlers."""
        self._wakeup.wake()

    def __enter__(self) -> LMDBListener:
        return self

    def __exit__(self, *exc_info: object) -> None:
        try:
            if self._waits and self._environment.is_current:
                self._waits = False
                self._store.transact(_end, self._environment, self._wakeup.address, self._queues)
        except (OSError, lmdb.Error, UnusableStore) as error:
            # Messages that were received meanwhile are not lost for that. The next one may wake this socket in vain.
            logger.warning("the IPC store in %s cannot be left: %s", self._store.directory, error)
        finally:
            self._environment.sockets.release(self._wakeup)


def _take_or_wait(
    environment: Environment,
    txn: Txn,
    at: float,
    own: Environment,
    address: bytes,
    queues: Sequence[str],
    limit: int,
    expiry: float,
    limits: Limits,
) -> tuple[Taken, bool, Environment]:
    if environment is not own:
        return [], False, environment
    taken, complete = take(environment, txn, at, queues, limit, expiry, limits)
    if taken:
        waiters.end(environment.sockets, txn, address, [queue for queue, _, _ in taken])
    elif complete:
        environment.data.check_replaced()
        waiters.start(txn, address, queues)
    return taken, complete, environment


def _end(
    environment: Environment, txn: Txn, at: float, own: Environment, address: bytes, queues: Sequence[str]
) -> None:
    if environment is own:
        waiters.end(environment.sockets, txn, address)
        for queue in queues:
            if "?" in queue:
                discard(txn, queue, address)
