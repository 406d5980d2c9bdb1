"""
Wakes those who sleep for the writer's lock though it is free.

Whoever gives the lock up wakes one of them. Where it is killed in between, the kernel does so in its place, but only
while nobody else has taken the lock meanwhile (``handle_futex_death`` in Linux's ``kernel/futex/core.c``). Who has
knows of no sleepers, and wakes nobody. Waking one for nothing does no harm: it looks, and sleeps again.
"""

from __future__ import annotations

import ctypes
import os
import platform
from pathlib import Path

_FUTEX = {"x86_64": 202, "aarch64": 98}.get(platform.machine())  # the number of the system call, from its manual page
_FUTEX_WAKE = 1
_LOCKS = 256  # bytes of the lock file that the locks are within

_libc = ctypes.CDLL(None)


class Sleepers:
    """Those of the open environment whose lock file this is. Where they cannot be woken there are none."""

    def __init__(self, lock_file: Path) -> None:
        start = _address(lock_file) if _FUTEX else None
        self._words = [] if start is None else range(start, start + _LOCKS, 4)

    def wake(self) -> None:
        """Lets one look for each lock."""
        for word in self._words:
            _libc.syscall(_FUTEX, ctypes.c_void_p(word), _FUTEX_WAKE, 1, None, None, 0)


def _address(path: Path) -> int | None:
    """Returns where this process has mapped the file; LMDB does not tell."""
    # Not by opening it again: to close it would give up the locks that LMDB has on it.
    maps = Path("/proc/self/maps")
    if not maps.exists():
        return None
    status = path.stat()
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}"
    for line in maps.read_text().splitlines():
        addresses, _, offset, where, inode = line.split(maxsplit=5)[:5]
        if (where, inode, int(offset, 16)) == (device, str(status.st_ino), 0):
            return int(addresses.partition("-")[0], 16)
    return None
