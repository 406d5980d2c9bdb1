"""
The open environment of a store.

LMDB allows one for each process and directory: all layers of the process share it.

There are write transactions only. LMDB keeps old pages for as long as a transaction reads them, and a process that is
killed while it reads would leave its mark in the table of readers; without readers there is nothing to clean up.
The writer's lock is a robust mutex: when its holder dies the next one gets it, with the state of the last commit.
"""

from __future__ import annotations

import _thread  # whose RLock gevent leaves as it is: hubs and native threads share the environment
import json
from pathlib import Path

import lmdb

from asgi_redis.engine.stores.lmdb import directory as places
from asgi_redis.engine.stores.lmdb import lmdb_file
from asgi_redis.engine.stores.lmdb.data_file import DataFile, Narrow
from asgi_redis.engine.stores.lmdb.records import (
    ABOUT_KEY,
    COUNTERS_KEY,
    FIRST_GROUP,
    FIRST_QUEUE,
    FIRST_WAITER,
    FORMAT,
)
from asgi_redis.engine.stores.lmdb.wakeup_sockets import WakeupSockets
from asgi_redis.exceptions import UnsafeSignalHandler, UnusableStore
from asgi_redis.process import fork

_CHECK_SECONDS = 1.0


class Environment:
    """
    An open environment.

    ``lock`` is held during each transaction: the writers of a process take turns anyway, and LMDB's map must not
    be resized while one goes on. ``check_at`` is when to ``check`` again.
    """

    data: DataFile

    def __init__(self, directory: Path, max_bytes: int, repair: bool) -> None:
        self.directory = directory
        self.users: set[object] = set()
        self.lock = _thread.RLock()  # reentrant, so that a thread can fork in a signal handler
        self.busy = False
        self.problem: str | None = None
        """Why the store has been made anew."""
        self.closed = False
        self.is_current = True  # false where it has to be asked for anew: it is closed, or a fork waits for it
        self.check_at = 0.0
        while True:
            if repair:
                places.make(directory)
            else:
                places.check_private(directory)
            try:
                with places.locked(directory):
                    self._open(max_bytes, repair)
                break
            except FileNotFoundError:  # removed in between
                if not repair:
                    raise
        self.begin = self.data.lmdb.begin
        self._futexes = lmdb_file.LockFutexes(directory)
        self.sockets = WakeupSockets(directory)

    # Opening

    def _open(self, max_bytes: int, repair: bool) -> None:
        user = lmdb_file.a_user(self.directory)
        try:
            # LMDB would lengthen a truncated file; the missing pages would be read as empty ones, at best.
            truncated = lmdb_file.is_truncated(self.directory)
            problem = "cut off" if truncated else self._open_and_check(max_bytes, used=user is not None)
        except lmdb.Error as error:
            problem = f"damaged: {error}"
        if not problem:
            return
        what = f"the IPC store in {self.directory} is {problem}"
        if user is not None:
            pids = ", ".join(map(str, lmdb_file.users(self.directory) or [user]))
            raise UnusableStore(f"{what}; processes {pids} have it open: stop them, or use another prefix")
        if not repair:
            raise UnusableStore(what)
        self.problem = problem
        for path in self.directory.iterdir():
            path.unlink()
        self._open_and_check(max_bytes, used=False)

    def _open_and_check(self, max_bytes: int, used: bool) -> str | None:
        self.data = DataFile(self.directory, max_bytes)
        problem: str | None = "not checked"
        try:
            problem = self._check_format(used)
            return problem
        finally:
            if problem:
                self.data.close()

    def _check_format(self, used: bool) -> str | None:
        with self.data.lmdb.begin(write=True) as txn:
            if not used:
                for key, _ in txn.cursor():
                    if key[:1] not in (FIRST_QUEUE, FIRST_GROUP, FIRST_WAITER, COUNTERS_KEY, ABOUT_KEY):
                        return f"not ours: it has the key {key[:20]!r}"
            about = txn.get(ABOUT_KEY)
            boot = places.boot()
            if about is not None:
                found = json.loads(about)
                if found["format"] != FORMAT:
                    return f"of format {found['format']}, not {FORMAT}"
                # The times in it count from another start of the machine.
                return None if found["boot"] == boot else "of an earlier start of this machine"
            if txn.stat()["entries"]:
                return "not ours: it does not say what it is"
            txn.put(ABOUT_KEY, json.dumps({"format": FORMAT, "boot": boot}).encode())
        return None

    def ensure(self, max_bytes: int) -> None:
        """Allow ``max_bytes``, if that is more. Raise ``Replaced`` when it was removed."""
        with self.lock:
            if not self.closed:
                self.data.check_replaced()
            self.data.max_bytes = max(max_bytes, self.data.max_bytes)

    # Transactions

    def check(self, time: float) -> None:
        """Raise ``Replaced`` when it was removed; wake writers that sleep for nothing."""
        self.check_at = time + _CHECK_SECONDS
        self.data.check_replaced()
        self._futexes.wake()

    def check_idle(self) -> None:
        """Raise ``UnsafeSignalHandler`` amid a transaction. Call it with the lock held."""
        if self.busy:
            raise UnsafeSignalHandler(
                f"a signal handler cannot use the IPC store in {self.directory}: it has interrupted a call that does"
            )

    def recover(self, error: Exception, bounded: bool) -> None:
        """Make the map longer if that was the error; raise the error otherwise."""
        if isinstance(error, Narrow):
            self.data.grow(*error.args)
        elif isinstance(error, lmdb.MapResizedError):
            self.data.grow()
        elif isinstance(error, lmdb.MapFullError):
            if not self.data.grow(bounded=bounded):
                raise self.data.full() from error
        elif self.closed:
            raise fork.forked() from error
        else:
            raise error

    # The end

    def close(self) -> None:
        """Close it, once no transaction goes on."""
        with self.lock:
            self.check_idle()
            if not self.closed:
                self.closed = True
                self.is_current = False
                self.data.close()
                self.sockets.close()

    def leave_to_parent(self) -> bool:
        """Close it in a forked process; return False amid another thread's transaction."""
        held = self.lock.acquire(blocking=False)
        if held and not self.closed:
            # A transaction of this thread is aborted, which touches nothing that is shared: the writer's lock, being
            # robust, can be given up by none but the thread that has it.
            self.data.close()
        self.closed = True
        self.is_current = False
        self.sockets.close_inherited()
        if held:
            self.lock.release()
        else:
            self.lock, self.busy = _thread.RLock(), False  # for calls that are yet to find that it is closed
        return held
