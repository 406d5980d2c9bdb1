"""Somebody who waits for messages in the queues of a store."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from asgi_redis.stores.lmdb import mailbox
from asgi_redis.stores.lmdb.environment import Environment
from asgi_redis.stores.lmdb.mailbox import Mailbox
from asgi_redis.stores.lmdb.records import STATE, State, queue_key

if TYPE_CHECKING:
    from asgi_redis.stores.lmdb.store import LMDBStore

_MOST_KEPT = 64  # registrations that are kept though this listener does not need them


class LMDBListener:
    """
    Has a mailbox for as long as it waits.

    Mailboxes are kept for the next listener, with what they are registered with: most often that is the same.
    """

    def __init__(self, store: LMDBStore, queues: Iterable[str]) -> None:
        self._store = store
        self._queues = set(queues)
        self._take_mailbox()
        unneeded = self._mailbox.registered - self._queues
        if len(unneeded) > _MOST_KEPT:
            store.transact(_unregister, self._mailbox, unneeded)
            self._mailbox.registered -= unneeded
        self.clear()

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
        """Returns what to poll: readable once one of the queues may have got something, or after ``wake``."""
        return self._mailbox.socket.fileno()

    def clear(self) -> None:
        """Makes it unreadable. To be called before looking for messages."""
        while True:
            self._mailbox.drain()
            missing = self._queues - self._mailbox.registered
            environment = self._store.transact(_register, self._mailbox, missing)
            if environment is self._environment:
                self._mailbox.registered |= missing
                return
            # The files were removed, the sockets with them.
            self.__exit__()
            self._take_mailbox()

    def wake(self) -> None:
        """Makes it readable. For any thread and signal handler."""
        self._mailbox.ring()

    def __enter__(self) -> LMDBListener:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._environment.mailboxes.give_back(self._mailbox)


def _register(environment: Environment, txn: Any, box: Mailbox, queues: Iterable[str]) -> Environment:
    environment.check_now()
    for queue in queues:
        key = queue_key(queue)
        value = txn.get(key) or State().to_bytes(b"")
        txn.put(key, value[: STATE.size] + mailbox.add(value[STATE.size :], box.id))
    return environment


def _unregister(environment: Environment, txn: Any, box: Mailbox, queues: Iterable[str]) -> None:
    for queue in queues:
        key = queue_key(queue)
        value = txn.get(key)
        if value is not None:
            txn.put(key, value[: STATE.size] + mailbox.without(value[STATE.size :], box.id))
