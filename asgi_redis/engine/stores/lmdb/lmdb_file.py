"""
LMDB's private file format.

No other module knows more about LMDB than its documented calls. This one relies on these facts of LMDB 0.9, which
``test_lmdb_file.py`` checks:

* The data file begins with two meta pages. At byte 136 each holds the numbers of its last page and transaction.
* A process that has the environment open holds a shared lock on the first byte of the lock file.
* LMDB maps the lock file, 8,192 bytes, as it is. Its mutexes are futex words in the first 256 of them.
"""

from __future__ import annotations

import ctypes
import fcntl
import functools
import os
import platform
import struct
import sys
from pathlib import Path

DATA, LOCK = "data.mdb", "lock.mdb"
PAGE = os.sysconf("SC_PAGE_SIZE")

_META = struct.Struct("=136xQQ")
_LOCK_FILE_BYTES = 8192
_MUTEX_BYTES = 256
_FUTEX = {"x86_64": 202, "aarch64": 98}.get(platform.machine())  # the number of the system call, from its manual page
_FUTEX_WAKE = 1

_libc = ctypes.CDLL(None)
_posix_fallocate = getattr(os, "posix_fallocate", None)  # macOS has none


def allocate(fd: int, start: int, size: int) -> None:
    """Extend a file by allocated pages, or by holes where the system cannot allocate."""
    if _posix_fallocate is not None:
        _posix_fallocate(fd, start, size)
    else:
        os.ftruncate(fd, max(os.fstat(fd).st_size, start + size))


def allocate_lock_file(directory: Path) -> None:
    """Allocate the lock file before LMDB maps it. Not for a process that has it open."""
    with open(directory / LOCK, "ab", opener=functools.partial(os.open, mode=0o600)) as file:
        allocate(file.fileno(), 0, _LOCK_FILE_BYTES)


def is_truncated(directory: Path) -> bool:
    """Return whether the data file ends before its last page."""
    try:
        with (directory / DATA).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            metas = [file.read(PAGE)[: _META.size], file.read(PAGE)[: _META.size]]
    except FileNotFoundError:
        return False
    if not size:
        return False
    if size < 2 * PAGE:
        return True
    _, last_page = max((transaction, last) for last, transaction in map(_META.unpack, metas))
    return bool(size < (last_page + 1) * PAGE)


def users(directory: Path) -> list[int]:
    """
    Return the processes that have the store open.

    Where there is no ``/proc/locks`` it is one of them. Not for a process that has it open itself. Linux takes
    seconds at times to read ``/proc/locks``, and blocks all file locks meanwhile: opening a store must not need it.
    """
    try:
        inode = (directory / LOCK).stat().st_ino
    except FileNotFoundError:
        return []
    try:
        lines = Path("/proc/locks").read_text().splitlines()
    except FileNotFoundError:
        user = a_user(directory)
        return [] if user is None else [user]
    held = (line.split() for line in lines if " POSIX " in line and " -> " not in line)
    where = f"{_device(os.lstat(directory))}:{inode}"
    return sorted({int(pid) for *_, pid, at, start, _ in held if at == where and start == "0"})


def a_user(directory: Path) -> int | None:
    """Return a process that has the store open. Not for a user of the store."""
    layout = "qqihh" if sys.platform == "darwin" else "hhqqi"  # struct flock: BSD's order, or the others'
    asked = (0, 1, 0, fcntl.F_WRLCK, os.SEEK_SET) if layout[0] == "q" else (fcntl.F_WRLCK, os.SEEK_SET, 0, 1, 0)
    try:
        with (directory / LOCK).open("r+b") as file:
            found = struct.unpack(layout, fcntl.fcntl(file, fcntl.F_GETLK, struct.pack(layout, *asked)))
    except FileNotFoundError:
        return None
    kind, pid = (found[3], found[2]) if layout[0] == "q" else (found[0], found[4])
    return None if kind == fcntl.F_UNLCK else pid


class LockFutexes:
    """
    The mutexes in the lock file of an open environment.

    A process that releases the writer's lock wakes one sleeper. When it is killed in between, the kernel does so in
    its place, but only if no process has taken the lock meanwhile (``handle_futex_death`` in Linux's
    ``kernel/futex/core.c``). The new holder knows of no sleepers, and wakes none: they would sleep for ever.
    """

    def __init__(self, directory: Path) -> None:
        start = _mapped_at(directory / LOCK) if _FUTEX else None
        self._words = [] if start is None else range(start, start + _MUTEX_BYTES, 4)

    def wake(self) -> None:
        """Wake one sleeper of each mutex. Where the mutex is held, it sleeps again."""
        for word in self._words:
            _libc.syscall(_FUTEX, ctypes.c_void_p(word), _FUTEX_WAKE, 1, None, None, 0)


def _mapped_at(path: Path) -> int | None:
    # Not by opening the file again: closing it would release the locks that LMDB holds on it.
    maps = Path("/proc/self/maps")
    if not maps.exists():
        return None
    status = path.stat()
    for line in maps.read_text().splitlines():
        addresses, _, offset, where, inode = line.split(maxsplit=5)[:5]
        if (where, inode, int(offset, 16)) == (_device(status), str(status.st_ino), 0):
            return int(addresses.partition("-")[0], 16)
    return None


def _device(status: os.stat_result) -> str:
    return f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}"
