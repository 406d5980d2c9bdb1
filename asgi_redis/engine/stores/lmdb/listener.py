"""A receiver that waits for messages in the queues of a store."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import lmdb

from asgi_redis.engine.stores.lmdb import waiters
from asgi_redis.engine.stores.lmdb.environment import Environment
from asgi_redis.engine.stores.lmdb.queues import leave
from asgi_redis.engine.stores.lmdb.reading import Taken, take
from asgi_redis.engine.stores.lmdb.records import is_single_use, queue_key
from asgi_redis.engine.stores.lmdb.waiters import LOOK_SECONDS
from asgi_redis.exceptions import UnusableStore

if TYPE_CHECKING:
    from asgi_redis.engine.stores.lmdb.store import LMDBStore

logger = logging.getLogger("asgi_redis")


class LMDBListener:
    """Waits at a mailbox, which is kept for the next listener."""

    look_seconds = LOOK_SECONDS

    def __init__(self, store: LMDBStore, queues: Sequence[str]) -> None:
        self._store = store
        self._queues = queues
        self._waits = False
        self._take_mailbox()

    def _take_mailbox(self) -> None:
        while True:
            self._environment = self._store.environment()
            try:
                self._mailbox = self._environment.mailboxes.take()
            except FileNotFoundError:
                self._environment.close()  # the store has been removed since
            else:
                return

    def fileno(self) -> int:
        """See ``Listener``."""
        return self._mailbox.socket.fileno()

    def pop(self, queues: Sequence[str], limit: int, expiry: float, limits: Mapping[str, int] | None = None) -> Taken:
        """See ``Listener``."""
        readable = True  # perhaps
        if not self._waits:
            self._mailbox.drain()
            self._waits, readable = True, False
        while True:
            taken, stopped, environment = self._store.transact(
                _take_or_wait, self._environment, self._mailbox.id, readable, queues, limit, expiry, limits
            )
            if environment is not self._environment:
                # The files were removed, the sockets with them.
                self._environment.mailboxes.give_back(self._mailbox)
                self._take_mailbox()
            elif taken:
                self._waits = False
                return taken
            elif readable:
                self._mailbox.drain()  # woken for nothing
                readable = False
            elif not stopped:
                return taken

    def wake(self) -> None:
        """See ``Listener``."""
        self._mailbox.ring()

    def __enter__(self) -> LMDBListener:
        return self

    def __exit__(self, *exc_info: object) -> None:
        try:
            if self._waits and self._environment.is_current:
                self._waits = False
                self._store.transact(_end, self._environment, self._mailbox.id, self._queues)
        except (OSError, lmdb.Error, UnusableStore) as error:
            # What was received meanwhile is not lost for that. The next message may wake this one, for nothing.
            logger.warning("the IPC store in %s cannot be left: %s", self._store.directory, error)
        finally:
            self._environment.mailboxes.give_back(self._mailbox)


def _take_or_wait(
    environment: Environment,
    txn: Any,
    own: Environment,
    mailbox: bytes,
    readable: bool,
    queues: Sequence[str],
    limit: int,
    expiry: float,
    limits: Mapping[str, int] | None,
) -> tuple[Taken, bool, Environment]:
    if not readable:
        environment.check_now()
    if environment is not own:
        return [], True, environment
    taken, unregistered = take(environment, txn, queues, limit, expiry, limits, mailbox)
    if taken:
        waiters.end(environment, txn, mailbox, [queue for queue, _ in taken])
    elif not readable and unregistered is not None:
        waiters.start(txn, mailbox, unregistered)
    return taken, unregistered is None, environment


def _end(environment: Environment, txn: Any, own: Environment, mailbox: bytes, queues: Sequence[str]) -> None:
    if environment is own:
        waiters.end(environment, txn, mailbox)
        for key in map(queue_key, queues):
            if is_single_use(key):
                leave(txn, key, mailbox)
