"""
Memberships of this process in groups, which a thread renews and restores.

A membership lasts for ``lease`` seconds only, so the memberships of a killed process are gone soon. A round renews
all of them four times in that time. In between, a look at one small key, the ledger, shows whether Redis still has
the data. If not, such as after a restart, FLUSHDB or a failover, a round restores the missing memberships.

All requests go through the queue of the joins and discards, in one order: a membership that was discarded cannot come
back. A node of a cluster may refuse a join, or a renewal, and carry out the discard that was sent with it. So such a
request is made again only for the memberships that were not discarded meanwhile.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import TimeoutError as WaitTimeout
from queue import Empty, SimpleQueue
from typing import Any

from redis.exceptions import ConnectionError, TimeoutError

from asgi_redis.aio.attendance import Attendance
from asgi_redis.aio.loop_waker import BlockingResult
from asgi_redis.aio.runner import RequestQueue
from asgi_redis.process import fork
from asgi_redis.wire import Operation
from asgi_redis.wire.memberships import Membership, MembershipOperations

logger = logging.getLogger("asgi_redis")

_LOOK_SECONDS = 5.0  # between two looks at whether the data are still there
_RETRY_SECONDS = 1.0  # after an error
_REPLY_POLL_SECONDS = 1.0  # between two looks at whether to wait on for a reply
_ROUNDS_PER_LEASE = 4
_MAX_BATCH = 250  # memberships in one request, which holds up Redis for 2 ms

Callback = Callable[[], object]


class Memberships:
    """
    The memberships in the groups of one shard.

    The lock of ``attendance`` guards them. ``lease`` is in seconds, ``name`` is for the log.
    """

    def __init__(
        self, queue: RequestQueue, operations: MembershipOperations, attendance: Attendance, lease: float, name: str
    ) -> None:
        self._queue = queue
        self._operations = operations
        self._attendance = attendance
        self._round_seconds = lease / _ROUNDS_PER_LEASE
        self._look_seconds = min(_LOOK_SECONDS, self._round_seconds)
        self._name = name
        self.start_process()
        fork.register(self)

    def start_process(self) -> None:
        """Start with no membership and no thread: both are the parent's."""
        self._joined: dict[tuple[str, str], int] = {}  # the number of the latest join
        self._last = 0
        self._round = 0
        self._round_at = 0.0  # when the next round is due; 0: at once
        self._wakeups: SimpleQueue[Callback | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._ending = False

    @property
    def _lock(self) -> threading.RLock:
        return self._attendance.lock

    # For callers

    async def join(self, group: str, channel: str) -> None:
        """Add a channel of this process to a group."""
        key = group, channel
        loop = asyncio.get_running_loop()
        with self._lock:
            self._start()
            before = self._joined.get(key)
            self._last += 1
            membership = Membership(group, channel, self._last)
            # Redis gets the requests in the order in which they are made here.
            operation = self._operations.join(membership, functools.partial(self._join_again, membership))
            joining = self._queue.submit(operation, loop.create_future())
            self._joined[key] = membership.number
            if before is None:
                self._attendance.joined(channel)
                if len(self._joined) == 1:
                    self._wakeups.put(None)  # the thread sleeps until there is one
        try:
            await joining
        except BaseException:
            if before is None:
                self._remove(membership)
            raise

    def _join_again(self, membership: Membership) -> Operation | None:
        return self._operations.join(membership) if self._is_current(membership) else None

    def leave(self, group: str, channel: str) -> None:
        """Renew a membership no longer; to be called before it is discarded."""
        with self._lock:
            if self._joined.pop((group, channel), None) is not None:
                self._attendance.left_group(channel)

    def forget(self) -> None:
        """Renew no membership any longer."""
        with self._lock:
            for group, channel in list(self._joined):
                self.leave(group, channel)

    async def forget_at_once(self) -> None:
        """Renew no membership any longer, also by no request that is on its way."""
        self.forget()
        if self._thread is not None:
            # Requests are served in order: this one comes behind them.
            await self._queue.submit(self._operations.look(), asyncio.get_running_loop().create_future())

    def restore(self, then: Callback) -> None:
        """Restore lost memberships now, then call ``then``, which must not raise."""
        with self._lock:
            if self._thread is not None and self._joined:
                self._wakeups.put(then)
                return
        then()

    def _remove(self, membership: Membership) -> bool:
        """Forget a membership, unless it was joined anew."""
        with self._lock:
            current = self._is_current(membership)
            if current:
                self.leave(membership.group, membership.channel)
            return current

    def _is_current(self, membership: Membership) -> bool:
        with self._lock:
            return self._joined.get((membership.group, membership.channel)) == membership.number

    # The thread

    def _start(self) -> None:
        if self._thread is None:
            self._ending = False
            thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            thread.start()  # may raise, and then it is not there
            self._thread = thread

    def end(self) -> None:
        """Let the thread end, soon. For finalisers, which must not take a lock."""
        self._ending = True
        self._wakeups.put(None)

    def close(self, timeout: float) -> None:
        """Forget all memberships, and end the thread within ``timeout`` seconds."""
        with self._lock:
            self.forget()
            thread = self._thread
            self.end()
        if thread is not None:
            thread.join(timeout)

    def _run(self) -> None:
        delay: float | None = None
        logged = ""
        try:
            while True:
                callbacks = self._sleep(delay)
                if self._ending:
                    return
                try:
                    delay = self._attend()
                    logged = ""
                except BaseException as error:
                    if self._ending:
                        return
                    delay = min(self._round_seconds, _RETRY_SECONDS * random.uniform(0.5, 1.0))
                    if not isinstance(error, (ConnectionError, TimeoutError)) and repr(error) != logged:
                        logged = repr(error)
                        logger.exception("%s: memberships of groups cannot be renewed", self._name)
                for callback in callbacks:
                    callback()
        finally:
            with self._lock:
                self._thread = None

    def _sleep(self, delay: float | None) -> list[Callback]:
        """Wait, and return the functions that are to be called after the next look."""
        callbacks = []
        try:
            callback = self._wakeups.get(timeout=delay)
            while True:
                if callback is not None:
                    callbacks.append(callback)
                callback = self._wakeups.get_nowait()
        except Empty:
            return callbacks

    def _attend(self) -> float | None:
        """Look or renew; return the seconds until the next time, None for no membership."""
        with self._lock:
            if not self._joined:
                return None
            last, looking = self._last, self._ask(self._operations.look())
        if self._result_of(looking) != (self._round, last) or time.monotonic() >= self._round_at:
            self._renew()
        return max(0.0, min(self._look_seconds, self._round_at - time.monotonic()))

    def _renew(self) -> None:
        while not self._ending and not self._make_round():
            logger.info("%s: Redis has lost its data again while memberships were put back", self._name)

    def _make_round(self) -> bool:
        """Renew all memberships; return whether Redis has all of them then."""
        self._round += 1
        self._round_at = time.monotonic() + self._round_seconds
        with self._lock:
            keys, last = sorted(self._joined), self._last
            beginning = self._ask(self._operations.begin(last, self._round))
        self._result_of(beginning)
        removed = 0
        for start in range(0, len(keys), _MAX_BATCH):
            with self._lock:
                present = [key for key in keys[start : start + _MAX_BATCH] if self._is_wanted(key)]
                renewal = self._renewal(present)
                renewing = None if renewal is None else self._ask(renewal)
            if renewing is not None:
                removed += sum([self._remove(membership) for membership in self._result_of(renewing) or ()])
        if removed:
            logger.info("%s: %s memberships were removed by other processes", self._name, removed)
        ended: bool = self._result_of(self._ask(self._operations.end(last, self._round)))
        return ended

    def _renewal(self, keys: Sequence[tuple[str, str]]) -> Operation | None:
        """Return the request to renew memberships, without the discarded ones."""
        with self._lock:
            memberships = [Membership(*key, self._joined[key]) for key in keys if key in self._joined]
        if not memberships:
            return None
        return self._operations.renew(memberships, functools.partial(self._renewal, keys))

    def _is_wanted(self, key: tuple[str, str]) -> bool:
        """Whether to renew a membership; forget it where its channel is not received from."""
        if key not in self._joined:
            return False
        if self._attendance.is_present(key[1]):
            return True
        self.leave(*key)
        return False

    def _ask(self, operation: Operation) -> BlockingResult[Any]:
        return self._queue.submit(operation, BlockingResult())

    def _result_of(self, asked: BlockingResult[Any]) -> Any:
        while True:
            try:
                return asked.result(_REPLY_POLL_SECONDS)
            except WaitTimeout:
                if asked.done() or self._ending:  # the pipeline may have ended before this was asked
                    raise


def restore_all(memberships: Sequence[Memberships], then: Callback) -> None:
    """Restore lost memberships on all shards, then call ``then``."""
    left, lock = len(memberships), threading.Lock()

    def done() -> None:
        nonlocal left
        with lock:
            left -= 1
            is_last = not left
        if is_last:
            then()

    for one in memberships:
        one.restore(done)
