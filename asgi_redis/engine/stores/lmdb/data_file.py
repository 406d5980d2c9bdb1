"""
The data file of a store: an open LMDB environment whose map grows.

The map is written to directly (``writemap``): a commit makes no system call. A page that the file system does not
have would then kill the process. So the file grows by pages that are allocated (``posix_fallocate``), and the map is
as long as the file: LMDB, which knows its free pages and which lie in a row, takes no page beyond that.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lmdb

from asgi_redis.engine.stores.lmdb import lmdb_file
from asgi_redis.engine.stores.lmdb.directory import locked
from asgi_redis.engine.stores.lmdb.lmdb_file import PAGE
from asgi_redis.engine.stores.lmdb.records import Txn

FEW = 20
"""Records, wherever they are, that a transaction can change with the spare pages."""
_SPARE = 256  # pages that removing, and a few small transactions before the next look, may take
_LOOK_EVERY = 16  # transactions of all processes together
_MOST_TAKEN = 16 * PAGE  # bytes by one small transaction
_STEP = 256  # pages that are allocated at once
_FIRST = 512  # pages that are allocated in the beginning
_CHANGED = 3  # pages that are replaced to change a record
_LOOKS = 16  # until a file system that was full is asked again


class Replaced(Exception):
    """The files were removed: other processes use new ones."""


class Narrow(Exception):
    """The map should have so many more pages."""


class Full(OSError):
    """No page is left that the transaction could take."""


class DataFile:
    """
    An open LMDB environment. ``max_bytes`` bounds the pages in use.

    ``look_at`` is the number of the transaction that must look how much room there is.
    """

    def __init__(self, directory: Path, max_bytes: int) -> None:
        self.directory = directory
        self.max_bytes = max_bytes
        self.look_at = 0
        self._looks = 0
        lmdb_file.allocate_lock_file(directory)
        with contextlib.ExitStack() as opened:
            self.fd = os.open(directory / lmdb_file.DATA, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            opened.callback(os.close, self.fd)
            # LMDB makes the file as long as the map. To make it shorter would take pages from under other processes.
            self._length = max(_FIRST, -(-os.fstat(self.fd).st_size // PAGE)) * PAGE
            self.lmdb = opened.enter_context(
                lmdb.open(
                    str(directory), map_size=self._length, mode=0o600, sync=False, metasync=False, writemap=True
                )
            )
            if self.allocated_bytes() < self._length:
                self._allocate(0, self._length)
            self._opened = opened.pop_all()

    def close(self) -> None:
        """Close both, LMDB first."""
        self._opened.close()

    def allocated_bytes(self) -> int:
        """Return how much memory the file takes."""
        return os.fstat(self.fd).st_blocks * 512

    def check_replaced(self) -> None:
        """Raise ``Replaced`` when the file was removed."""
        if not os.fstat(self.fd).st_nlink:
            raise Replaced

    def room(self, txn: Txn, needed: int = 0) -> int:
        """
        Return how many bytes may be added.

        Raise ``Narrow`` when the map should grow first, for ``needed`` bytes. As the number of a transaction counts
        those of all processes, they all look again before a few transactions can have used that up.
        """
        used = _used_pages(txn.stat())
        room: int = self.max_bytes - used * PAGE
        spare = self._length // PAGE - used - _SPARE
        missing = max(0, min(needed, room)) // PAGE - spare
        if missing > 0:
            self._expect(missing)
            room = min(room, spare * PAGE, (self._free() - _SPARE) * PAGE)
        self.look_at = txn.id() + max(0, min(_LOOK_EVERY, room // _MOST_TAKEN))
        return room

    def changeable(self, records: int) -> int:
        """
        Return how many of ``records`` one transaction may change.

        These are all of them if the map can be that large. The pages that a transaction replaces are free for the
        next but one. If it left none for the next, there would be no next.
        """
        if records <= FEW:
            return records
        missing = _CHANGED * records + _SPARE - self._free()
        if missing > 0:
            self._expect(missing)
            return FEW
        return records

    def keep_spare(self, size: int = 0) -> None:
        """Raise ``Full`` where a record of ``size`` bytes would take of the spare pages."""
        records = FEW + 1 + size // PAGE // _CHANGED
        if self.changeable(records) < records:
            raise self.full()

    def _free(self) -> int:
        # Pages, at the end of the last transaction, those of LMDB's list of free pages among them.
        return self._length // PAGE - _used_pages(self.lmdb.stat())

    def _expect(self, pages: int) -> None:
        if not self._looks:
            raise Narrow(pages)
        self._looks -= 1

    def grow(self, pages: int = 1, bounded: bool = False) -> bool:
        """
        Make the map larger, by ``pages`` or as another process has made the file.

        Return whether that could be. ``bounded``: not beyond twice ``max_bytes``. Long messages need pages in a row,
        removing any needs a few.
        """
        if bounded and self._length >= 2 * self.max_bytes + _SPARE * PAGE:
            return False
        try:
            with locked(self.directory):
                length = os.fstat(self.fd).st_size
                if length <= self._length:
                    self._allocate(length, -(-pages // _STEP) * _STEP * PAGE)
                self._length = os.fstat(self.fd).st_size
                self.lmdb.set_mapsize(self._length)
        except FileNotFoundError:
            raise Replaced from None
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            self._looks = _LOOKS
            return False
        return True

    def _allocate(self, start: int, size: int) -> None:
        try:
            lmdb_file.allocate(self.fd, start, size)
        except OSError as error:
            error.filename = str(self.directory)
            raise

    def full(self) -> Full:
        """Return the error for a transaction that finds no page left."""
        return Full(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.directory))


def _used_pages(status: Mapping[str, Any]) -> int:
    return int(status["branch_pages"] + status["leaf_pages"] + status["overflow_pages"])
