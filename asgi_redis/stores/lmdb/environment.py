"""
The LMDB environment of a store: one for each process and directory, as LMDB demands, shared by all of its layers.

There are write transactions only. LMDB keeps old pages for as long as somebody reads them, and a process that is
killed while it reads would leave its mark in the table of readers; without readers there is nothing to clean up.
The writer's lock is a robust mutex: when its holder dies the next one gets it, with the state of the last commit.

The map is written to directly (``writemap``): a commit makes no system call. A file system that is full would then
kill the process, so the pages are allocated (``posix_fallocate``) before they are used.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lmdb

from asgi_redis.exceptions import UnusableStore
from asgi_redis.stores.lmdb import directory as places
from asgi_redis.stores.lmdb.mailbox import Mailboxes
from asgi_redis.stores.lmdb.records import ABOUT_KEY, COUNTERS_KEY, FIRST_GROUP, FIRST_QUEUE, FORMAT

logger = logging.getLogger("asgi_redis")

_PAGE = os.sysconf("SC_PAGE_SIZE")
_SPARE = 256  # pages that a few small transactions may take before somebody looks again
_LOOK_EVERY = 16  # transactions of all processes together
_MOST_TAKEN = 16 * _PAGE  # bytes by one small transaction
_STEP = 256  # pages that are allocated at once


class Replaced(Exception):
    """The files were removed: what is open is no longer what others use."""


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
        self.lock = threading.Lock()
        self.closed = False
        self._allocated = 0
        self.look_at = 0
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
        users = places.users(self.directory)
        try:
            # LMDB would make it as long as it was; the pages that are missing would be read as empty ones, at best.
            problem = "cut off" if places.is_cut_off(self.directory) else self._open_and_check(used=bool(users))
        except lmdb.Error as error:
            problem = f"damaged: {error}"
        if not problem:
            return
        self._close()
        if users or not repair:
            what = f"the IPC store in {self.directory} is {problem}"
            pids = ", ".join(map(str, users))
            raise UnusableStore(
                f"{what}; processes {pids} have it open: stop them, or use another prefix" if users else what
            )
        logger.warning("the IPC store in %s is %s; starting with an empty one", self.directory, problem)
        for path in self.directory.iterdir():
            path.unlink()
        self._open_and_check(used=False)

    def _open_and_check(self, used: bool) -> str | None:
        data = self.directory / places.DATA
        size = data.stat().st_size if data.exists() else 0
        self.lmdb = lmdb.open(
            str(self.directory),
            # LMDB makes the file as large as the map. To make it smaller would take pages from under other processes.
            map_size=max(_map_size(self.max_bytes), -(-size // _PAGE) * _PAGE),
            mode=0o600,
            sync=False,
            metasync=False,
            writemap=True,
        )
        self.fd = os.open(data, os.O_RDWR | os.O_CLOEXEC)
        self._allocated = self.look_at = 0
        with self.lmdb.begin(write=True) as txn:
            if not used:
                for key, _ in txn.cursor():
                    if key[:1] not in (FIRST_QUEUE, FIRST_GROUP, COUNTERS_KEY, ABOUT_KEY):
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
            if not self._allocate(0, _SPARE):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.directory))
            txn.put(ABOUT_KEY, json.dumps({"format": FORMAT, "boot": boot}).encode())
        return None

    # Room

    def room(self, txn: Any, needed: int = 0) -> int:
        """
        Returns how many bytes may be added, after making sure of the pages for ``needed`` bytes and some.

        As the number of a transaction counts those of all processes, they all look again before a few transactions
        can have used that up.
        """
        status = txn.stat()
        used = status["branch_pages"] + status["leaf_pages"] + status["overflow_pages"]
        room: int = self.max_bytes - used * _PAGE
        self.look_at = txn.id() + max(0, min(_LOOK_EVERY, room // _MOST_TAKEN))
        if not self._allocate(self.lmdb.info()["last_pgno"], max(0, min(needed, room)) // _PAGE + _SPARE):
            return 0
        return room

    def _allocate(self, last: int, pages: int) -> bool:
        """Returns whether the file has ``pages`` pages after the page ``last``, or is as large as it can be."""
        most = self.lmdb.info()["map_size"] // _PAGE
        wanted = min(last + pages, most)
        if wanted > self._allocated and hasattr(os, "posix_fallocate"):
            wanted = min(wanted + _STEP, most)
            try:
                os.posix_fallocate(self.fd, 0, wanted * _PAGE)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                return False
            self._allocated = wanted
        return True

    def enlarge(self) -> None:
        """Makes the map larger: for removing what is in it, when no page is left for that."""
        self._resize(self.lmdb.info()["map_size"] * 5 // 4 // _PAGE * _PAGE)

    def adopt_size(self) -> None:
        """Takes over the size that another process has given to the map."""
        self._resize(0)

    def ensure(self, max_bytes: int) -> None:
        """Makes the map large enough for a layer that asks for more than the one before."""
        with self.lock:
            if max_bytes > self.max_bytes:
                self._resize(_map_size(max_bytes))
                self.max_bytes = max_bytes

    def _resize(self, size: int) -> None:
        try:
            with places.locked(self.directory):
                self.lmdb.set_mapsize(max(size, os.fstat(self.fd).st_size))
        except FileNotFoundError:
            raise Replaced from None

    # The end

    def check(self, time: float) -> None:
        """Raises ``Replaced``, within a second, when the files have been removed."""
        if time >= self.check_at:
            self.check_at = time + 1
            self.check_now()

    def check_now(self) -> None:
        """Raises ``Replaced`` when the files have been removed."""
        if not os.fstat(self.fd).st_nlink:
            raise Replaced

    def close(self) -> None:
        """Closes it, once no transaction goes on."""
        with self.lock:
            if not self.closed:
                self.closed = True
                self._close()
                self.mailboxes.close()

    def _close(self) -> None:
        if hasattr(self, "lmdb"):
            self.lmdb.close()
        if hasattr(self, "fd"):
            os.close(self.fd)
            del self.fd


def _map_size(max_bytes: int) -> int:
    # Twice as much as may be used: long messages need pages in a row, and removing any needs a few, too.
    return (2 * max_bytes // _PAGE + _SPARE) * _PAGE


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


# Those that this process has open, by directory.
_open: dict[Path, Environment] = {}
_opening = threading.RLock()

abandoned: deque[tuple[Environment, object]] = deque()
"""What users that were collected as garbage had in use: at such a moment no lock may be taken."""


def use(directory: Path, max_bytes: int, user: object, repair: bool = True) -> Environment:
    """
    Returns the environment in ``directory`` for ``user``, who will ``leave`` it, opening it if need be.

    ``repair`` makes it anew where there is none, or one that cannot be used and that nobody uses.
    """
    with _opening:
        while abandoned:
            leave(*abandoned.popleft())
        environment = _open.get(directory)
        if environment is None or environment.closed:
            environment = _open[directory] = Environment(directory, max_bytes, repair)
        environment.ensure(max_bytes)
        environment.users.add(user)
        return environment


def leave(environment: Environment, user: object) -> None:
    """Gives back what ``use`` returned; the last one closes it."""
    with _opening:
        environment.users.discard(user)
        if not environment.users:
            environment.close()
            if _open.get(environment.directory) is environment:
                del _open[environment.directory]


_forking: list[Environment] = []


def _before_fork() -> None:
    # LMDB cannot be used across a fork. With no transaction going on, the child can close what it has inherited.
    _opening.acquire()
    _forking.extend(_open.values())
    for environment in _forking:
        environment.lock.acquire()


def _after_fork_in_parent() -> None:
    for environment in _forking:
        environment.lock.release()
    _forking.clear()
    _opening.release()


def _after_fork_in_child() -> None:
    _after_fork_in_parent()
    for environment in _open.values():
        environment.close()
        environment.mailboxes.close_inherited()
    _open.clear()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
