"""
The memberships of one process in the groups of one shard, which a thread renews, and puts back when they are lost.

A membership lasts for ``lease`` seconds only, so that one of a process that was killed is gone soon. A round renews
all of them four times in that time. In between, a look at one small key, the ledger, shows whether Redis still has
the data: if not, such as after a restart, FLUSHDB or a failover, a round puts back what is missing.

All requests go through the pipeline that carries joins and discards, in one order: a membership that was discarded
cannot come back.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import TimeoutError as WaitTimeout
from queue import Empty, SimpleQueue
from typing import Any

from redis.exceptions import ConnectionError, TimeoutError

from asgi_redis.aio.attendance import Attendance
from asgi_redis.aio.runner import Pipeline, Result
from asgi_redis.process import fork
from asgi_redis.wire import MembershipOperations, Operation
from asgi_redis.wire.memberships import Membership

logger = logging.getLogger("asgi_redis")

_LOOK_SECONDS = 5.0  # between two looks at whether the data are still there
_RETRY_SECONDS = 1.0  # after an error
_END_SECONDS = 1.0  # between two looks at whether to wait on for a reply
_ROUNDS = 4  # in the time of a lease
_AT_ONCE = 250  # memberships in one request, which holds up Redis for 2 ms

Then = Callable[[], object]


class Memberships:
    """
    Those of one shard. ``lease`` is in seconds, ``name`` is what the log calls them.

    The lock is that of ``attendance``.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        operations: MembershipOperations,
        attendance: Attendance,
        lease: float,
        name: str,
    ) -> None:
        self._pipeline = pipeline
        self._operations = operations
        self._attendance = attendance
        self._round_seconds = lease / _ROUNDS
        self._look_seconds = min(_LOOK_SECONDS, self._round_seconds)
        self._name = name
        self.start_process()
        fork.register(self)

    def start_process(self) -> None:
        """Starts with no membership: those of the parent, and its thread, are its own."""
        self._joined: dict[tuple[str, str], int] = {}  # the number of the latest join
        self._last = 0
        self._round = 0
        self._round_at = 0.0  # when the next round is due; 0: at once
        self._bell: SimpleQueue[Then | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._ending = False

    @property
    def _lock(self) -> threading.RLock:
        return self._attendance.lock

    # For callers

    async def join(self, group: str, channel: str) -> None:
        """Adds a channel of this process to a group."""
        key = group, channel
        loop = asyncio.get_running_loop()
        with self._lock:
            self._start()
            before = self._joined.get(key)
            self._last += 1
            membership = Membership(group, channel, self._last)
            # Redis gets the requests in the order in which they are made here.
            joining = self._pipeline.carry_out(self._operations.join(membership), loop.create_future())
            self._joined[key] = membership.number
            if before is None:
                self._attendance.joined(channel)
                if len(self._joined) == 1:
                    self._bell.put(None)  # the thread sleeps until there is one
        try:
            await joining
        except BaseException:
            if before is None:
                self._remove(membership)
            raise

    def leave(self, group: str, channel: str) -> None:
        """Renews a membership no longer; to be called before it is discarded."""
        with self._lock:
            if self._joined.pop((group, channel), None) is not None:
                self._attendance.left_group(channel)

    def forget(self) -> None:
        """Renews none of the memberships any longer."""
        with self._lock:
            for group, channel in list(self._joined):
                self.leave(group, channel)

    def heal(self, then: Then) -> None:
        """Looks at once for memberships that are lost, as Redis was away; calls ``then``, which must not raise."""
        with self._lock:
            if self._thread is not None and self._joined:
                self._bell.put(then)
                return
        then()

    def _remove(self, membership: Membership) -> bool:
        """Forgets a membership, unless it was joined anew."""
        with self._lock:
            current = self._joined.get((membership.group, membership.channel)) == membership.number
            if current:
                self.leave(membership.group, membership.channel)
            return current

    # The thread

    def _start(self) -> None:
        if self._thread is None:
            self._ending = False
            thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            thread.start()  # may raise, and then it is not there
            self._thread = thread

    def end(self) -> None:
        """Lets the thread end, soon. For finalisers, which must not take a lock."""
        self._ending = True
        self._bell.put(None)

    def close(self, timeout: float) -> None:
        """Forgets all memberships and ends the thread; waits up to ``timeout`` seconds for it."""
        with self._lock:
            self.forget()
            thread = self._thread
            self.end()
        if thread is not None:
            thread.join(timeout)

    def _run(self) -> None:
        delay: float | None = None
        told = ""
        try:
            while True:
                thens = self._rest(delay)
                if self._ending:
                    return
                try:
                    delay = self._attend()
                    told = ""
                except BaseException as error:
                    delay = min(self._round_seconds, _RETRY_SECONDS * random.uniform(0.5, 1.0))
                    if not isinstance(error, (ConnectionError, TimeoutError)) and repr(error) != told:
                        told = repr(error)
                        logger.exception("%s: memberships of groups cannot be renewed", self._name)
                for then in thens:
                    then()
        finally:
            with self._lock:
                self._thread = None

    def _rest(self, delay: float | None) -> list[Then]:
        """Waits, and returns what is to be called afterwards."""
        thens = []
        try:
            then = self._bell.get(timeout=delay)
            while True:
                if then is not None:
                    thens.append(then)
                then = self._bell.get_nowait()
        except Empty:
            return thens

    def _attend(self) -> float | None:
        """Does what is due; returns the seconds until something is again, or None while there is no membership."""
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
        """Renews all memberships; returns whether Redis has all of them then."""
        self._round += 1
        self._round_at = time.monotonic() + self._round_seconds
        with self._lock:
            keys, last = sorted(self._joined), self._last
            beginning = self._ask(self._operations.begin(last, self._round))
        self._result_of(beginning)
        removed = 0
        for start in range(0, len(keys), _AT_ONCE):
            with self._lock:
                present = [key for key in keys[start : start + _AT_ONCE] if self._is_wanted(key)]
                memberships = [Membership(*key, self._joined[key]) for key in present]
                renewing = self._ask(self._operations.renew(memberships)) if memberships else None
            if renewing is not None:
                removed += sum([self._remove(membership) for membership in self._result_of(renewing)])
        if removed:
            logger.info("%s: %s memberships were removed by other processes", self._name, removed)
        ended: bool = self._result_of(self._ask(self._operations.end(last, self._round)))
        return ended

    def _is_wanted(self, key: tuple[str, str]) -> bool:
        """Whether a membership is to be renewed; forgets one whose channel is not received from any more."""
        if key not in self._joined:
            return False
        if self._attendance.is_present(key[1]):
            return True
        self.leave(*key)
        return False

    def _ask(self, operation: Operation) -> Result[Any]:
        return self._pipeline.carry_out(operation, Result())

    def _result_of(self, asked: Result[Any]) -> Any:
        while True:
            try:
                return asked.result(_END_SECONDS)
            except WaitTimeout:
                if asked.done() or self._ending:  # the pipeline may have ended before this was asked
                    raise
