"""
Forks: connections, names, locks and threads are renewed in a forked process.

An object with such a part registers itself, and calls ``check`` before it uses the part. In a forked process the
first ``check`` renews all such objects. Servers that fork in C, such as uWSGI, call no at-fork hook of Python; so
``check`` notices a fork without one, and the hook below is only another caller of it.
"""

from __future__ import annotations

import itertools
import mmap
import os
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from asgi_redis.exceptions import ForkedDuringCall

T = TypeVar("T")

_MADV_WIPEONFORK = 18  # Linux 4.14; Python has no name for it


class Owner(Protocol):
    """An object with a part that belongs to one process."""

    def start_process(self) -> None:
        """
        Set up that part anew, and leave the inherited one to the parent.

        Must not call ``check``, nor wait for an inherited lock: its holder may be a thread of the parent.
        """


class Holder(Owner, Protocol):
    """An owner whose state must not be forked in the middle of a change."""

    def hold(self) -> None:
        """Prepare for a fork that Python knows of, in the thread that forks."""

    def release(self) -> None:
        """Go on after the fork, in the same thread of the parent."""


generation = 0
"""The number of noticed forks between the process that imported this module and this one."""

_owners: weakref.WeakValueDictionary[int, Owner] = weakref.WeakValueDictionary()
_holders: list[Holder] = []
_numbers = itertools.count()
# A lock for each process: a thread that does not exist here may hold that of the parent.
_renewing: dict[int, threading.RLock] = {}


def register(owner: Owner) -> None:
    """Have ``owner.start_process`` called in forked processes while it exists."""
    _owners[next(_numbers)] = owner


def register_holder(holder: Holder) -> None:
    """Register ``holder`` for good, also for forks that Python knows of."""
    _holders.append(holder)
    register(holder)


def _wiped_page() -> mmap.mmap | None:
    """Return memory that the kernel zeroes in a forked process, where it can do that."""
    if sys.platform != "linux":
        return None
    try:
        page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        page.madvise(_MADV_WIPEONFORK)
    except (OSError, ValueError):
        return None
    page[0] = 1
    return page


_page = _wiped_page()
_process = os.getpid()

if _page is not None:
    _mark = _page  # reading it takes a fifth of the time of ``os.getpid``, a system call

    def _is_inherited() -> bool:
        return not _mark[0]

    def check() -> int:
        """Renew all owners if this process was forked since; return ``generation``."""
        if not _mark[0]:
            _renew()
        return generation

else:

    def _is_inherited() -> bool:
        return os.getpid() != _process

    def check() -> int:
        """Renew all owners if this process was forked since; return ``generation``."""
        if os.getpid() != _process:
            _renew()
        return generation


def _renew() -> None:
    global generation, _process
    process = os.getpid()
    with _renewing.setdefault(process, threading.RLock()):
        if not _is_inherited():
            return  # another thread was faster
        for reference in _owners.valuerefs():
            owner = reference()
            if owner is not None:
                owner.start_process()
        generation += 1
        _process = process
        if _page is not None:
            _page[0] = 1


def forked() -> ForkedDuringCall:
    """Return the error for a call that finds ``generation`` changed since it began."""
    return ForkedDuringCall("this call goes on in the process that this one was forked from, and not here")


class Own(Generic[T]):
    """A value that each process makes for itself."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self.start_process()
        register(self)

    def start_process(self) -> None:
        """Make the value anew."""
        self._value = self._make()

    @property
    def value(self) -> T:
        """The value of this process."""
        check()
        return self._value


def _hold() -> None:
    for holder in _holders:
        holder.hold()


def _release() -> None:
    for holder in _holders:
        holder.release()


os.register_at_fork(before=_hold, after_in_parent=_release, after_in_child=check)
