"""The store of ``IPCChannelLayer``: every step is one transaction on memory that all processes share."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import lmdb

from asgi_redis.engine.stores.lmdb import groups, sharing, statistics, waiters
from asgi_redis.engine.stores.lmdb.environment import FEW, Environment, Full, Narrow, Replaced
from asgi_redis.engine.stores.lmdb.listener import LMDBListener
from asgi_redis.engine.stores.lmdb.queues import HOUR, purge, retire
from asgi_redis.engine.stores.lmdb.reading import take
from asgi_redis.engine.stores.lmdb.records import (
    ABOUT_KEY,
    MEMBER,
    STATE,
    State,
    group_key,
    now,
    pack_message,
    pack_state,
    queue_key,
    unpack_state,
)
from asgi_redis.engine.stores.lmdb.sweeper import Sweeper
from asgi_redis.engine.stores.lmdb.waiters import wake_one
from asgi_redis.engine.stores.store import ChannelCounters, Counters, Entry
from asgi_redis.exceptions import ChannelFull
from asgi_redis.process import fork

T = TypeVar("T")
Push = tuple[str, str, bytes, int]

_SHORT = 1024  # bytes of a message that takes no more pages than are kept spare
_ANY = 1 << 62
_EASE = 1 << 18  # bytes of room that are made at a time: not a few with each message
_OVERHEAD = 512  # bytes that a message takes beside its own, at most, if its queue is new


class LMDBStore:
    """
    A store in the memory of this machine, in ``directory``, for all processes of this user.

    ``max_bytes`` bounds the pages in use. ``repair``: makes it anew where there is none, or one that cannot be used
    and that nobody uses.
    """

    def __init__(self, directory: Path, max_bytes: int, repair: bool = True) -> None:
        self.directory = directory
        self.max_bytes = max_bytes
        self._repair = repair
        self._environment: Environment | None = None
        self._user = object()
        weakref.finalize(self, sharing.abandoned.append, self._user).atexit = False
        self._sweeper = Sweeper(directory)

    # Messages

    def push(self, entries: Sequence[Push], expiry: float) -> list[bool | None]:
        """Puts each message into its queue; returns which were put. False: it is full; None: no room is left."""
        try:
            pushed = self.transact(self._push, entries, expiry)
            while pushed is None:
                pushed = self.transact(self._push, entries, expiry, _EASE)
            return pushed
        except Full:
            if len(entries) <= FEW:
                return self.transact(self._refuse, entries)
            middle = len(entries) // 2
            return self.push(entries[:middle], expiry) + self.push(entries[middle:], expiry)

    def _push(
        self, environment: Environment, txn: Any, entries: Sequence[Push], expiry: float, ease: int = 0
    ) -> list[bool | None] | None:
        """Returns None when room was made, and there may be enough, and ``ease`` bytes, in the next transaction."""
        at = now()
        if at >= environment.check_at:
            environment.check(at)
        if at >= self._sweeper.next:
            self._sweeper.sweep(txn, at)
        room = _ANY  # small steps need not look at it
        if txn.id() >= environment.look_at or len(entries) > 1 or len(entries[0][2]) > _SHORT:
            needed = sum([len(message) + _OVERHEAD for _, _, message, _ in entries])
            room = environment.room(txn, needed)
            if room < needed + ease and self._sweeper.press(txn, at):
                return None
            if environment.changeable(len(entries)) < len(entries):
                raise environment.full()
        pushed: list[bool | None] = []
        for queue, channel, message, capacity in entries:
            room -= len(message) + _OVERHEAD
            key = queue_key(queue)
            value = txn.get(key)
            if value is None:
                head = tail = expired = sent = refused = 0
                mailboxes = b""
            else:
                head, tail, expired, sent, refused, last, _ = unpack_state(value)
                mailboxes = value[STATE.size :]
                if at - last > HOUR:
                    retire(txn, State.of(value))
                    expired = sent = refused = 0
                if tail - head >= capacity:
                    first = purge(txn, key, head, tail, at - expiry, tail - head - capacity + 8)
                    expired += first - head
                    head = first
            if tail - head < capacity and room > 0:
                local = channel[len(queue) :].encode()
                txn.put(key + tail.to_bytes(8, "big"), pack_message(at, len(local)) + local + message)
                tail += 1
                sent += 1
                pushed.append(True)
                if mailboxes:
                    mailboxes = wake_one(environment, txn, queue.encode(), mailboxes)
            else:
                refused += 1
                pushed.append(False if tail - head >= capacity else None)
            txn.put(key, pack_state(head, tail, expired, sent, refused, at, expiry) + mailboxes)
        return pushed

    def _refuse(self, environment: Environment, txn: Any, entries: Sequence[Push]) -> list[bool | None]:
        at = now()
        for queue, *_ in entries:
            key = queue_key(queue)
            value = txn.get(key)
            state = State.of(value) if value else State()
            txn.put(key, state._replace(refused=state.refused + 1, last=at).to_bytes((value or b"")[STATE.size :]))
        return [None] * len(entries)

    def pop(
        self, queues: Sequence[str], limit: int, expiry: float, limits: Mapping[str, int] | None = None
    ) -> list[tuple[str, Entry]]:
        """Takes up to ``limit`` messages, one of each queue in turn, and no more than ``limits[queue]`` of one."""
        while True:
            taken, rest = self.transact(take, queues, limit, expiry, limits)
            if taken or rest is not None:
                return taken

    # Groups

    def group_add(self, group: str, channel: str, group_expiry: float) -> None:
        """Adds ``channel`` to ``group``, or renews it. Raises ``ChannelFull`` when no room is left."""
        try:
            while not self.transact(self._group_add, group_key(group) + channel.encode(), group_expiry):
                pass  # room was made
        except Full as error:
            raise ChannelFull(str(error)) from error

    def _group_add(self, environment: Environment, txn: Any, key: bytes, group_expiry: float) -> bool:
        at = now()
        environment.check(at)
        if at >= self._sweeper.next:
            self._sweeper.sweep(txn, at)
        if txn.id() >= environment.look_at and environment.room(txn) < _OVERHEAD:
            if self._sweeper.press(txn, at):
                return False
            raise ChannelFull(f"the IPC store in {self.directory} has used up its {environment.max_bytes} bytes")
        txn.put(key, MEMBER.pack(at, at + group_expiry))
        return True

    def group_discard(self, group: str, channel: str) -> None:
        """Removes ``channel`` from ``group``, if it is in there."""
        self.transact(lambda environment, txn: txn.delete(group_key(group) + channel.encode()))

    def group_channels(self, group: str, group_expiry: float) -> list[str]:
        """Returns the members of ``group`` that were added within ``group_expiry`` seconds."""
        channels: list[str] = []
        key = group_key(group)
        start: bytes | None = key
        while start is not None:
            some, start = self.transact(groups.members, key, group_expiry, start)
            channels += some
        return channels

    # Statistics and flush

    def channel_statistics(self, queue: str, expiry: float) -> ChannelCounters:
        """See ``Store``."""
        return self.transact(statistics.of_channel, queue_key(queue), expiry)

    def global_statistics(self) -> Counters:
        """See ``Store``."""
        return self.transact(statistics.of_all)

    def contents(self) -> tuple[int, int, int]:
        """Returns how many messages there are, how many groups, and how many bytes of memory it takes."""
        return self.transact(statistics.contents)

    def flush(self) -> None:
        """Removes all messages, groups and counters. Who waits goes on waiting."""
        self.transact(self._flush)

    def _flush(self, environment: Environment, txn: Any) -> None:
        environment.check(now())
        about = txn.get(ABOUT_KEY)
        waiting = [(key, State().to_bytes(mailboxes)) for key, _, mailboxes in statistics.states(txn) if mailboxes]
        waiting += waiters.records(txn)
        txn.drop(environment.lmdb.open_db(txn=txn), delete=False)
        txn.put(ABOUT_KEY, about)
        for key, value in waiting:
            txn.put(key, value)

    # Waiting

    def listen(self, queues: Sequence[str]) -> LMDBListener:
        """Returns what waits for messages in any of ``queues``, to be used in a ``with`` statement."""
        return LMDBListener(self, queues)

    # Transactions

    def transact(self, work: Callable[..., T], *arguments: Any) -> T:
        """Returns ``work(environment, txn, *arguments)``, done in one transaction, under the writer's lock."""
        while True:
            environment = self.environment()
            try:
                with environment.lock:
                    if environment.busy:
                        environment.check_idle()
                    environment.busy = True
                    try:
                        if environment.closed:
                            continue
                        with environment.lmdb.begin(write=True) as txn:
                            return work(environment, txn, *arguments)
                    except lmdb.MapResizedError:
                        environment.adopt_length()
                    except Narrow as narrow:
                        environment.grow(*narrow.args)
                    except lmdb.MapFullError as error:
                        if not environment.grow(bounded=work == self._push):
                            raise environment.full() from error
                    except Exception as error:
                        if environment.closed:
                            raise fork.forked() from error
                        raise
                    finally:
                        environment.busy = False
            except Replaced:
                environment.close()

    def environment(self) -> Environment:
        """Returns the environment, opened anew if it is closed."""
        fork.check()
        environment = self._environment
        if environment is None or not environment.is_current:
            environment = sharing.use(self.directory, self.max_bytes, self._user, self._repair)
            self._environment = environment
        return environment

    def close(self) -> None:
        """Closes it for this object, which stays usable and opens it again."""
        environment, self._environment = self._environment, None
        if environment is not None:
            sharing.leave(environment, self._user)
