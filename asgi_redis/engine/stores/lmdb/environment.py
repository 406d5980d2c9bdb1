"""
The LMDB environment of a store: one for each process and directory, as LMDB demands, shared by all of its layers.

There are write transactions only. LMDB keeps old pages for as long as somebody reads them, and a process that is
killed while it reads would leave its mark in the table of readers; without readers there is nothing to clean up.
The writer's lock is a robust mutex: when its holder dies the next one gets it, with the state of the last commit.

The map is written to directly (``writemap``): a commit makes no system call. A page that the file system does not
have would then kill the process. So the file grows by pages that are allocated (``posix_fallocate``), and the map is
as long as the file: LMDB, which knows what is free in it and what lies in a row, takes no page beyond that.
"""

from __future__ import annotations

import _thread  # whose RLock gevent leaves as it is: hubs and native threads share the environment
import contextlib
import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lmdb

from asgi_redis.engine.stores.lmdb import directory as places
from asgi_redis.engine.stores.lmdb.mailbox import Mailboxes
from asgi_redis.engine.stores.lmdb.records import (
    ABOUT_KEY,
    COUNTERS_KEY,
    FIRST_GROUP,
    FIRST_QUEUE,
    FIRST_WAITER,
    FORMAT,
)
from asgi_redis.engine.stores.lmdb.sleepers import Sleepers
from asgi_redis.exceptions import UnsafeSignalHandler, UnusableStore

_PAGE = os.sysconf("SC_PAGE_SIZE")
_SPARE = 256  # pages that removing, and a few small transactions before somebody looks again, may take
_LOOK_EVERY = 16  # transactions of all processes together
_MOST_TAKEN = 16 * _PAGE  # bytes by one small transaction
_STEP = 256  # pages that are allocated at once
_FIRST = 512  # pages that are allocated in the beginning
_CHANGED = 3  # pages that are replaced to change a record
FEW = 20  # records that can be changed, wherever they are, with the pages that are kept spare
_LOOKS = 16  # until a file system that was full is asked again


class Replaced(Exception):
    """The files were removed: what is open is no longer what others use."""


class Narrow(Exception):
    """The map should have so many more pages."""


class Full(OSError):
    """No page is left that the transaction could take."""


class Environment:
    """
    An open environment.

    ``lock`` is held during each transaction: the writers of a process take turns anyway, and LMDB's map must not
    be resized while one goes on. ``check_at`` is when to look whether the files are still there, ``look_at`` the
    number of the transaction that shall look how much room there is.
    """

    def __init__(self, directory: Path, max_bytes: int, repair: bool) -> None:
        self.directory = directory
        self.max_bytes = max_bytes
        self.users: set[object] = set()
        self.lock = _thread.RLock()  # reentrant, so that a thread can fork in a signal handler
        self.busy = False
        self.problem: str | None = None  # with what there was, for which it has been made anew
        self.closed = False
        self.is_current = True  # false where it has to be asked for anew: it is closed, or a fork waits for it
        self.look_at = 0
        self._length = 0  # of the map, in bytes
        self._looks = 0
        self.check_at = 0.0
        with _directory_locked(directory, repair):
            try:
                self._open(repair)
            except BaseException:
                self._close()
                raise
        self.mailboxes = Mailboxes(directory)

    # Opening

    def _open(self, repair: bool) -> None:
        user = places.a_user(self.directory)
        try:
            # LMDB would make it as long as it was; the pages that are missing would be read as empty ones, at best.
            problem = "cut off" if places.is_cut_off(self.directory) else self._open_and_check(used=user is not None)
        except lmdb.Error as error:
            problem = f"damaged: {error}"
        if not problem:
            return
        self._close()
        what = f"the IPC store in {self.directory} is {problem}"
        if user is not None:
            pids = ", ".join(map(str, places.users(self.directory) or [user]))
            raise UnusableStore(f"{what}; processes {pids} have it open: stop them, or use another prefix")
        if not repair:
            raise UnusableStore(what)
        self.problem = problem
        for path in self.directory.iterdir():
            path.unlink()
        self._open_and_check(used=False)

    def _open_and_check(self, used: bool) -> str | None:
        data = self.directory / places.DATA
        length = data.stat().st_size if data.exists() else 0
        # LMDB makes the file as long as the map. To make it shorter would take pages from under other processes.
        self._length = max(_FIRST, -(-length // _PAGE)) * _PAGE
        places.allocate_locks(self.directory)
        self.lmdb = lmdb.open(
            str(self.directory),
            map_size=self._length,
            mode=0o600,
            sync=False,
            metasync=False,
            writemap=True,
        )
        self.fd = os.open(data, os.O_RDWR | os.O_CLOEXEC)
        self._sleepers = Sleepers(self.directory / places.LOCK)
        self.look_at = self._looks = 0
        if os.fstat(self.fd).st_blocks * 512 < self._length:
            self._allocate(0, self._length)
        with self.lmdb.begin(write=True) as txn:
            if not used:
                for key, _ in txn.cursor():
                    if key[:1] not in (FIRST_QUEUE, FIRST_GROUP, FIRST_WAITER, COUNTERS_KEY, ABOUT_KEY):
                        return f"not ours: it has the key {key[:20]!r}"
            about = txn.get(ABOUT_KEY)
            if about is None and txn.stat()["entries"]:
                return "not ours: it does not say what it is"
            boot = places.boot()
            if about is not None:
                found = json.loads(about)
                if found["format"] != FORMAT:
                    return f"of format {found['format']}, not {FORMAT}"
                # The times in it count from another start of the machine.
                return None if found["boot"] == boot else "of an earlier start of this machine"
            txn.put(ABOUT_KEY, json.dumps({"format": FORMAT, "boot": boot}).encode())
        return None

    # Room

    def room(self, txn: Any, needed: int = 0) -> int:
        """
        Returns how many bytes may be added. Raises ``Narrow`` when the map should grow first, for ``needed`` bytes.

        As the number of a transaction counts those of all processes, they all look again before a few transactions
        can have used that up.
        """
        status = txn.stat()
        used = status["branch_pages"] + status["leaf_pages"] + status["overflow_pages"]
        room: int = self.max_bytes - used * _PAGE
        spare = self._length // _PAGE - used - _SPARE
        missing = max(0, min(needed, room)) // _PAGE - spare
        if missing > 0:
            self._expect(missing)
            room = min(room, spare * _PAGE, (self._free() - _SPARE) * _PAGE)
        self.look_at = txn.id() + max(0, min(_LOOK_EVERY, room // _MOST_TAKEN))
        return room

    def changeable(self, records: int) -> int:
        """
        Returns how many of ``records`` may be changed by one transaction, all of them if the map can be that large.

        The pages that a transaction replaces are free for the next but one. If it left none for the next, there would
        be no next.
        """
        missing = _CHANGED * records + _SPARE - self._free()
        if records > FEW and missing > 0:
            self._expect(missing)
            return FEW
        return records

    def _free(self) -> int:
        # Pages, at the end of the last transaction, those that LMDB keeps its list of them in among them.
        status = self.lmdb.stat()
        used: int = status["branch_pages"] + status["leaf_pages"] + status["overflow_pages"]
        return self._length // _PAGE - used

    def _expect(self, pages: int) -> None:
        if not self._looks:
            raise Narrow(pages)
        self._looks -= 1

    def grow(self, pages: int = 1, bounded: bool = False) -> bool:
        """
        Makes the map larger, by ``pages`` or as another process has made the file; returns whether that could be.

        ``bounded``: not beyond twice what may be used. Long messages need pages in a row, removing any needs a few.
        """
        if bounded and self._length >= 2 * self.max_bytes + _SPARE * _PAGE:
            return False
        with self._locked():
            length = os.fstat(self.fd).st_size
            if length <= self._length:
                try:
                    self._allocate(length, -(-pages // _STEP) * _STEP * _PAGE)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    self._looks = _LOOKS
                    return False
            self._adopt_length()
        return True

    def adopt_length(self) -> None:
        """Makes the map as long as another process has made the file."""
        with self._locked():
            self._adopt_length()

    def _adopt_length(self) -> None:
        self._length = os.fstat(self.fd).st_size
        self.lmdb.set_mapsize(self._length)

    def _allocate(self, start: int, size: int) -> None:
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(self.fd, start, size)
            else:
                os.ftruncate(self.fd, start + size)
        except OSError as error:
            error.filename = str(self.directory)
            raise

    def full(self) -> Full:
        """Returns what to raise when no page is left."""
        return Full(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.directory))

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(places.locked(self.directory))
            except FileNotFoundError:
                raise Replaced from None
            yield

    def ensure(self, max_bytes: int) -> None:
        """Lets a layer have more than the one before, if it asks for that. Raises ``Replaced`` like ``check_now``."""
        with self.lock:
            if not self.closed:
                self.check_now()
            self.max_bytes = max(max_bytes, self.max_bytes)

    # The end

    def check(self, time: float) -> None:
        """Once a second: raises ``Replaced`` when the files have been removed, and wakes who sleeps for nothing."""
        if time >= self.check_at:
            self.check_at = time + 1
            self.check_now()
            self._sleepers.wake()

    def check_now(self) -> None:
        """Raises ``Replaced`` when the files have been removed."""
        if not os.fstat(self.fd).st_nlink:
            raise Replaced

    def close(self) -> None:
        """Closes it, once no transaction goes on."""
        with self.lock:
            self.check_idle()
            if not self.closed:
                self.closed = True
                self.is_current = False
                self._close()
                self.mailboxes.close()

    def check_idle(self) -> None:
        """Raises ``UnsafeSignalHandler`` in a signal handler amid a transaction. To be called with the lock held."""
        if self.busy:
            raise UnsafeSignalHandler(
                f"a signal handler cannot use the IPC store in {self.directory}: it has interrupted a call that does"
            )

    def leave_to_parent(self) -> bool:
        """Closes it in a forked process; returns False where a thread of the parent was in a transaction."""
        held = self.lock.acquire(blocking=False)
        if held and not self.closed:
            # A transaction of this thread is aborted, which touches nothing that is shared: the writer's lock, being
            # robust, can be given up by none but the thread that has it.
            self._close()
        self.closed = True
        self.is_current = False
        self.mailboxes.close_inherited()
        if held:
            self.lock.release()
        else:
            self.lock, self.busy = _thread.RLock(), False  # for those who are yet to find that it is closed
        return held

    def _close(self) -> None:
        if hasattr(self, "lmdb"):
            self.lmdb.close()
        if hasattr(self, "fd"):
            os.close(self.fd)
            del self.fd


@contextlib.contextmanager
def _directory_locked(directory: Path, create: bool) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        while True:
            if create:
                places.make(directory)
            else:
                places.check_private(directory)
            try:
                stack.enter_context(places.locked(directory))
            except FileNotFoundError:
                if not create:
                    raise
            else:
                break
        yield
